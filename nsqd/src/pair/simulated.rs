//! What simulations ask of a pair, and order.

use std::sync::Arc;

use nsq_queue::{Topic, Unfinished};

use super::Order;
use super::mirror::Mirror;
use crate::host::{ChunkRef, NsqHost};
use crate::nsqd::Nsqd;

/// This node's part of "either disk may be lost now".
pub fn is_mirrored(nsqd: &Arc<Nsqd>) -> bool {
    nsqd.pair.status(nsqd).mirrored
}

/// Adoptions begun since the start.
pub fn adoptions(nsqd: &Nsqd) -> u64 {
    let counters = &nsqd.pair.counters;
    counters
        .adoptions
        .load(std::sync::atomic::Ordering::Relaxed)
}

/// Times since the start that this node let go of what its peer had adopted.
pub fn handovers(nsqd: &Nsqd) -> u64 {
    let counters = &nsqd.pair.counters;
    counters.released.load(std::sync::atomic::Ordering::Relaxed)
}

/// The peer lacks a part of a list, and has acknowledged what came behind its beginning.
pub fn is_list_awaited(nsqd: &Nsqd) -> bool {
    let unlisted = nsqd.pair.unlisted();
    unlisted > 0 && nsqd.pair.shared.lock().copy.acked >= unlisted
}

/// An adoption is under way.
pub fn is_importing(nsqd: &Nsqd) -> bool {
    nsqd.pair.shared.lock().is_importing()
}

/// What an adoption imports, or has imported, is not durable yet.
pub fn is_import_unsynced(nsqd: &Nsqd) -> bool {
    let adoption = nsqd.pair.shared.lock().adoption;
    let durable = nsqd.journal.durable();
    adoption.is_some_and(|adoption| adoption.done.is_none_or(|done| durable < done.lsn))
}

/// The peer has kept all of this node's journal that concerns it.
pub fn is_level(nsqd: &Arc<Nsqd>) -> bool {
    let status = nsqd.pair.status(nsqd);
    status.mirrored && status.lag_bytes == 0
}

/// Everything there is to say, for whoever looks for a reason.
pub fn describe(nsqd: &Arc<Nsqd>) -> String {
    let (held, adopted) = {
        let shared = nsqd.pair.shared.lock();
        (shared.held_back, shared.adopted)
    };
    let topics = nsqd.topics();
    let topics = topics.iter().map(|topic| {
        topic.read(|queue| {
            let stats = queue.stats();
            let channels = stats.channels.iter().map(|channel| {
                let (waits, held) = (channel.depth, channel.in_flight_count);
                format!("{} {waits}+{held}+{}", channel.name, channel.deferred_count)
            });
            let channels: Vec<String> = channels.collect();
            format!(
                "{}: depth {}, {channels:?}, {}",
                stats.name,
                stats.depth,
                queue.delivery()
            )
        })
    });
    let topics: Vec<String> = topics.collect();
    format!(
        "held back {held:?}, adopted {adopted:?}, {topics:?}, {:?}",
        nsqd.pair.status(nsqd)
    )
}

/// Orders to adopt what this node mirrors, if it mirrors anything.
pub fn adopt(nsqd: &Arc<Nsqd>, node: &str) {
    let order = Order {
        node,
        incarnation: None,
        run: None,
    };
    // Without a mirror, or with a disk that fails, there is nothing to be done about it.
    let _ = nsqd.pair.order(nsqd, &order);
}

/// Something of the peer's is unfinished in the mirror.
pub fn mirror_is_pending(nsqd: &Nsqd) -> bool {
    let shared = nsqd.pair.shared.lock();
    shared.mirror.as_ref().is_some_and(Mirror::is_pending)
}

/// Everything that the mirror has was adopted, as far as it is unfinished.
pub fn mirror_is_covered(nsqd: &Nsqd) -> bool {
    let shared = nsqd.pair.shared.lock();
    let pending = shared.mirror.as_ref().is_some_and(Mirror::is_pending);
    !pending || nsqd.pair.holding(&shared).is_covered()
}

