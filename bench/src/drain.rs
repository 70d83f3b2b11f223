//! Consumers: a blocking thread for each connection, which finishes what it reads at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Connection, Frame, push_fin};

use crate::publish::{Moved, number};

/// In flight at most, per connection: the most that servers allow by default.
const READY: u32 = 2500;
/// How often a waiting consumer looks whether all is done.
const PATIENCE: Duration = Duration::from_millis(5);
/// Nothing for so long means that the rest is lost.
const SILENCE: Duration = Duration::from_secs(30);

pub const CHANNEL: &str = "c";

pub struct Consumers {
    connections: Vec<Connection>,
}

impl Consumers {
    /// Subscribed, but not ready for messages.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn connect(address: SocketAddr, count: usize, topic: &str) -> Result<Self> {
        let open = || -> io::Result<Connection> {
            let mut connection = Connection::open(address)?;
            connection.subscribe(topic, CHANNEL)?;
            connection.set_patience(Some(PATIENCE))?;
            Ok(connection)
        };
        let connections: io::Result<_> = (0..count).map(|_| open()).collect();
        Ok(Self {
            connections: connections.context("connecting consumers")?,
        })
    }

    /// Consumes until `expected` messages have come and the server has taken every FIN.
    ///
    /// # Errors
    /// The socket's; messages that do not come, or more than were expected.
    pub fn run(self, expected: u64) -> Result<Moved> {
        self.run_until(&AtomicU64::new(expected), &AtomicU64::new(0))
    }

    /// [`Consumers::run`] where it becomes known later how many are expected (`u64::MAX` until then), and where
    /// somebody wants to see how many have `come`.
    ///
    /// # Errors
    /// As [`Consumers::run`].
    pub fn run_until(self, expected: &AtomicU64, come: &AtomicU64) -> Result<Moved> {
        let start = Barrier::new(self.connections.len());
        let all = std::thread::scope(|scope| {
            let connections = self.connections.into_iter();
            let threads: Vec<_> = connections
                .map(|connection| {
                    let start = &start;
                    scope.spawn(move || consume(connection, expected, come, start))
                })
                .collect();
            let parts = threads.into_iter().map(|thread| match thread.join() {
                Ok(moved) => moved,
                Err(_) => bail!("a consumer panicked"),
            });
            Ok::<_, anyhow::Error>(Moved::together(parts.collect::<Result<Vec<_>>>()?))
        })?;
        let expected = expected.load(Ordering::Relaxed);
        if all.messages != expected {
            bail!("{} messages came, {expected} were published", all.messages);
        }
        Ok(all)
    }
}

fn consume(
    mut connection: Connection,
    expected: &AtomicU64,
    come: &AtomicU64,
    start: &Barrier,
) -> Result<Moved> {
    let mut moved = Moved::default();
    let mut finishes = Vec::new();
    start.wait();
    let started = Instant::now();
    let mut last = started;
    connection.ready(READY)?;
    let mut closing = false;
    loop {
        match connection.fill() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let total = come.load(Ordering::Relaxed);
                let expected = expected.load(Ordering::Relaxed);
                if total >= expected && !closing {
                    // Answered behind all FINs.
                    connection.send(b"CLS\n")?;
                    closing = true;
                }
                if last.elapsed() > SILENCE {
                    bail!("{total} of {expected} messages came, then none for {SILENCE:?}");
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let before = moved.messages;
        finishes.clear();
        while let Some(frame) = connection.next_frame()? {
            match frame {
                Frame::Message { id, body, .. } => {
                    let number = number(body).context("a message that nobody published")?;
                    moved.numbers = moved.numbers.wrapping_add(number);
                    moved.messages += 1;
                    push_fin(&mut finishes, id);
                }
                Frame::Response(b"CLOSE_WAIT") => {
                    moved.elapsed = last - started;
                    return Ok(moved);
                }
                other => bail!("instead of a message: {other:?}"),
            }
        }
        if moved.messages > before {
            connection.send(&finishes)?;
            last = Instant::now();
            come.fetch_add(moved.messages - before, Ordering::Relaxed);
        }
    }
}
