//! Who waits for the peer, and how they are let out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_journal::Lsn;
use tokio::sync::Notify;

use super::Pair;
use super::gate::{Gate, Passage, PeerLost};
use crate::client::Client;
use crate::live_topic::Kept;
use crate::nsqd::Nsqd;
use crate::options::Durability;

pub(super) struct Waiting {
    pub(super) gate: Gate,
    /// Everything that was acknowledged without the peer, or taken over, lies before this. Beyond, OKs wait for the peer.
    pub(super) level_at: Lsn,
    pub(super) clients: Vec<(Kept, Arc<Client>)>,
    pub(super) others: Vec<(Lsn, Arc<Notify>)>,
}

impl Pair {
    /// Has a connection woken once the peer has what was `kept` here, or is lost. True: nobody else waits.
    pub(crate) fn wake_at(&self, nsqd: &Nsqd, kept: Kept, client: &Arc<Client>) -> bool {
        let at = kept.at;
        let mut waiting = self.gate.lock();
        waiting.gate.waits_for(at, nsqd.clock.now());
        match waiting.clients.last_mut() {
            Some((last, same))
                if Arc::ptr_eq(same, client)
                    && last.level == kept.level
                    && (last.at <= self.unlisted()) == (at <= self.unlisted()) =>
            {
                last.at = at.max(last.at);
            }
            _ => waiting.clients.push((kept, Arc::clone(client))),
        }
        let alone = waiting.clients.len() == 1;
        drop(waiting);
        if self.passes(at) || self.refuses() {
            self.let_out(nsqd, kept, client);
        }
        self.watch.notify_one();
        alone
    }

    /// More than one connection waits for the peer.
    pub(super) fn several_wait(&self) -> bool {
        self.gate.lock().clients.len() > 1
    }

    /// The peer no longer holds up the client's answers.
    fn let_out(&self, nsqd: &Nsqd, kept: Kept, client: &Arc<Client>) {
        match kept.level {
            // The own sync has woken nobody: see `OwnSync`.
            Durability::Fsync if !self.refuses() => {
                nsqd.journal.sync_soon(kept.at, client.clone());
            }
            _ => client.wake(),
        }
    }

    /// Returns once the peer has everything before `at`.
    pub(crate) async fn wait(&self, nsqd: &Nsqd, at: Lsn) -> Result<(), PeerLost> {
        let told = Arc::new(Notify::new());
        {
            let mut waiting = self.gate.lock();
            waiting.gate.waits_for(at, nsqd.clock.now());
            waiting.others.push((at, Arc::clone(&told)));
        }
        self.watch.notify_one();
        loop {
            match () {
                () if self.passes(at) => return Ok(()),
                () if self.refuses() => return Err(PeerLost),
                () => told.notified().await,
            }
        }
    }

    /// Changes the gate and lets out whom it lets out.
    pub(super) fn change_gate(&self, nsqd: &Nsqd, change: impl FnOnce(&mut Gate) -> bool) {
        let mut waiting = self.gate.lock();
        let was_lost = waiting.gate.is_lost();
        change(&mut waiting.gate);
        let lost = waiting.gate.is_lost();
        match (was_lost, lost) {
            (_, true) => waiting.level_at = Lsn::MAX,
            // The last OK without the peer lies before the end.
            (true, false) => waiting.level_at = nsqd.journal.tail(),
            (false, false) => {}
        }
        let (passable, refuses) = match waiting.gate.passage() {
            Passage::Through(through) => (through, false),
            Passage::Refused(through) => (through, true),
        };
        self.passable.store(passable, Ordering::Release);
        self.refuses.store(refuses, Ordering::Release);
        let goes = |at: Lsn| refuses || self.passes(at);
        let clients = std::mem::take(&mut waiting.clients);
        let (out, rest): (Vec<_>, Vec<_>) = clients.into_iter().partition(|one| goes(one.0.at));
        waiting.clients = rest;
        let others = std::mem::take(&mut waiting.others);
        let (told, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|one| goes(one.0));
        waiting.others = rest;
        drop(waiting);
        for (kept, client) in &out {
            self.let_out(nsqd, *kept, client);
        }
        told.iter().for_each(|(_, told)| told.notify_one());
        if lost && !was_lost {
            self.counters.losses.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("PAIR: {} does not acknowledge, going on alone", self.peer);
        } else if was_lost && !lost {
            tracing::info!("PAIR: {} has caught up", self.peer);
        }
    }
}
