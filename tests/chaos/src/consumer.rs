//! A consumer: finishes nearly everything at once, keeps some for a while, requeues a little.
//!
//! FIN has no answer. To know when the server has taken some, a FIN of a message that cannot be in
//! flight follows them: it is refused, in its turn.

use std::collections::VecDeque;
use std::io;

use anyhow::{Result, bail};
use nsq_rig::{Connection, Frame, push_fin, push_req};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::stage::{Ledger, Phase, Stage};

/// Messages in flight at most.
pub const READY: u32 = 500;
/// Messages kept before the oldest of them is settled.
const KEPT: usize = 100;
/// Is never in flight.
const FENCE: &[u8; 16] = b"ffffffffffffffff";
/// Longest delay of a REQ, milliseconds.
const DELAY_MS: u32 = 100;

struct Consumer<'a> {
    stage: &'a Stage,
    topic: &'static str,
    channel: &'static str,
    random: StdRng,
    /// Delivered and neither finished nor requeued yet.
    kept: Vec<(u64, [u8; 16])>,
    /// FINs that are to be sent, and those that wait for their fence to be refused.
    finishes: Vec<(u64, [u8; 16])>,
    fenced: VecDeque<Vec<(u64, [u8; 16])>>,
    answers: Vec<u8>,
}

/// Consumes whenever there is a server, until the run is over.
///
/// # Errors
/// When a server sends what it must not; not when it dies.
pub fn run(stage: &Stage, seed: u64, topic: &'static str, channel: &'static str) -> Result<()> {
    let salt = topic.len() * 31 + channel.len();
    let mut consumer = Consumer {
        stage,
        topic,
        channel,
        random: StdRng::seed_from_u64(seed ^ (salt as u64) << 40),
        kept: Vec::new(),
        finishes: Vec::new(),
        fenced: VecDeque::new(),
        answers: Vec::new(),
    };
    let mut seen = 0;
    while let Some((address, generation)) = stage.next_server(seen, Phase::Before, Phase::Over) {
        seen = generation;
        match consumer.connect_and_consume(address) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                bail!("the consumer of {topic}/{channel}: {error}")
            }
            // The server died, or the run is over.
            _ => consumer.interrupted(),
        }
    }
    Ok(())
}

impl Consumer<'_> {
    fn connect_and_consume(&mut self, address: std::net::SocketAddr) -> io::Result<()> {
        let mut connection = Connection::open(address)?;
        connection.subscribe(self.topic, self.channel)?;
        connection.ready(READY)?;
        self.stage.subscribed();
        connection.set_patience(Some(std::time::Duration::from_millis(20)))?;
        while self.stage.phase() < Phase::Over {
            match connection.fill() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.settle_all(),
                filled => filled.and_then(|()| self.take(&mut connection))?,
            }
            self.fence();
            connection.send(&self.answers)?;
            self.answers.clear();
        }
        Ok(())
    }

    /// Takes what was read, and settles some of what it has.
    fn take(&mut self, connection: &mut Connection) -> io::Result<()> {
        let stage = self.stage;
        let mut ledger = stage.ledger();
        while let Some(frame) = connection.next_frame()? {
            match frame {
                Frame::Message { attempts, id, body } => {
                    let (topic, channel, id) = (self.topic, self.channel, *id);
                    let auditor = &mut ledger.auditor;
                    let number = auditor.delivered(topic, channel, body, attempts);
                    // What is not ours is noted, and finished like the rest.
                    self.kept.push((number.unwrap_or(u64::MAX), id));
                }
                Frame::Error(error) if is_refused_fence(error) => {
                    let taken = self.fenced.pop_front();
                    self.finished(&mut ledger, taken);
                }
                // A peer's finish was heard of, or it was handed over.
                Frame::Error(error) if self.stage.manners.paired && is_refused(error) => {
                    let error = error.to_vec();
                    self.not_finished(&error);
                }
                // Nothing times out here, so what was delivered is in flight.
                Frame::Error(error) if is_refused(error) => {
                    let error = String::from_utf8_lossy(error);
                    ledger
                        .auditor
                        .complain(format!("{}/{}: {error}", self.topic, self.channel));
                }
                other => {
                    let what = format!("instead of a message: {other:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
        }
        let keep = self.random.random_range(0..=KEPT);
        while self.kept.len() > keep {
            let at = self.random.random_range(0..self.kept.len());
            self.settle(&mut ledger, at);
        }
        Ok(())
    }

    fn settle_all(&mut self) {
        let stage = self.stage;
        let mut ledger = stage.ledger();
        while !self.kept.is_empty() {
            self.settle(&mut ledger, 0);
        }
    }

    fn settle(&mut self, ledger: &mut Ledger, at: usize) {
        let (number, id) = self.kept.swap_remove(at);
        if self.random.random_bool(0.01) {
            ledger.requeues += 1;
            push_req(
                &mut self.answers,
                &id,
                self.random.random_range(0..=DELAY_MS),
            );
            return;
        }
        self.finishes.push((number, id));
        push_fin(&mut self.answers, &id);
    }

    fn fence(&mut self) {
        if !self.finishes.is_empty() {
            self.fenced.push_back(std::mem::take(&mut self.finishes));
            push_fin(&mut self.answers, FENCE);
        }
    }

    /// The server has taken these by now, or was killed and may have.
    fn finished(
        &self,
        ledger: &mut Ledger,
        numbers: impl IntoIterator<Item = Vec<(u64, [u8; 16])>>,
    ) {
        let now = self.stage.finish_time();
        let auditor = &mut ledger.auditor;
        for (number, _) in numbers.into_iter().flatten() {
            auditor.finished(self.topic, self.channel, number, now);
        }
    }

    /// The server refused to finish one of those that wait for their fence.
    fn not_finished(&mut self, error: &[u8]) {
        let id = error.strip_prefix(b"E_FIN_FAILED FIN ");
        let Some(id) = id.and_then(|rest| rest.first_chunk::<16>()) else {
            return;
        };
        for finishes in &mut self.fenced {
            finishes.retain(|finish| finish.1 != *id);
        }
    }

    /// The server died: what was in flight is another delivery's, and of the last finishes nobody
    /// knows whether it took them.
    fn interrupted(&mut self) {
        let mut ledger = self.stage.ledger();
        self.fence();
        let unknown = std::mem::take(&mut self.fenced);
        self.finished(&mut ledger, unknown);
        ledger.interrupted += self.kept.len() as u64;
        self.kept.clear();
        self.answers.clear();
    }
}

fn is_refused(error: &[u8]) -> bool {
    error.starts_with(b"E_FIN_FAILED ") || error.starts_with(b"E_REQ_FAILED ")
}

fn is_refused_fence(error: &[u8]) -> bool {
    let fence = FENCE.as_slice();
    error.starts_with(b"E_FIN_FAILED ") && error.windows(fence.len()).any(|part| part == fence)
}
