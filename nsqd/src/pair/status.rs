//! How the pair stands, for metrics, statistics and whoever decides about it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_queue::Unmirrored;
use serde::Serialize;

use super::Pair;
use crate::nsqd::Nsqd;

/// The answer of `/pair`. Positions are bytes of the respective journal.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub(crate) struct Status {
    pub node: String,
    pub peer: String,
    pub incarnation: String,
    pub run: u64,
    /// The peer has all of this node's messages, this node is connected to it both ways, and nothing is being
    /// imported. When both nodes say so, either disk may be lost.
    pub mirrored: bool,
    /// The peer reads this journal.
    pub origin_link: bool,
    /// This node reads the peer's.
    pub holder_link: bool,
    /// OKs do not wait for the peer, or are refused: it has not acknowledged for too long.
    pub peer_lost: bool,
    pub unmirrored_messages: u64,
    pub unmirrored_bytes: u64,
    /// Nanoseconds since 1970; 0 if there is none.
    pub unmirrored_oldest: i64,
    /// Bytes of journal the peer has not acknowledged.
    pub lag_bytes: u64,
    /// The peer is sent a list of everything.
    pub listing: bool,
    pub mirror: Option<MirrorStatus>,
    pub adoption: Option<AdoptionStatus>,
    pub records_sent: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub adoptions: u64,
    pub imported: u64,
    pub released: u64,
    pub listings: u64,
    pub losses: u64,
}

#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub(crate) struct MirrorStatus {
    pub node: String,
    pub incarnation: String,
    pub run: u64,
    pub end: u64,
    /// Nothing unfinished of the peer's is missing.
    pub whole: bool,
}

#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub(crate) struct AdoptionStatus {
    pub incarnation: String,
    pub run: u64,
    pub through: u64,
    pub done: bool,
}

impl Pair {
    /// How things stand.
    pub(crate) fn status(&self, nsqd: &Arc<Nsqd>) -> Status {
        let (up, copy, listing, mirror, adoption, importing) = {
            let shared = self.shared.lock();
            let mirror = shared.mirror.as_ref().map(|mirror| MirrorStatus {
                node: mirror.node.clone(),
                incarnation: format!("{:016x}", mirror.incarnation),
                run: mirror.end.run,
                end: mirror.end.lsn,
                whole: mirror.whole,
            });
            let adoption = shared.adoption.map(|adoption| AdoptionStatus {
                incarnation: format!("{:016x}", adoption.incarnation),
                run: adoption.through.run,
                through: adoption.through.lsn,
                done: adoption.done.is_some(),
            });
            (
                (shared.origin_up, shared.holder_up),
                shared.copy,
                shared.listing,
                mirror,
                adoption,
                shared.is_importing(),
            )
        };
        // R17: what is not mirrored becomes less by ACK only.
        let unmirrored = unmirrored(nsqd, copy.mirrored());
        let whole = mirror.as_ref().is_none_or(|mirror| mirror.whole);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Status {
            node: self.node.clone(),
            peer: self.peer.clone(),
            incarnation: format!("{:016x}", nsqd.journal.incarnation()),
            run: nsqd.journal.run(),
            mirrored: up == (true, true)
                && unmirrored.messages == 0
                && copy.whole
                && whole
                && !importing,
            origin_link: up.0,
            holder_link: up.1,
            peer_lost: self.gate.lock().gate.is_lost(),
            unmirrored_messages: unmirrored.messages,
            unmirrored_bytes: unmirrored.bytes,
            unmirrored_oldest: unmirrored.oldest,
            lag_bytes: nsqd.journal.tail().saturating_sub(copy.acked),
            listing,
            mirror,
            adoption,
            records_sent: count(&counters.records_sent),
            bytes_sent: count(&counters.bytes_sent),
            bytes_received: count(&counters.bytes_received),
            adoptions: count(&counters.adoptions),
            imported: count(&counters.imported),
            released: count(&counters.released),
            listings: count(&counters.listings),
            losses: count(&counters.losses),
        }
    }
}

fn unmirrored(nsqd: &Nsqd, acked: u64) -> Unmirrored {
    let mut sum = Unmirrored::default();
    for topic in nsqd.topics() {
        if topic.level() == crate::options::Durability::Memory {
            continue;
        }
        let of_topic = topic.read(|queue| queue.unmirrored(acked));
        sum.messages += of_topic.messages;
        sum.bytes += of_topic.bytes;
        let oldest = [sum.oldest, of_topic.oldest];
        let oldest = oldest.into_iter().filter(|oldest| *oldest > 0).min();
        sum.oldest = oldest.unwrap_or(0);
    }
    sum
}
