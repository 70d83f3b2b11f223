//! A consumer's side of a connection: it pulls what its RDY allows.

use std::sync::Arc;
use std::time::Duration;

use nsq_daemon::stream::Socket;
use nsq_journal::DurationCounts;
use nsq_protocol::{MessageId, push_message};
use nsq_queue::{ConsumerId, ConsumerSpec, Effects, Locality, Pulled, SettleError, Topic};

use super::{Connection, OUTBOX_BYTES};
use crate::client::Client;
use crate::host::{NsqHost, Page};
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// How soon a page that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What IDENTIFY settled for a later SUB.
pub(super) struct Spec {
    pub(super) msg_timeout: i64,
    pub(super) sample_rate: u8,
    pub(super) locality: Locality,
}

impl Spec {
    pub(super) fn new(msg_timeout: i64) -> Self {
        Self {
            msg_timeout,
            sample_rate: 0,
            locality: Locality::Anywhere,
        }
    }

    pub(super) fn of(&self, client: &Arc<Client>) -> ConsumerSpec<Arc<Client>> {
        ConsumerSpec {
            waker: Arc::clone(client),
            msg_timeout: self.msg_timeout,
            sample_rate: self.sample_rate,
            locality: self.locality,
            seed: client.id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }
}

pub(super) struct Subscription {
    topic: Arc<LiveTopic>,
    consumer: ConsumerId,
    /// The last pull took something, or something has changed since.
    hungry: bool,
}

impl Subscription {
    pub(super) fn new(topic: Arc<LiveTopic>, consumer: ConsumerId) -> Self {
        Self {
            topic,
            consumer,
            hungry: false,
        }
    }
}

impl<S: Socket> Connection<S> {
    pub(super) fn set_ready(&mut self, count: u32) {
        if let Some(subscription) = &mut self.subscription {
            let consumer = subscription.consumer;
            subscription.hungry = true;
            let topic = &subscription.topic;
            topic.change_now(&self.nsqd, |queue, _| queue.set_ready(consumer, count));
        }
    }

    pub(super) fn close_subscription(&mut self) {
        if let Some(subscription) = &self.subscription {
            let consumer = subscription.consumer;
            let topic = &subscription.topic;
            topic.change_now(&self.nsqd, |queue, effects| queue.close(consumer, effects));
        }
    }

    pub(super) fn unsubscribe(&mut self) {
        let Some(subscription) = self.subscription.take() else {
            return;
        };
        let finished = std::mem::take(&mut self.finished);
        subscription.topic.change_now(&self.nsqd, |queue, effects| {
            for id in finished {
                // Nobody is left to hear of a failure.
                let _ = queue.finish(subscription.consumer, id);
            }
            queue.unsubscribe(subscription.consumer, effects);
        });
    }

    /// REQ and TOUCH, after the FINs that came before.
    pub(super) fn settle_one(
        &mut self,
        verb: &'static str,
        text: &[u8; 16],
        settle: impl FnOnce(
            &mut Topic<NsqHost>,
            i64,
            ConsumerId,
            u64,
            &mut Effects<NsqHost>,
        ) -> Result<(), SettleError>,
    ) {
        self.finish_all();
        let (Some(subscription), Some(id)) = (&mut self.subscription, MessageId::parse(text))
        else {
            return self.settle_failed(verb, text, SettleError::NotInFlight);
        };
        subscription.hungry = true;
        let (now, consumer) = (self.nsqd.clock.now(), subscription.consumer);
        let settled = subscription.topic.change_now(&self.nsqd, |queue, effects| {
            settle(queue, now, consumer, id.0, effects)
        });
        if let Err(why) = settled {
            self.settle_failed(verb, text, why);
        }
    }

    pub(super) fn finish_all(&mut self) {
        if self.finished.is_empty() {
            return;
        }
        let finished = std::mem::take(&mut self.finished);
        let mut failed = Vec::new();
        let nsqd = Arc::clone(&self.nsqd);
        let now = nsqd.clock.now();
        if let Some(subscription) = &mut self.subscription {
            subscription.hungry = true;
            let consumer = subscription.consumer;
            subscription.topic.change_now(&self.nsqd, |queue, _| {
                finish(&nsqd, now, queue, consumer, &finished, &mut failed);
            });
        }
        self.give_back(finished, failed);
    }

