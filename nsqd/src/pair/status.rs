//! How the pair stands, for metrics, statistics and whoever decides about it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_http_api::{AdoptionStatus, MirrorStatus, PairStatus};
use nsq_queue::Unmirrored;

use super::{Pair, Shared};
use crate::nsqd::Nsqd;

impl Pair {
    /// How things stand.
    pub(crate) fn status(&self, nsqd: &Arc<Nsqd>) -> PairStatus {
        let (tail, now) = (nsqd.journal.tail(), nsqd.clock.now());
        let (
            up,
            (copy, (peer_lost, level_at)),
            (lag, reached),
            listing,
            mirror,
            adoption,
            importing,
        ) = {
            let shared = self.shared.lock();
            let (mirror, adoption) = shared.told();
            (
                (shared.origin_up, shared.holder_up),
                (shared.copy, {
                    let waiting = self.gate.lock();
                    (waiting.gate.is_lost(), waiting.level_at)
                }),
                (
                    shared.lag.behind(shared.copy.acked, tail, now),
                    shared.lag.reached(shared.copy.acked),
                ),
                shared.listing,
                mirror,
                adoption,
                shared.is_importing(),
            )
        };
        // R17: what is not mirrored becomes less by ACK only.
        let unmirrored = unmirrored(nsqd, copy.mirrored());
        let whole = mirror.as_ref().is_none_or(|mirror| mirror.whole);
        PairStatus {
            node: self.node.clone(),
            peer: self.peer.clone(),
            incarnation: format!("{:016x}", nsqd.journal.incarnation()),
            run: nsqd.journal.run(),
            mirrored: up == (true, true)
                && !peer_lost
                && match self.awaited {
                    // What only this node has beyond that nobody was told to be kept.
                    true => reached >= level_at,
                    false => unmirrored.messages == 0,
                }
                && copy.whole
                && whole
                && !importing,
            origin_link: up.0,
            holder_link: up.1,
            peer_lost,
            unmirrored_messages: unmirrored.messages,
            unmirrored_bytes: unmirrored.bytes,
            unmirrored_oldest: unmirrored.oldest,
            lag_messages: match copy.whole {
                true => unmirrored.messages,
                false => self::unmirrored(nsqd, copy.acked).messages,
            },
            lag_bytes: lag.0,
            lag_seconds: lag.1 as f64 / 1e9,
            listing,
            mirror,
            adoption,
            adopt_after: self.adopt_after_status(now),
            ..self.totals()
        }
    }

    /// What is counted since the start.
    fn totals(&self) -> PairStatus {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        PairStatus {
            records_sent: count(&counters.records_sent),
            bytes_sent: count(&counters.bytes_sent),
            bytes_received: count(&counters.bytes_received),
            adoptions: count(&counters.adoptions),
            imported: count(&counters.imported),
            duplicates_expected: count(&counters.duplicates_expected),
            released: count(&counters.released),
            listings: count(&counters.listings),
            losses: count(&counters.losses),
            ..PairStatus::default()
        }
    }
}

impl Shared {
    /// The mirror and the last adoption, as they are told of.
    fn told(&self) -> (Option<MirrorStatus>, Option<AdoptionStatus>) {
        let mirror = self.mirror.as_ref().map(|mirror| MirrorStatus {
            node: mirror.node.clone(),
            incarnation: format!("{:016x}", mirror.incarnation),
            run: mirror.end.run,
            end: mirror.end.lsn,
            whole: mirror.whole,
        });
        let adoption = self.adoption.map(|adoption| AdoptionStatus {
            incarnation: format!("{:016x}", adoption.incarnation),
            run: adoption.through.run,
            through: adoption.through.lsn,
            done: adoption.done.is_some(),
        });
        (mirror, adoption)
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
