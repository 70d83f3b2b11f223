//! The origin's side of an adoption: what the peer owns now is let go, once the own mirror has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::{Lsn, Position, Record};
use nsq_protocol::{PairAdoption, PairMirror};

use super::origin::{self, Start, adopted, may_release};
use super::{Pair, Shared};
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

/// R14: how long a node that comes back waits to be told what was adopted meanwhile, nanoseconds.
const ASKING: i64 = 1_000_000_000;
/// How often answers that wait for the peer are looked at.
const LOOK: Duration = Duration::from_millis(50);

impl Pair {
    /// A node starts with messages: they may be the peer's by now.
    pub(crate) fn hold_back(&self, nsqd: &Arc<Nsqd>) {
        if !self.is_configured() {
            return;
        }
        let mut shared = self.shared.lock();
        let mut some = false;
        for topic in nsqd.topics() {
            topic.change_now(nsqd, |queue, effects| {
                if queue.has_through(Lsn::MAX) {
                    queue.hold_back(true, effects);
                    some = true;
                }
            });
        }
        shared.held_back = some.then(|| nsqd.clock.now());
    }

    fn let_go_on(nsqd: &Arc<Nsqd>, shared: &mut Shared, but: Option<Lsn>) {
        for topic in nsqd.topics() {
            topic.change_now(nsqd, |queue, effects| {
                let held = but.is_some_and(|through| queue.has_through(through));
                queue.hold_back(held, effects);
            });
        }
        if but.is_none() {
            shared.held_back = None;
        }
    }

    /// WELCOME: what the holder has, and what it adopted. Where the stream begins.
    pub(super) fn welcomed(
        &self,
        nsqd: &Arc<Nsqd>,
        link: u64,
        holder: u64,
        mirror: Option<PairMirror>,
        adoption: Option<PairAdoption>,
    ) -> Option<Start> {
        let runs = self.runs(nsqd);
        let mut shared = self.shared.lock();
        if shared.origin_link != link {
            return None;
        }
        let oldest = nsqd.journal.oldest().max(shared.unreadable);
        let start = origin::start(&runs, oldest, nsqd.journal.tail(), mirror);
        // R7: forget what was acknowledged before.
        self.gate.lock().level_at = nsqd.journal.tail();
        shared.copy = origin::welcomed(&runs, holder, mirror);
        shared.copy.whole = start.whole;
        if start.list {
            shared.lost = None; // the list makes up for it
        }
        let unlisted = if start.list { nsqd.journal.tail() } else { 0 };
        self.unlisted.store(unlisted, Ordering::Release);
        shared.origin_up = true;
        shared.heard = nsqd.clock.now();
        self.finishes.lock().reset();
        shared.adopted = adoption.map(|adoption| adopted(&runs, holder, adoption));
        self.consider(nsqd, &mut shared);
        let acked = shared.copy.acked;
        let (tail, now) = (nsqd.journal.tail(), nsqd.clock.now());
        shared.lag.up(tail);
        shared.lag.acknowledged(acked);
        drop(shared);
        self.change_gate(nsqd, |gate| gate.welcomed(acked, tail, now));
        Some(start)
    }

    /// ADOPTED, while the link is up.
    pub(super) fn told_adopted(&self, nsqd: &Arc<Nsqd>, link: u64, adoption: PairAdoption) {
        let runs = self.runs(nsqd);
        let mut shared = self.shared.lock();
        if shared.origin_link == link {
            let holder = shared.copy.holder;
            shared.adopted = Some(adopted(&runs, holder, adoption));
            self.consider(nsqd, &mut shared);
        }
    }

    /// ACK: on the present connection only.
    pub(super) fn acknowledged(
        &self,
        nsqd: &Arc<Nsqd>,
        link: u64,
        position: Position,
        peer_end: Lsn,
    ) -> bool {
        let runs = self.runs(nsqd);
        let mut shared = self.shared.lock();
        if shared.origin_link != link {
            return false;
        }
        shared.copy.acknowledged(&runs, position);
        let acked = shared.copy.acked;
        shared.lag.acknowledged(acked);
        let listing = shared.listing;
        if shared.copy.whole {
            self.unlisted.store(0, Ordering::Release);
        }
        drop(shared);
        // Until a list has told of them again, the peer may have been skipped over finishes.
        if !listing {
            self.finishes.lock().acknowledged(acked, peer_end);
        }
        let (tail, now) = (nsqd.journal.tail(), nsqd.clock.now());
        self.change_gate(nsqd, |gate| gate.acknowledged(acked, tail, now));
        true
    }

