//! What simulations ask of a pair, and order.

use std::sync::Arc;

use super::Order;
use super::mirror::Mirror;
use crate::nsqd::Nsqd;

/// This node's part of "either disk may be lost now".
pub fn is_mirrored(nsqd: &Arc<Nsqd>) -> bool {
    nsqd.pair.status(nsqd).mirrored
}

/// Everything there is to say, for whoever looks for a reason.
pub fn describe(nsqd: &Arc<Nsqd>) -> String {
    format!("{:?}", nsqd.pair.status(nsqd))
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

/// Bodies of the own messages that only this node has, as it reports them.
pub fn alone(nsqd: &Arc<Nsqd>) -> Vec<Vec<u8>> {
    let acked = nsqd.pair.shared.lock().copy.mirrored();
    let mut bodies = Vec::new();
    for topic in nsqd.topics() {
        let mut from = Some(0);
        while let Some(at) = from {
            let batch = topic.read(|queue| queue.unfinished(at));
            from = batch.next;
            if let Some(page) = batch.needs {
                match nsqd.read_block(&page) {
                    Ok(paged) => drop(topic.change_now(nsqd, |queue, _| queue.page_in(at, paged))),
                    Err(_) => return bodies,
                }
                continue;
            }
            let alone = batch.messages.iter().filter(|message| message.base > acked);
            let body = |message: &nsq_queue::Unfinished<crate::host::ChunkRef>| {
                message.chunk.0.bytes(message.offset, message.len).to_vec()
            };
            bodies.extend(alone.map(body));
        }
    }
    bodies
}
