//! Publishers: a blocking thread for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Connection, Frame, push_mpub, push_pub};

use crate::contest::{MESSAGE_BYTES, Pattern};

/// Publishing ends when either is reached.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    pub time: Duration,
    pub messages: u64,
}

/// Messages that went one way, and the sum of their numbers: equal sums on both ways mean equal
/// messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub messages: u64,
    pub numbers: u64,
    /// From the start to the last answer or message.
    pub elapsed: Duration,
}

impl Moved {
    /// Of several connections at once.
    pub fn together(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::default(), |sum, part| Self {
            messages: sum.messages + part.messages,
            numbers: sum.numbers.wrapping_add(part.numbers),
            elapsed: sum.elapsed.max(part.elapsed),
        })
    }

    pub fn is_same(&self, other: &Self) -> bool {
        (self.messages, self.numbers) == (other.messages, other.numbers)
    }
}

pub struct Publishers {
    connections: Vec<Connection>,
}

impl Publishers {
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let connections = (0..count).map(|_| Connection::open(address));
        let connections = connections.collect::<io::Result<_>>();
        Ok(Self {
            connections: connections.context("connecting publishers")?,
        })
    }

    /// Publishes to `topic` until every connection has reached its share of the limits and has
    /// its last OK.
    ///
    /// # Errors
    /// The socket's, or an answer that is not OK.
    pub fn run(self, topic: &str, pattern: Pattern, until: Until) -> Result<Moved> {
        let share = Until {
            time: until.time,
            messages: until.messages.div_ceil(self.connections.len() as u64),
        };
        let start = Barrier::new(self.connections.len());
        std::thread::scope(|scope| {
            let numbered = self.connections.into_iter().zip(0u64..);
            let threads: Vec<_> = numbered
                .map(|(connection, number)| {
                    let commands = Commands::new(topic, pattern, number << 40);
                    let start = &start;
                    scope.spawn(move || publish(connection, commands, pattern.window, share, start))
                })
                .collect();
            let parts = threads.into_iter().map(|thread| match thread.join() {
                Ok(moved) => moved,
                Err(_) => bail!("a publisher panicked"),
            });
            Ok(Moved::together(parts.collect::<Result<Vec<_>>>()?))
        })
    }
}

fn publish(
    mut connection: Connection,
    mut commands: Commands,
    window: usize,
    until: Until,
    start: &Barrier,
) -> Result<Moved> {
    start.wait();
    let started = Instant::now();
    let mut outstanding = 0;
    loop {
        let left = (until.messages.saturating_sub(commands.taken)).div_ceil(commands.batch());
        let room = (window - outstanding).min(left as usize);
        if room > 0 && started.elapsed() < until.time {
            connection.send(commands.take(room))?;
            outstanding += room;
        }
        if outstanding == 0 {
            break;
        }
        connection.fill()?;
        while let Some(frame) = connection.next_frame()? {
            match frame {
                Frame::Response(b"OK") => outstanding -= 1,
                other => bail!("instead of OK: {other:?}"),
            }
        }
    }
    Ok(Moved {
        messages: commands.taken,
        numbers: commands.sum,
        elapsed: started.elapsed(),
    })
}

/// Commands made once, in which only the messages' numbers change.
struct Commands {
    bytes: Vec<u8>,
    /// Bytes of one command.
    command: usize,
    /// Where the numbers stand in a command.
    numbers_at: Vec<usize>,
    next: u64,
    taken: u64,
    sum: u64,
}

impl Commands {
    fn new(topic: &str, pattern: Pattern, first: u64) -> Self {
        let body = [b'x'; MESSAGE_BYTES];
        let mut command = Vec::new();
        match pattern.batch {
            1 => push_pub(&mut command, topic, &body),
            batch => push_mpub(&mut command, topic, std::iter::repeat_n(&body[..], batch)),
        }
        // The bodies end the command, each behind its 4-byte size.
        let stride = MESSAGE_BYTES + 4;
        let bodies = command.len() - pattern.batch * stride + 4;
        let numbers_at = (0..pattern.batch).map(|at| bodies + at * stride);
        Self {
            bytes: command.repeat(pattern.window),
            command: command.len(),
            numbers_at: numbers_at.collect(),
            next: first,
            taken: 0,
            sum: 0,
        }
    }

    fn batch(&self) -> u64 {
        self.numbers_at.len() as u64
    }

    /// The next `count` commands, at most the window's.
    fn take(&mut self, count: usize) -> &[u8] {
        let bytes = &mut self.bytes[..count * self.command];
        for command in bytes.chunks_exact_mut(self.command) {
            for &at in &self.numbers_at {
                command[at..at + 8].copy_from_slice(&self.next.to_le_bytes());
                self.sum = self.sum.wrapping_add(self.next);
                self.next += 1;
            }
        }
        self.taken += count as u64 * self.numbers_at.len() as u64;
        bytes
    }
}

/// The number in a body.
pub fn number(body: &[u8]) -> Option<u64> {
    (body.len() == MESSAGE_BYTES).then_some(())?;
    Some(u64::from_le_bytes(*body.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_number() {
        let pattern = Pattern {
            batch: 3,
            window: 2,
        };
        let mut commands = Commands::new("t", pattern, 500);
        let first = commands.take(2).to_vec();
        assert!(first.starts_with(b"MPUB t\n"));
        let second = commands.take(1).to_vec();
        let numbers: Vec<u64> = [first, second]
            .concat()
            .windows(4 + MESSAGE_BYTES)
            .filter(|window| window.starts_with(&(MESSAGE_BYTES as u32).to_be_bytes()))
            .filter_map(|window| number(&window[4..]))
            .collect();
        assert_eq!(numbers, (500..509).collect::<Vec<_>>());
        assert_eq!((commands.taken, commands.sum), (9, (500..509).sum()));
    }

    #[test]
    fn parts_add_up_and_the_last_one_ends_it() {
        let part = |messages, seconds| Moved {
            messages,
            numbers: u64::MAX,
            elapsed: Duration::from_secs(seconds),
        };
        let whole = Moved::together([part(1, 3), part(2, 1)]);
        assert_eq!((whole.messages, whole.elapsed.as_secs()), (3, 3));
        assert_eq!(whole.numbers, u64::MAX - 1);
        assert!(!whole.is_same(&part(3, 3)));
    }
}
