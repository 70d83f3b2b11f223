//! The publishers' half of each protocol, over one blocking connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::contest::{Kind, MESSAGE_BYTES, Pattern};
use crate::server::{nats, redis};

/// Room for answers.
const INPUT_BYTES: usize = 256 * 1024;
/// An answer that has not come after this never will.
const SILENCE: Duration = Duration::from_secs(60);

/// Commands made once, in which only the messages' numbers change.
pub struct Commands {
    bytes: Vec<u8>,
    /// Bytes of one command.
    command: usize,
    /// Where the numbers stand in a command.
    numbers_at: Vec<usize>,
    next: u64,
    pub taken: u64,
    pub sum: u64,
}

impl Commands {
    /// Of a protocol in which the bodies of a command lie `stride` bytes from each other, the last one `tail` bytes
    /// before its end.
    pub fn new(command: &[u8], pattern: Pattern, stride: usize, tail: usize, first: u64) -> Self {
        let bodies = command.len() - tail - MESSAGE_BYTES - (pattern.batch - 1) * stride;
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

    /// Messages in a command.
    pub fn batch(&self) -> u64 {
        self.numbers_at.len() as u64
    }

    /// The next `count` commands, at most the window's.
    pub fn take(&mut self, count: usize) -> &[u8] {
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

/// Looks for an answer at the front of what was read: its length, if it is complete. An answer that is no success is
/// an error.
pub type Answered = fn(&[u8]) -> Result<Option<Answer>>;

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub bytes: usize,
    /// A command was acknowledged; otherwise it is of no interest.
    pub acknowledges: bool,
}

/// A connection that publishes.
pub struct Speaker {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    answered: Answered,
    kind: Kind,
}

impl Speaker {
    /// Connects to a server of that kind.
    ///
    /// # Errors
    /// When the server cannot be reached or greets otherwise than it should.
    pub fn connect(kind: Kind, address: SocketAddr, number: u64) -> Result<Self> {
        let (stream, answered): (TcpStream, Answered) = match kind {
            Kind::Ours | Kind::OursPair | Kind::Go => {
                (nsq_rig::Connection::open(address)?.stream()?, nsq_answer)
            }
            Kind::Nats | Kind::NatsThree => (nats::connect(address, number)?, nats::answer),
            Kind::Redis => (TcpStream::connect(address)?, redis::answer),
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self {
            stream,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            answered,
            kind,
        })
    }

    /// The commands of this protocol, and the pattern in which to send them: where there is no batch, its messages
    /// are sent at once.
    pub fn commands(
        &self,
        topic: &str,
        pattern: Pattern,
        number: u64,
        first: u64,
    ) -> (Commands, Pattern) {
        let spread = Pattern {
            batch: 1,
            window: pattern.window * pattern.batch,
        };
        let body = [b'x'; MESSAGE_BYTES];
        match self.kind {
            Kind::Ours | Kind::OursPair | Kind::Go => {
                let mut command = Vec::new();
                match pattern.batch {
                    1 => nsq_rig::push_pub(&mut command, topic, &body),
                    batch => {
                        let bodies = std::iter::repeat_n(&body[..], batch);
                        nsq_rig::push_mpub(&mut command, topic, bodies);
                    }
                }
                // The bodies end the command, each behind its 4-byte size.
                let stride = MESSAGE_BYTES + 4;
                (Commands::new(&command, pattern, stride, 0, first), pattern)
            }
            Kind::Nats | Kind::NatsThree => {
                let command = nats::publish(topic, number, &body);
                (Commands::new(&command, spread, 0, 2, first), spread)
            }
            Kind::Redis => {
                let command = redis::publish(topic, &body);
                (Commands::new(&command, spread, 0, 2, first), spread)
            }
        }
    }

    /// To be waited on.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for input and reads once; the number of acknowledged commands.
    ///
    /// # Errors
    /// The socket's, or an answer that is no success.
    pub fn acknowledged(&mut self) -> Result<usize> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => bail!("the server has hung up"),
            Ok(read) => self.filled += read,
            Err(error) => return Err(error).context("waiting for an answer"),
        }
        let (mut at, mut count) = (0, 0);
        while let Some(answer) = (self.answered)(&self.input[at..self.filled])? {
            at += answer.bytes;
            count += usize::from(answer.acknowledges);
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(count)
    }
}

/// A frame of NSQ's.
fn nsq_answer(input: &[u8]) -> Result<Option<Answer>> {
    let Some(size) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let bytes = 4 + u32::from_be_bytes(*size) as usize;
    let acknowledges = match input.get(4..bytes) {
        None => return Ok(None),
        Some(b"\0\0\0\0OK") => true,
        Some(b"\0\0\0\0_heartbeat_") => false,
        Some(other) => bail!("instead of OK: {:?}", String::from_utf8_lossy(other)),
    };
    Ok(Some(Answer {
        bytes,
        acknowledges,
    }))
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
        let mut command = Vec::new();
        let body = [b'x'; MESSAGE_BYTES];
        nsq_rig::push_mpub(&mut command, "t", std::iter::repeat_n(&body[..], 3));
        let mut commands = Commands::new(&command, pattern, MESSAGE_BYTES + 4, 0, 500);
        let first = commands.take(2).to_vec();
        assert!(first.starts_with(b"MPUB t\n"));
        let second = commands.take(1).to_vec();
        let numbers: Vec<u64> = [first, second]
            .concat()
            .windows(4 + MESSAGE_BYTES)
            .filter(|window| window.starts_with(&(MESSAGE_BYTES as u32).to_be_bytes()))
            .filter_map(|window| crate::publish::number(&window[4..]))
            .collect();
        assert_eq!(numbers, (500..509).collect::<Vec<_>>());
        assert_eq!((commands.taken, commands.sum), (9, (500..509).sum()));
    }

    #[test]
    fn answers_of_each_protocol() {
        let ok = b"\0\0\0\x06\0\0\0\0OK";
        let acknowledged = |bytes| {
            Some(Answer {
                bytes,
                acknowledges: true,
            })
        };
        assert_eq!(nsq_answer(ok).unwrap(), acknowledged(10));
        assert_eq!(nsq_answer(&ok[..9]).unwrap(), None);
        assert!(nsq_answer(b"\0\0\0\x07\0\0\0\x01E_X").is_err());
        let ack = b"MSG _INBOX.b3 1 28\r\n{\"stream\":\"bench\", \"seq\":77}\r\nMSG";
        assert_eq!(nats::answer(ack).unwrap(), acknowledged(ack.len() - 3));
        assert_eq!(nats::answer(&ack[..30]).unwrap(), None);
        let refused = b"MSG _INBOX.b3 1 33\r\n{\"error\":{\"code\":503,\"x\":\"full\"}}\r\n";
        assert!(nats::answer(refused).is_err());
        assert!(nats::answer(b"-ERR 'no'\r\n").is_err());
        let pong = nats::answer(b"PONG\r\n").unwrap().unwrap();
        assert_eq!((pong.bytes, pong.acknowledges), (6, false));
        let id = b"$15\r\n1700000000000-0\r\n";
        assert_eq!(redis::answer(id).unwrap(), acknowledged(id.len()));
        assert_eq!(redis::answer(&id[..8]).unwrap(), None);
        assert!(redis::answer(b"-OOM no\r\n").is_err());
    }
}