    /// The copy lacks nothing before `reached`: what lies behind the last acknowledgement may be nothing for the peer,
    /// and then no other will come.
    pub(super) fn note_reached(&self, nsqd: &Nsqd, reached: Lsn, tail: Lsn) {
        if self.gate.lock().gate.is_lost() {
            self.change_gate(nsqd, |gate| gate.lacks_nothing(reached, tail));
        }
    }

    /// The link to the holder is gone: what was held back is still this node's.
    pub(super) fn origin_down(&self, nsqd: &Arc<Nsqd>, link: u64) {
        let mut shared = self.shared.lock();
        if shared.origin_link != link {
            return;
        }
        shared.origin_up = false;
        shared.listing = false;
        shared.lag.down(nsqd.clock.now());
        if shared.adopted.take().is_some() && shared.held_back.is_some() {
            Self::let_go_on(nsqd, &mut shared, None);
        }
        drop(shared);
        let unlisted = self.unlisted();
        if unlisted > 0 {
            let now = nsqd.clock.now();
            self.change_gate(nsqd, |gate| {
                gate.broke_off(unlisted, now);
                false
            });
            self.watch.notify_one();
        }
    }

    /// Whether own messages are to be held back, let go, or delivered.
    fn consider(&self, nsqd: &Arc<Nsqd>, shared: &mut Shared) {
        let Some(adopted) = shared.adopted else {
            return Self::let_go_on(nsqd, shared, None);
        };
        let through = adopted.through;
        let owned = |topic: &Arc<crate::LiveTopic>| topic.read(|queue| queue.has_through(through));
        if !nsqd.topics().iter().any(owned) {
            shared.adopted = None;
            return Self::let_go_on(nsqd, shared, None);
        }
        if !may_release(&adopted, &shared.copy, shared.covering()) {
            shared.held_back.get_or_insert(nsqd.clock.now());
            return Self::let_go_on(nsqd, shared, Some(through));
        }
        let position = Position {
            run: nsqd.journal.run(),
            lsn: through,
        };
        // One record for all topics, under the pair's lock: see recovery.
        if let Err(error) = nsqd.journal.append(&Record::Release { through: position }) {
            tracing::error!("PAIR: cannot hand over yet - {error}");
            return;
        }
        for topic in nsqd.topics() {
            release(nsqd, &topic, through);
        }
        self.counters.released.fetch_add(1, Ordering::Relaxed);
        tracing::info!("PAIR: handed over what came before {through}");
        shared.adopted = None;
        Self::let_go_on(nsqd, shared, None);
    }

    /// What the passing of time brings.
    fn look(&self, nsqd: &Arc<Nsqd>) {
        let now = nsqd.clock.now();
        self.change_gate(nsqd, |gate| gate.tick(now));
        let mut shared = self.shared.lock();
        if shared.adopted.is_some() {
            self.consider(nsqd, &mut shared);
        } else if shared.held_back.is_some_and(|since| now - since >= ASKING) {
            // R14: unanswered, everything is served: duplicates, no loss.
            Self::let_go_on(nsqd, &mut shared, None);
        }
    }
}

/// Lets go of a topic's messages up to `through`, to the message.
pub(super) fn release(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, through: Lsn) {
    for (page, pos) in topic.read(|queue| queue.straddling(through)) {
        match nsqd.read_block(&page) {
            Ok(paged) => drop(topic.change_now(nsqd, |queue, _| queue.page_in(pos, paged))),
            // The block stays, and costs duplicates.
            Err(error) => tracing::error!("TOPIC({}): {error}", topic.name),
        }
    }
    topic.change_now(nsqd, |queue, effects| {
        queue.release_through(through, effects);
        queue.evict();
    });
}

/// Looks after answers that wait for the peer and after hand-overs. Runs until its task is ended.
pub async fn run(nsqd: Arc<Nsqd>) {
    let pair = &nsqd.pair;
    loop {
        pair.look(&nsqd);
        let busy = {
            let shared = pair.shared.lock();
            shared.held_back.is_some() || shared.adopted.is_some()
        };
        let waits = pair.gate.lock().gate.deadline().is_some();
        let watch = pair.watch.notified();
        match busy || waits {
            false => watch.await,
            true => tokio::time::sleep(LOOK).await,
        }
    }
}
