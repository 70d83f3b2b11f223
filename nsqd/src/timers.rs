//! When topics want to be ticked. One task sleeps until the earliest deadline of all topics;
//! nothing is scanned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

#[derive(Default)]
pub struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    earlier: Notify,
}

struct Entry {
    at: i64,
    topic: Weak<LiveTopic>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timers {
    /// Ticks the topic at `deadline` or a little later. A topic has at most one entry that
    /// counts: the one it is armed for.
    pub fn arm(&self, topic: &Arc<LiveTopic>, deadline: i64) {
        if topic.armed.fetch_min(deadline, Ordering::AcqRel) <= deadline {
            return;
        }
        let mut heap = self.heap.lock();
        let earliest = heap.peek().is_none_or(|first| deadline < first.0.at);
        heap.push(Reverse(Entry {
            at: deadline,
            topic: Arc::downgrade(topic),
        }));
        drop(heap);
        if earliest {
            self.earlier.notify_one();
        }
    }

    fn first(&self) -> Option<i64> {
        self.heap.lock().peek().map(|first| first.0.at)
    }

    fn pop_due(&self, now: i64) -> Option<(i64, Weak<LiveTopic>)> {
        let mut heap = self.heap.lock();
        if heap.peek()?.0.at > now {
            return None;
        }
        heap.pop().map(|first| (first.0.at, first.0.topic))
    }

    /// Runs until its task is ended.
    pub async fn run(nsqd: Arc<Nsqd>) {
        loop {
            while let Some((at, topic)) = nsqd.timers.pop_due(nsqd.clock.now()) {
                if let Some(topic) = topic.upgrade() {
                    tick(&nsqd, &topic, at);
                }
            }
            let earlier = nsqd.timers.earlier.notified();
            match nsqd.timers.first() {
                None => earlier.await,
                Some(at) => {
                    let at = nsqd.clock.instant(at);
                    tokio::select! {
                        biased;
                        () = earlier => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }
}

fn tick(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, at: i64) {
    // An entry that was overtaken by an earlier one has nothing to do.
    let armed = &topic.armed;
    if armed
        .compare_exchange(at, i64::MAX, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
    {
        return;
    }
    let now = nsqd.clock.now();
    topic.change_now(nsqd, |queue, effects| queue.tick(now, effects));
}
