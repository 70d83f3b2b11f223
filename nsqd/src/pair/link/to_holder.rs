//! The origin's end: sends this node's journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::{Lsn, StreamError, StreamReader, Waiter};
use nsq_protocol::PairMessage;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::listing;
use super::super::origin::{Start, position, word};
use super::{End, HEARTBEAT, Side, Told};
use crate::nsqd::Nsqd;

/// Bytes of one RECORD, unless a single one is larger.
const RECORD: usize = 128 << 10;
/// A stretch that holds nothing for the peer is told of only when it is as long as this part of what may be on its way:
/// the peer's own journal grows by hearing of it, and a list waits for the peer to hear of it.
const SKIPPED: Lsn = 2;
/// How long after a WAIT the origin asks again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Sender {
    nsqd: Arc<Nsqd>,
    link: u64,
    told: Arc<Told>,
    watcher: Arc<dyn Waiter>,
    reader: StreamReader,
    phase: Phase,
    listing: Option<JoinHandle<()>>,
}

enum Phase {
    /// HELLO is to be said at this moment.
    Silent(Instant),
    /// It was said.
    Asking,
    /// Records are sent.
    Streaming {
        /// From here.
        begin: Lsn,
        /// The peer was sent everything before this.
        sent: Lsn,
        /// Read so far: what lies between holds nothing for the peer.
        read: Lsn,
    },
}

impl Sender {
    pub(super) fn new(nsqd: Arc<Nsqd>) -> Self {
        let link = {
            let mut shared = nsqd.pair.shared.lock();
            shared.origin_link += 1;
            shared.origin_link
        };
        let told = nsqd.pair.origin_news.begin();
        let watcher: Arc<dyn Waiter> = told.clone();
        nsqd.journal.watch(Arc::clone(&watcher));
        Self {
            reader: nsqd.journal.reader(),
            link,
            told,
            watcher,
            phase: Phase::Silent(Instant::now()),
            listing: None,
            nsqd,
        }
    }

    fn hello(&mut self, out: &mut Vec<u8>) {
        let journal = &self.nsqd.journal;
        let runs = journal.runs().into_iter().map(word).collect();
        let (unreadable, lost) = {
            let shared = self.nsqd.pair.shared.lock();
            (shared.unreadable, shared.lost)
        };
        PairMessage::Hello {
            node: &self.nsqd.pair.node,
            incarnation: journal.incarnation(),
            runs,
            end: journal.tail(),
            oldest: journal.oldest().max(unreadable),
            lost: lost.map(|lost| lost.0),
        }
        .encode(out);
        self.phase = Phase::Asking;
    }

    fn welcomed(&mut self, start: Start, out: &mut Vec<u8>) {
        PairMessage::Start {
            position: word(start.position),
            whole: start.whole,
        }
        .encode(out);
        let at = start.position.lsn;
        self.phase = Phase::Streaming {
            begin: at,
            sent: at,
            read: at,
        };
        if start.list {
            // The list begins behind everything that the peer may have missed.
            let from = self.nsqd.journal.tail();
            self.nsqd.pair.shared.lock().listing = true;
            let list = listing::run(Arc::clone(&self.nsqd), self.link, from);
            self.listing = Some(tokio::spawn(list));
        }
    }

    fn is_behind(&self) -> bool {
        let tail = self.nsqd.journal.tail();
        matches!(self.phase, Phase::Streaming { read, .. } if read < tail)
    }

    fn note_lag(&self) {
        if let Phase::Streaming { sent, read, .. } = self.phase {
            let (tail, now) = (self.nsqd.journal.tail(), self.nsqd.clock.now());
            let pair = &self.nsqd.pair;
            let reached = {
                let mut shared = pair.shared.lock();
                shared.lag.note(tail, now);
                shared.lag.skipped(sent, read);
                shared.lag.reached(shared.copy.acked)
            };
            pair.note_reached(&self.nsqd, reached, tail);
        }
    }