    /// Reuses the list of ids and answers the ids that could not be finished.
    fn give_back(&mut self, mut finished: Vec<u64>, failed: Vec<(u64, SettleError)>) {
        finished.clear();
        if finished.capacity() <= 4096 {
            self.finished = finished;
        }
        for (id, why) in failed {
            self.settle_failed("FIN", &MessageId(id).to_hex(), why);
        }
    }

    /// Finishes what the client finished and pulls what it has room for, under one lock. True
    /// if anything was delivered.
    pub(super) fn deliver(&mut self, woken: bool) -> bool {
        let Some(subscription) = &mut self.subscription else {
            self.finished.clear();
            return false;
        };
        subscription.hungry |= woken || !self.finished.is_empty();
        if self.outbox.bytes() >= OUTBOX_BYTES {
            let consumer = subscription.consumer;
            let topic = Arc::clone(&subscription.topic);
            self.finish_all();
            if woken {
                // Somebody else may have room for the message this one was woken for.
                topic.change_now(&self.nsqd, |queue, effects| {
                    queue.decline(consumer, effects)
                });
            }
            return false;
        }
        if !subscription.hungry || self.outbox.holds_frames() {
            return false;
        }
        let (topic, consumer) = (Arc::clone(&subscription.topic), subscription.consumer);
        let committed = topic.committed(&self.nsqd);
        let now = self.nsqd.clock.now();
        let finished = std::mem::take(&mut self.finished);
        let mut failed = Vec::new();
        let out = self.outbox.buffer();
        let (pulled, then) = topic.change(&self.nsqd, |queue, effects| {
            finish(&self.nsqd, now, queue, consumer, &finished, &mut failed);
            queue.pull(now, consumer, committed, OUTBOX_BYTES, effects, |message| {
                let body = message.chunk.0.bytes(message.offset, message.len);
                push_message(
                    out,
                    message.timestamp,
                    message.attempts,
                    MessageId(message.id),
                    body,
                );
            })
        });
        // What was left behind is for whoever was woken, not for the next round of this one.
        self.gives_way = !then.effects.wake.is_empty();
        then.happen(&self.nsqd, &topic);
        self.give_back(finished, failed);
        let moved = self.after_pull(&topic, pulled);
        if let Some(subscription) = &mut self.subscription {
            subscription.hungry = moved;
        }
        moved
    }

    fn after_pull(&mut self, topic: &Arc<LiveTopic>, pulled: Pulled<Page>) -> bool {
        match pulled {
            Pulled::Messages(taken) => taken > 0,
            Pulled::NeedsPage { page, pos } => self.page_in(topic, &page, pos),
            Pulled::NotKept { at } => {
                if topic.level() == Durability::Write {
                    return self.write_or_wait(at);
                }
                self.nsqd.journal.sync_soon(at, self.client.clone());
                false
            }
        }
    }

    /// Reads a page and the one behind it, for the pull that follows.
    fn page_in(&mut self, topic: &Arc<LiveTopic>, page: &Page, pos: u64) -> bool {
        let next = topic.read(|queue| queue.page_after(pos));
        let pages = [Some((*page, pos)), next];
        for (page, pos) in pages.into_iter().flatten() {
            if let Err(error) = self.nsqd.page_in(topic, &page, pos) {
                let name = &topic.name;
                tracing::error!("TOPIC({name}): cannot read back messages - {error}");
                self.try_again();
                return false;
            }
        }
        true
    }

    fn try_again(&self) {
        let client = Arc::clone(&self.client);
        tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            client.wake();
        });
    }
}

fn finish(
    nsqd: &Nsqd,
    now: i64,
    queue: &mut Topic<NsqHost>,
    consumer: ConsumerId,
    ids: &[u64],
    failed: &mut Vec<(u64, SettleError)>,
) {
    let wall = match nsqd.options.e2e_percentiles.is_empty() || ids.is_empty() {
        true => None,
        false => Some(nsqd.clock.wall()),
    };
    if ids.is_empty() {
        return;
    }
    let mut took = DurationCounts::default();
    for &id in ids {
        match queue.finish(consumer, id) {
            Err(why) => failed.push((id, why)),
            Ok(finished) => {
                took.count(u64::try_from(now - finished.delivered).unwrap_or(0), 1);
                if let Some(wall) = wall {
                    queue.note_latency(consumer, &finished, wall);
                }
            }
        }
    }
    nsqd.times.processing.add(&took);
}
