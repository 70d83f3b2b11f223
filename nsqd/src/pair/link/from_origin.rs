//! The holder's end: keeps what the peer's journal has.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::Waiter;
use nsq_protocol::PairMessage;
use tokio::sync::Notify;

use super::super::holder::Greeting;
use super::super::origin::{position, word};
use super::super::receive::told_adoption;
use super::super::runs::Runs;
use super::{End, HEARTBEAT, Side, Told};
use crate::live_topic::Kept;
use crate::nsqd::Nsqd;
use crate::options::Durability;

pub(super) struct Receiver {
    nsqd: Arc<Nsqd>,
    link: u64,
    told: Arc<Told>,
    /// Whose journal.
    incarnation: u64,
    phase: Phase,
    /// End in the own journal of what was received since it was last written.
    staged: u64,
    /// The adoption the origin was told of.
    adoption_told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For a HELLO.
    Waiting,
    /// For START.
    Welcomed,
    Receiving,
}

impl Receiver {
    pub(super) fn new(nsqd: Arc<Nsqd>) -> Self {
        let link = {
            let mut shared = nsqd.pair.shared.lock();
            shared.holder_link += 1;
            shared.holder_up = false;
            shared.holder_link
        };
        let told = nsqd.pair.holder_news.begin();
        Self {
            nsqd,
            link,
            told,
            incarnation: 0,
            phase: Phase::Waiting,
            staged: 0,
            adoption_told: false,
        }
    }

    fn is_current(&self) -> bool {
        self.nsqd.pair.shared.lock().holder_link == self.link
    }

    async fn greeted(
        &mut self,
        node: &str,
        incarnation: u64,
        runs: Runs,
        lost: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let pair = &self.nsqd.pair;
        if node != pair.peer {
            let why = format!("{node} is not the peer of {}, {} is", pair.node, pair.peer);
            return Err(End::Because(why));
        }
        let greeting = pair.greeted(&self.nsqd, incarnation, &runs, lost);
        match greeting.map_err(|error| End::Because(error.to_string()))? {
            Greeting::Adopt(why) | Greeting::Wait(why) => {
                PairMessage::Wait { why }.encode(out);
            }
            Greeting::Cut(_) | Greeting::Welcome => {
                // R6, R8: what it is told of is kept.
                let level = match self.nsqd.options.durability {
                    Durability::Memory => Durability::Write,
                    level => level,
                };
                let tail = self.nsqd.journal.tail();
                let kept = self.nsqd.keep(Kept::here(level, tail)).await;
                kept.map_err(|error| End::Because(error.to_string()))?;
                self.incarnation = incarnation;
                self.adoption_told = self.adoption_done();
                let told = pair.welcome(&self.nsqd, self.link, incarnation, out);
                told.map_err(|refusal| End::Because(refusal.to_string()))?;
                self.phase = Phase::Welcomed;
            }
        }
        Ok(())
    }

    fn adoption_done(&self) -> bool {
        let adoption = self.nsqd.pair.adoption();
        adoption.is_some_and(|adoption| {
            adoption.incarnation == self.incarnation && adoption.done.is_some()
        })
    }
}

impl Side for Receiver {
    async fn hear(&mut self, message: PairMessage<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        if !self.is_current() {
            return Err(End::Because("there is a newer link".to_owned()));
        }
        let pair = &self.nsqd.pair;
        match (message, self.phase) {
            (
                PairMessage::Hello {
                    node,
                    incarnation,
                    runs,
                    end,
                    lost,
                    ..
                },
                Phase::Waiting,
            ) => {
                let runs = runs.into_iter().map(position).collect();
                self.greeted(node, incarnation, Runs { runs, end }, lost, out)
                    .await?;
            }
            (
                PairMessage::Start {
                    position: at,
                    whole,
                },
                Phase::Welcomed,
            ) => {
                let start = (position(at), whole);
                let started = pair.started(&self.nsqd, self.link, self.incarnation, start);
                started.map_err(|refusal| End::Because(refusal.to_string()))?;
                // Where nothing follows, nobody else has this kept, and the own peer would wait for it.
                self.staged = self.nsqd.journal.tail();
                self.phase = Phase::Receiving;
            }
            (
                PairMessage::Record {
                    run,
                    from,
                    to,
                    slice,
                },
                Phase::Receiving,
            ) => {
                self.nsqd.pager.room().await;
                let place = (run, from, to);
                let received = pair.received(&self.nsqd, self.link, self.incarnation, place, slice);
                self.staged = received.map_err(|refusal| End::Because(refusal.to_string()))?;
                let bytes = slice.len() as u64;
                let counters = &pair.counters;
                counters.bytes_received.fetch_add(bytes, Ordering::Relaxed);
                let pool = self.nsqd.journal.pool();
                pool.prepare();
                self.nsqd.pager.note_growth(&self.nsqd.journal);
            }
            (message, _) => {
                let why = format!("unexpected at a holder: {message:?}");
                return Err(End::Because(why));
            }
        }
        Ok(())
    }

    async fn speak(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        if !self.is_current() {
            return Err(End::Because("there is a newer link".to_owned()));
        }
        let journal = &self.nsqd.journal;
        if self.staged > 0 {
            let staged = std::mem::take(&mut self.staged);
            match self.nsqd.options.durability {
                Durability::Fsync => {
                    let waiter: Arc<dyn Waiter> = self.told.clone();
                    journal.sync_soon(staged, waiter);
                    // The sync thread takes a moment to awake: it may find this written, or does it itself.
                    let _ = journal.try_write(staged);
                }
                _ => {
                    let written = journal.write(staged);
                    written.map_err(|error| End::Because(error.to_string()))?;
                }
            }
        }
        if self.phase == Phase::Receiving {
            let end = journal.tail();
            if let Some(kept) = self.nsqd.pair.to_acknowledge(&self.nsqd) {
                PairMessage::Ack {
                    position: word(kept),
                    end,
                }
                .encode(out);
            }
            let done = self.adoption_done();
            if done && !self.adoption_told {
                let adoption = self.nsqd.pair.adoption();
                if let Some(adoption) = adoption {
                    PairMessage::Adopted(told_adoption(&adoption)).encode(out);
                }
            }
            self.adoption_told = done;
        }
        journal
            .health()
            .map_err(|error| End::Because(error.to_string()))
    }

    fn news(&self) -> &Notify {
        &self.told.0
    }

    fn patience(&self) -> Duration {
        // An adoption that ends while nothing arrives is told of soon.
        match self.adoption_told {
            true => HEARTBEAT,
            false => HEARTBEAT / 10,
        }
    }

    fn end(&mut self) {
        let mut shared = self.nsqd.pair.shared.lock();
        if shared.holder_link == self.link {
            shared.holder_up = false;
        }
    }
}

impl Drop for Receiver {
    /// Also when the task is ended from outside.
    fn drop(&mut self) {
        self.end();
    }
}