    fn stream(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        let Phase::Streaming { begin, sent, read } = &mut self.phase else {
            return Ok(());
        };
        let counters = &self.nsqd.pair.counters;
        let window = self.nsqd.pager.sent_to_peer();
        while out.len() < super::OUTBOX
            && let Some(reached) = self.nsqd.pair.reached_by(self.link, *begin)
            && *sent < reached + window
        {
            let slice = match self.reader.read(*read, RECORD.min(window as usize)) {
                Ok(Some(slice)) => slice,
                Ok(None) => break,
                Err(StreamError::Gone { oldest }) => {
                    // Recycled, or damaged: the peer gets a list instead.
                    let mut shared = self.nsqd.pair.shared.lock();
                    shared.unreadable = shared.unreadable.max(oldest);
                    return Err(End::Because(format!(
                        "the journal cannot be read before {oldest}"
                    )));
                }
                Err(error) => return Err(End::Because(error.to_string())),
            };
            let waits = slice.waits_for_sync && slice.to == slice.from;
            if slice.waits_for_sync {
                let watcher = Arc::clone(&self.watcher);
                self.nsqd.journal.sync_soon(slice.to + 1, watcher);
            }
            if waits {
                break;
            }
            let from = *sent;
            *read = slice.to;
            // What lies between two runs belongs to neither: a record never covers both.
            if slice.bytes.is_empty() && slice.to - from < window / SKIPPED {
                continue;
            }
            PairMessage::Record {
                run: slice.run,
                from,
                to: slice.to,
                slice: &slice.bytes,
            }
            .encode(out);
            *sent = slice.to;
            counters.records_sent.fetch_add(1, Ordering::Relaxed);
            let bytes = slice.bytes.len() as u64;
            counters.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Side for Sender {
    async fn hear(&mut self, message: PairMessage<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        let pair = &self.nsqd.pair;
        match (message, &self.phase) {
            (PairMessage::Wait { why }, Phase::Asking) => {
                tracing::info!("PAIR: {} asks to wait: {why}", pair.peer);
                self.phase = Phase::Silent(Instant::now() + ASK_AGAIN);
            }
            (
                PairMessage::Welcome {
                    node,
                    incarnation,
                    mirror,
                    adoption,
                },
                Phase::Asking,
            ) => {
                if node != pair.peer {
                    let why = format!("{node} is not the peer of {}, {} is", pair.node, pair.peer);
                    return Err(End::Because(why));
                }
                let start = pair.welcomed(&self.nsqd, self.link, incarnation, mirror, adoption);
                let start = start.ok_or(End::Closed)?;
                self.welcomed(start, out);
            }
            (PairMessage::Ack { position: at, end }, Phase::Streaming { .. })
                if !pair.acknowledged(&self.nsqd, self.link, position(at), end) =>
            {
                return Err(End::Closed);
            }
            (PairMessage::Ack { .. }, Phase::Streaming { .. }) => {}
            (PairMessage::Adopted(adoption), Phase::Streaming { .. }) => {
                pair.told_adopted(&self.nsqd, self.link, adoption);
            }
            (message, _) => {
                let why = format!("unexpected at an origin: {message:?}");
                return Err(End::Because(why));
            }
        }
        Ok(())
    }

    async fn speak(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        if self.nsqd.pair.shared.lock().origin_link != self.link {
            return Err(End::Because("there is a newer link".to_owned()));
        }
        match self.phase {
            Phase::Silent(at) if at <= Instant::now() => self.hello(out),
            Phase::Silent(_) | Phase::Asking => {}
            Phase::Streaming { .. } => {
                if self.is_behind() && self.nsqd.pair.several_wait() {
                    // More of them are about to publish: their messages go with this record.
                    tokio::task::yield_now().await;
                }
                self.stream(out)?;
                self.note_lag();
            }
        }
        Ok(())
    }

    fn news(&self) -> &Notify {
        &self.told.0
    }

    fn patience(&self) -> Duration {
        match self.phase {
            Phase::Silent(at) => at.saturating_duration_since(Instant::now()),
            _ => HEARTBEAT,
        }
    }

    fn end(&mut self) {
        self.nsqd.journal.unwatch(&self.watcher);
        self.nsqd.pair.origin_down(&self.nsqd, self.link);
        if let Some(listing) = self.listing.take() {
            listing.abort();
        }
    }
}

impl Drop for Sender {
    /// Also when the task is ended from outside.
    fn drop(&mut self) {
        self.end();
    }
}
