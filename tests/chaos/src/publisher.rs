//! A publisher: a few commands at a time, of every kind, and then their answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use nsq_auditor::encode;
use nsq_rig::{Connection, Frame, push_dpub, push_mpub, push_pub};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::stage::{Phase, Stage, TOPICS};

/// Commands that wait for their answers at most.
const WINDOW: usize = 4;
/// Messages in an MPUB at most.
const BATCH: usize = 20;
/// Bytes of an ordinary body at most, and of the rare large one.
const BODY_BYTES: usize = 300;
const LARGE_BODY_BYTES: usize = 40_000;
/// Longest delay of a DPUB, milliseconds.
const DELAY_MS: u32 = 300;

/// After a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// Numbers of one publisher lie together.
const NUMBERS: u64 = 1 << 32;

struct Publisher<'a> {
    stage: &'a Stage,
    random: StdRng,
    next: u64,
}

/// Publishes whenever there is a server, until only draining is left.
///
/// # Errors
/// When a server answers what it must not; not when it dies.
pub fn run(stage: &Stage, seed: u64, publisher: u64) -> Result<()> {
    let mut publisher = Publisher {
        stage,
        random: StdRng::seed_from_u64(seed ^ (publisher + 1) << 20),
        next: publisher * NUMBERS,
    };
    let mut seen = 0;
    while let Some((address, generation)) = stage.next_server(seen, Phase::Publish, Phase::Drain) {
        seen = generation;
        while let Err(trouble) = publisher.connect_and_publish(address) {
            match trouble {
                Trouble::Answer(answer) => bail!("a publisher got {answer}"),
                // It died or its disk did, and the next one will be told.
                _ if !stage.is_there(generation) || stage.phase() >= Phase::Drain => break,
                Trouble::Refused(answer) if !stage.manners.refusals => {
                    bail!("a publisher was refused: {answer}")
                }
                Trouble::Refused(_) => stage.ledger().refused += 1,
                _ if !stage.manners.refusals => break,
                Trouble::Unanswered => stage.ledger().unanswered += 1,
                Trouble::Gone => {}
            }
            std::thread::sleep(REFUSED_PAUSE);
        }
    }
    Ok(())
}

enum Trouble {
    /// The connection ended before anything was sent, or the server died.
    Gone,
    /// It ended instead of an answer.
    Unanswered,
    /// An error frame.
    Refused(String),
    Answer(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Answer(error.to_string()),
            _ => Self::Unanswered,
        }
    }
}

impl Publisher<'_> {
    fn connect_and_publish(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        let mut connection = Connection::open(address).map_err(|_| Trouble::Gone)?;
        self.publish(&mut connection)
    }

    fn publish(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        // After a refusal nothing that was sent behind it is answered.
        let window = if self.stage.manners.refusals {
            1
        } else {
            WINDOW
        };
        let mut commands = Vec::new();
        // The numbers that each command carries.
        let mut outstanding = Vec::new();
        while self.stage.phase() < Phase::Drain {
            commands.clear();
            outstanding.clear();
            for _ in 0..self.random.random_range(1..=window) {
                outstanding.push(self.command(&mut commands));
            }
            connection.send(&commands)?;
            for numbers in &outstanding {
                answered(connection)?;
                let mut ledger = self.stage.ledger();
                numbers
                    .clone()
                    .for_each(|number| ledger.auditor.acknowledged(number));
            }
        }
        Ok(())
    }

    /// Adds a command; the numbers of its messages.
    fn command(&mut self, commands: &mut Vec<u8>) -> std::ops::Range<u64> {
        let topic = TOPICS[self.random.random_range(0..TOPICS.len())].0;
        let kind = self.random.random_range(0..100);
        let count = match kind {
            0..15 => self.random.random_range(1..=BATCH),
            _ => 1,
        };
        let numbers = self.next..self.next + count as u64;
        self.next = numbers.end;
        let bodies: Vec<Vec<u8>> = numbers.clone().map(|number| self.body(number)).collect();
        {
            let mut ledger = self.stage.ledger();
            numbers
                .clone()
                .for_each(|number| ledger.auditor.sent(topic, number));
        }
        match kind {
            0..15 => push_mpub(commands, topic, bodies.iter().map(Vec::as_slice)),
            15..30 => {
                let delay = self.random.random_range(0..=DELAY_MS);
                push_dpub(commands, topic, delay, &bodies[0]);
            }
            _ => push_pub(commands, topic, &bodies[0]),
        }
        numbers
    }

    fn body(&mut self, number: u64) -> Vec<u8> {
        let most = match self.random.random_bool(0.001) {
            true => LARGE_BODY_BYTES,
            false => BODY_BYTES,
        };
        encode(number, self.random.random_range(0..=most))
    }
}

fn answered(connection: &mut Connection) -> Result<(), Trouble> {
    loop {
        match connection.next_frame()? {
            Some(Frame::Response(b"OK")) => return Ok(()),
            Some(Frame::Error(error)) => {
                return Err(Trouble::Refused(
                    String::from_utf8_lossy(error).into_owned(),
                ));
            }
            Some(other) => return Err(Trouble::Answer(format!("{other:?}"))),
            None => connection.fill()?,
        }
    }
}
