//! How long a message takes from PUB to the consumer, at a rate far below what a server can do.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nsq_rig::{Connection, Frame, push_fin, push_pub};

use crate::contest::{LATENCY_RATE, MESSAGE_BYTES};
use crate::drain::CHANNEL;
use crate::publish::number;

const READY: u32 = 2500;
/// A timer may be this late without the message counting as sent late: that is the machine's
/// fault. What is later is charged, so that a server which blocks the publisher gains nothing.
const TIMER_SLACK: Duration = Duration::from_millis(1);
/// Nothing for so long means that the rest is lost.
const SILENCE: Duration = Duration::from_secs(30);

pub struct Pair {
    publisher: Connection,
    consumer: Connection,
}

impl Pair {
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn connect(address: SocketAddr, topic: &str) -> io::Result<Self> {
        let mut consumer = Connection::open(address)?;
        consumer.subscribe(topic, CHANNEL)?;
        consumer.set_patience(Some(SILENCE))?;
        consumer.ready(READY)?;
        let publisher = Connection::open(address)?;
        Ok(Self {
            publisher,
            consumer,
        })
    }

    /// Publishes [`LATENCY_RATE`] messages a second for `time`; nanoseconds each took.
    ///
    /// # Errors
    /// The socket's; messages that do not come.
    pub fn run(self, topic: &str, time: Duration) -> Result<Vec<u64>> {
        let count = (time.as_secs_f64() * f64::from(LATENCY_RATE)) as u32;
        let origin = Instant::now();
        let Self {
            publisher,
            consumer,
        } = self;
        std::thread::scope(|scope| {
            let consumer = scope.spawn(move || consume(consumer, origin, count));
            publish(publisher, topic, origin, count)?;
            match consumer.join() {
                Ok(latencies) => latencies,
                Err(_) => bail!("the consumer panicked"),
            }
        })
    }
}

fn publish(mut connection: Connection, topic: &str, origin: Instant, count: u32) -> Result<()> {
    let mut body = [b'x'; MESSAGE_BYTES];
    let mut command = Vec::new();
    for at in 0..count {
        let due = Duration::from_secs(1) / LATENCY_RATE * at;
        std::thread::sleep(due.saturating_sub(origin.elapsed()));
        let sent = origin.elapsed().min(due + TIMER_SLACK);
        body[..8].copy_from_slice(&(sent.as_nanos() as u64).to_le_bytes());
        command.clear();
        push_pub(&mut command, topic, &body);
        connection.send(&command)?;
        connection.ok()?;
    }
    Ok(())
}

fn consume(mut connection: Connection, origin: Instant, count: u32) -> Result<Vec<u64>> {
    let mut latencies = Vec::with_capacity(count as usize);
    let mut finishes = Vec::new();
    while latencies.len() < count as usize {
        connection.fill()?;
        let now = origin.elapsed().as_nanos() as u64;
        finishes.clear();
        while let Some(frame) = connection.next_frame()? {
            match frame {
                Frame::Message { id, body, .. } => {
                    let sent = number(body).unwrap_or(now);
                    latencies.push(now.saturating_sub(sent));
                    push_fin(&mut finishes, id);
                }
                other => bail!("instead of a message: {other:?}"),
            }
        }
        connection.send(&finishes)?;
    }
    Ok(latencies)
}