/// The peer has everything before this, and lacks nothing that came earlier; `None` without a link.
pub fn acknowledged(nsqd: &Nsqd) -> Option<nsq_journal::Lsn> {
    let shared = nsqd.pair.shared.lock();
    (shared.origin_up && shared.copy.whole).then_some(shared.copy.acked)
}

/// The same, if the peer's disk is this one.
pub fn acknowledged_by(nsqd: &Nsqd, incarnation: u64) -> Option<nsq_journal::Lsn> {
    let holder = nsqd.pair.shared.lock().copy.holder;
    acknowledged(nsqd).filter(|_| holder == incarnation)
}

/// Shows the own messages that channels have not finished: topic, channel and body. The channel of a message that
/// waits for one is empty.
pub fn unfinished(nsqd: &Arc<Nsqd>, show: &mut dyn FnMut(&str, &str, &[u8])) {
    each_pending(nsqd, nsqd.topics(), show);
}

/// The same of the mirror.
pub fn mirrored_unfinished(nsqd: &Arc<Nsqd>, show: &mut dyn FnMut(&str, &str, &[u8])) {
    each_pending(nsqd, nsqd.pair.mirrored_topics(), show);
}

fn each_pending(
    nsqd: &Arc<Nsqd>,
    topics: Vec<Arc<crate::LiveTopic>>,
    show: &mut dyn FnMut(&str, &str, &[u8]),
) {
    each_unfinished(nsqd, topics, |queue, message, body| {
        let names = message.pending.iter();
        let names = names.filter_map(|pending| queue.channel_name(pending.channel));
        names.for_each(|channel| show(&queue.name, channel, body));
        if message.held {
            show(&queue.name, "", body);
        }
    });
}

/// Bodies of the own messages that only this node has, as it reports them.
pub fn alone(nsqd: &Arc<Nsqd>) -> Vec<Vec<u8>> {
    let acked = nsqd.pair.shared.lock().copy.mirrored();
    let mut bodies = Vec::new();
    each_unfinished(nsqd, nsqd.topics(), |_, message, body| {
        if message.base > acked {
            bodies.push(body.to_vec());
        }
    });
    bodies
}

/// Shows what is unfinished of the topics, up to the first page that cannot be read.
fn each_unfinished(
    nsqd: &Arc<Nsqd>,
    topics: Vec<Arc<crate::LiveTopic>>,
    mut show: impl FnMut(&Topic<NsqHost>, &Unfinished<ChunkRef>, &[u8]),
) {
    for topic in topics {
        let mut from = Some(0);
        while let Some(at) = from {
            let batch = topic.read(|queue| queue.unfinished(at));
            from = batch.next;
            if let Some(page) = batch.needs {
                match nsqd.read_block(&page) {
                    Ok(paged) => drop(topic.change_now(nsqd, |queue, _| queue.page_in(at, paged))),
                    Err(_) => return,
                }
                continue;
            }
            topic.read(|queue| {
                for message in &batch.messages {
                    let body = message.chunk.0.bytes(message.offset, message.len);
                    show(queue, message, body);
                }
            });
            topic.change_now(nsqd, |queue, _| queue.evict());
        }
    }
}

/// Where the node has the message with such a body, and who waits for it there.
pub fn places(nsqd: &Arc<Nsqd>, is_it: &dyn Fn(&[u8]) -> bool) -> String {
    let own = nsqd.topics().into_iter().map(|topic| ("own", topic));
    let mirrored = nsqd.pair.mirrored_topics();
    let mirrored = mirrored.into_iter().map(|topic| ("mirror", topic));
    let mut found = Vec::new();
    for (place, topic) in own.chain(mirrored) {
        let mut from = Some(0);
        while let Some(at) = from {
            let batch = topic.read(|queue| queue.unfinished(at));
            from = batch.next.filter(|_| batch.needs.is_none());
            for message in &batch.messages {
                let body = message.chunk.0.bytes(message.offset, message.len);
                if is_it(body) {
                    let pending: Vec<u32> = message.pending.iter().map(|p| p.channel).collect();
                    found.push(format!(
                        "{place} {pending:?} held {} base {}",
                        message.held, message.base
                    ));
                }
            }
        }
    }
    found.join(", ")
}
