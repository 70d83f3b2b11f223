//! What settings make of a topic.

#![allow(clippy::unwrap_used)] // a test may

use nsq_queue::{
    ConsumerId, ConsumerSpec, Effects, Host, Import, Locality, Overflow, Peeked, Pulled, Run,
    Settings, Topic, TopicOptions,
};

struct Test;
impl Host for Test {
    type Chunk = u8;
    type Page = u64;
    type Waker = u32;
}

const MS: i64 = 1_000_000;
const MINUTE: i64 = 60_000 * MS;

struct Rig {
    topic: Topic<Test>,
    next_id: u64,
    now: i64,
}

impl Rig {
    /// A topic with one channel, `c`, number 1.
    fn new(settings: Settings) -> Self {
        let options = TopicOptions {
            journalled: true,
            mem_queue_size: 10_000,
            max_msg_timeout: i64::MAX,
            latency_window: 0,
        };
        let mut topic = Topic::new("t", 1, options);
        topic.create_channel("c", &mut Effects::default());
        topic.set_settings(settings);
        Self {
            topic,
            next_id: 100,
            now: 1000 * MS,
        }
    }

    /// `count` messages of `size` bytes; ids rise from 100.
    fn publish(&mut self, count: usize, size: u32) {
        self.publish_at(count, size, 0);
    }

    fn publish_at(&mut self, count: usize, size: u32, due: i64) {
        let run = Run {
            first_id: self.next_id,
            timestamp: self.now,
            due,
            chunk: &7,
            bodies_at: 0,
            bodies: &vec![(0, size); count],
            base: 0,
            kept_at: 0,
            committed: 0,
        };
        self.topic.publish(&run, &mut Effects::default());
        self.next_id += count as u64;
    }

    fn import(&mut self, id: u64, attempts: u16, due: i64, held: bool) {
        let import = Import {
            id,
            timestamp: 1,
            attempts,
            due,
            held,
            finished: &[],
            chunk: &7,
            offset: 0,
            len: 1,
            base: 0,
            kept_at: 0,
            committed: 0,
        };
        let effects = &mut Effects::default();
        self.topic.import(&import, self.now, effects);
    }

    fn consumer(&mut self, ready: u32) -> ConsumerId {
        let spec = ConsumerSpec {
            waker: 1,
            msg_timeout: 10 * MINUTE,
            sample_rate: 0,
            seed: 1,
            locality: Locality::Anywhere,
        };
        let id = self.topic.subscribe("c", spec, 0).unwrap();
        self.topic.set_ready(id, ready);
        id
    }

    /// (id, attempts) of what is delivered, and the dead letters that were found.
    fn pull(&mut self, consumer: ConsumerId) -> (Vec<(u64, u16)>, Effects<Test>) {
        let (mut got, mut effects) = (Vec::new(), Effects::default());
        let sink = |message: nsq_queue::Delivery<'_, u8>| got.push((message.id, message.attempts));
        let pulled = self
            .topic
            .pull(self.now, consumer, 0, 1 << 20, &mut effects, sink);
        assert!(matches!(pulled, Pulled::Messages(_)));
        (got, effects)
    }

    /// Ids that the journal is told are finished in channel `c`.
    fn logged(&mut self) -> Vec<u64> {
        let logs = self.topic.take_logs().into_iter();
        let finished = logs.flat_map(|(_, log)| log.finished);
        finished
            .flat_map(|(first, count)| first..first + count)
            .collect()
    }
}

#[test]
fn a_dead_letter_is_held_until_it_is_buried() {
    let mut rig = Rig::new(Settings {
        max_attempts: Some(1),
        dead_letter_topic: Some("dead".to_owned()),
        ..Settings::default()
    });
    rig.publish(2, 10);
    let consumer = rig.consumer(1);
    assert_eq!(rig.pull(consumer).0, [(100, 1)]);
    let effects = &mut Effects::default();
    rig.topic
        .requeue(rig.now, consumer, 100, 0, effects)
        .unwrap();
    let (got, effects) = rig.pull(consumer);
    assert_eq!(got, [(101, 1)], "not a second time");
    rig.topic.finish(consumer, 101).unwrap();
    let letter = &effects.dead[0];
    assert_eq!((letter.id, letter.channel, letter.len), (100, 1, 10));
    assert_eq!(letter.to.as_deref(), Some("dead"));
    assert_eq!(rig.logged(), [101], "not finished before it is buried");
    // It could not be published: a minute later it is found again.
    let mut effects = Effects::default();
    rig.now += 2 * MINUTE;
    rig.topic.tick(rig.now, &mut effects);
    let (got, effects) = rig.pull(consumer);
    assert_eq!((got.len(), effects.dead.len()), (0, 1));
    assert!(!rig.topic.bury(9, 100), "another channel");
    assert!(rig.topic.bury(1, 100));
    assert!(!rig.topic.bury(1, 100), "once");
    assert_eq!(rig.logged(), [100]);
    assert!(rig.topic.is_empty());
    let stats = &rig.topic.stats().channels[0];
    assert_eq!((stats.dead_count, stats.in_flight_count), (1, 0));
}

#[test]
fn nobody_but_the_gravedigger_buries() {
    let mut rig = Rig::new(Settings::default());
    rig.publish(1, 10);
    let consumer = rig.consumer(1);
    rig.pull(consumer);
    assert!(!rig.topic.bury(1, 100), "a consumer has it");
    rig.topic.finish(consumer, 100).unwrap();
}

#[test]
fn limits_of_depth_count_all_that_waits() {
    let mut rig = Rig::new(Settings {
        max_depth: Some(5),
        ..Settings::default()
    });
    rig.publish(2, 10);
    rig.publish_at(2, 10, rig.now + MINUTE);
    assert!(rig.topic.admits(1, 10).is_ok());
    let full = rig.topic.admits(2, 20).unwrap_err().to_string();
    assert_eq!(full, "channel t:c has 4 messages of at most 5");
    // What is in flight is not waiting.
    let consumer = rig.consumer(1);
    rig.pull(consumer);
    assert!(rig.topic.admits(2, 20).is_ok());
    // A channel's own limit, and none.
    let own = |max_depth| Settings {
        max_depth: Some(max_depth),
        ..Settings::default()
    };
    assert!(rig.topic.set_channel_settings(1, own(3)));
    assert!(rig.topic.admits(1, 10).is_err());
    rig.topic.set_channel_settings(1, own(0));
    assert!(rig.topic.admits(5, 10).is_ok(), "the topic's is for itself");
    assert!(rig.topic.admits(6, 10).is_err());
    rig.topic.set_settings(Settings::default());
    assert!(rig.topic.admits(1_000_000, 10).is_ok());
    assert!(
        !rig.topic.set_channel_settings(2, own(1)),
        "no such channel"
    );
}

#[test]
fn what_makes_room_is_finished_in_the_journal() {
    let mut rig = Rig::new(Settings {
        max_depth: Some(3),
        overflow: Some(Overflow::DropOldest),
        ..Settings::default()
    });
    rig.publish(2, 10);
    assert!(rig.topic.admits(100, 1000).is_ok());
    rig.publish(5, 10);
    assert_eq!(rig.logged(), [100, 101, 102, 103]);
    let consumer = rig.consumer(10);
    let got: Vec<u64> = rig.pull(consumer).0.iter().map(|got| got.0).collect();
    assert_eq!(got, [104, 105, 106]);
    assert_eq!(rig.topic.stats().channels[0].dropped_count, 4);
}

#[test]
fn bytes_make_room_but_never_what_is_in_flight() {
    const BODY: u32 = 100 * 1024; // three fill a block
    let mut rig = Rig::new(Settings {
        max_bytes: Some(u64::from(BODY) * 6),
        overflow: Some(Overflow::DropOldest),
        ..Settings::default()
    });
    rig.publish(1, BODY);
    let consumer = rig.consumer(1);
    assert_eq!(rig.pull(consumer).0, [(100, 1)]);
    (0..20).for_each(|_| rig.publish(1, BODY));
    // The block that holds it cannot go: the others do not either, being younger.
    rig.topic.finish(consumer, 100).unwrap();
    rig.publish(1, BODY);
    let stats = &rig.topic.stats().channels[0];
    assert!(stats.depth <= 6, "{}", stats.depth);
    assert_eq!(stats.depth + stats.dropped_count, 21);
    assert!(rig.topic.admits(1, 1).is_ok());
}

#[test]
fn old_messages_go_by_blocks_or_when_their_turn_comes() {
    let mut rig = Rig::new(Settings {
        message_ttl_ms: Some(100),
        ..Settings::default()
    });
    rig.publish(1500, 10); // a block of 1024 and the beginning of another
    rig.now += 60 * MS;
    rig.publish(10, 10);
    rig.now += 60 * MS;
    rig.topic.drop_expired(rig.now, rig.now);
    let stats = &rig.topic.stats().channels[0];
    assert_eq!((stats.expired_count, stats.depth), (1024, 486));
    let consumer = rig.consumer(100);
    let got: Vec<u64> = rig.pull(consumer).0.iter().map(|got| got.0).collect();
    assert_eq!(got, (1600..1610).collect::<Vec<u64>>());
    assert_eq!(rig.topic.stats().channels[0].expired_count, 1500);
    assert_eq!(rig.logged().len(), 1500);
    // What no channel has yet goes as well.
    rig.topic.delete_channel("c", &mut Effects::default());
    rig.publish(2000, 10);
    rig.now += 1000 * MS;
    rig.topic.drop_expired(rig.now, rig.now);
    assert_eq!(rig.topic.stats().depth, 0);
}

#[test]
fn a_gone_consumers_messages_wait_again_where_that_is_set() {
    for (set, waits) in [(None, 0), (Some(false), 0), (Some(true), 2)] {
        let mut rig = Rig::new(Settings {
            requeue_on_disconnect: set,
            ..Settings::default()
        });
        rig.publish(3, 10);
        let (gone, other) = (rig.consumer(2), rig.consumer(1));
        let held = rig.pull(gone).0;
        assert_eq!(held.len(), 2);
        rig.pull(other);
        rig.topic.unsubscribe(gone, &mut Effects::default());
        let stats = &rig.topic.stats().channels[0];
        assert_eq!((stats.depth, stats.in_flight_count), (waits, 3 - waits));
        rig.topic.set_ready(other, 10);
        let again = rig.pull(other).0;
        assert_eq!(again.len() as u64, waits);
        assert!(again.iter().all(|message| message.1 == 2));
    }
}

#[test]
fn deferred_ones_are_listed_and_cancelled() {
    let mut rig = Rig::new(Settings::default());
    for minutes in [3, 1, 2] {
        rig.publish_at(1, 10, rig.now + minutes * MINUTE);
    }
    let ids = |rig: &Rig, count| -> Vec<u64> {
        let listed = rig.topic.deferred("c", count).unwrap();
        listed.iter().map(|message| message.id).collect()
    };
    assert_eq!(ids(&rig, 10), [101, 102, 100]);
    assert_eq!(ids(&rig, 1), [101]);
    assert!(rig.topic.deferred("nope", 1).is_none());
    assert!(rig.topic.cancel_deferred("c", 102));
    assert!(!rig.topic.cancel_deferred("c", 102));
    assert!(!rig.topic.cancel_deferred("c", 555));
    assert_eq!(ids(&rig, 10), [101, 100]);
    assert_eq!(rig.logged(), [102]);
    rig.now += 10 * MINUTE;
    rig.topic.tick(rig.now, &mut Effects::default());
    let consumer = rig.consumer(10);
    assert_eq!(rig.pull(consumer).0, [(101, 1), (100, 1)]);
}

#[test]
fn peeking_goes_in_the_order_of_delivery_and_asks_for_pages() {
    let mut rig = Rig::new(Settings::default());
    rig.publish(3000, 10);
    let consumer = rig.consumer(2);
    rig.pull(consumer);
    let effects = &mut Effects::default();
    rig.topic
        .requeue(rig.now, consumer, 101, 0, effects)
        .unwrap();
    let peek = |rig: &Rig, count| {
        let mut seen = Vec::new();
        let peeked = rig.topic.peek(Some("c"), count, |message| {
            seen.push((message.id, message.attempts));
        });
        (peeked.unwrap(), seen)
    };
    let (all, seen) = peek(&rig, 3);
    assert_eq!(
        (all, seen),
        (Peeked::All, vec![(101, 1), (102, 0), (103, 0)])
    );
    rig.topic.unsubscribe(consumer, effects);
    while let Some(block) = rig.topic.next_page_out() {
        let count = block.messages.len();
        rig.topic.paged_out(block.first_pos, count, block.first_id);
    }
    let (needs, seen) = peek(&rig, 1);
    assert!(seen.is_empty());
    assert!(matches!(needs, Peeked::NeedsPage { page: 100, .. }));
    assert!(rig.topic.peek(Some("nope"), 1, |_| ()).is_none());
    assert_eq!(rig.topic.peek(None, 1, |_| ()), Some(Peeked::All));
}

#[test]
fn what_came_from_elsewhere_is_shown_and_cancelled_like_the_rest() {
    let mut rig = Rig::new(Settings::default());
    rig.publish(1, 10);
    rig.import(5, 3, 0, false);
    rig.import(6, 2, rig.now + MINUTE, false);
    let mut seen = Vec::new();
    let sink = |message: nsq_queue::Delivery<'_, u8>| seen.push((message.id, message.attempts));
    rig.topic.peek(Some("c"), 9, sink).unwrap();
    assert_eq!(seen, [(5, 3), (100, 0)]);
    assert_eq!(rig.topic.deferred("c", 9).unwrap().len(), 1);
    assert!(rig.topic.cancel_deferred("c", 6));
    assert!(rig.topic.deferred("c", 9).unwrap().is_empty());
}

#[test]
fn what_came_from_elsewhere_before_there_was_a_channel_is_shown() {
    let mut rig = Rig::new(Settings::default());
    rig.topic.delete_channel("c", &mut Effects::default());
    rig.import(5, 0, 0, true);
    rig.import(6, 0, rig.now + MINUTE, true);
    let mut seen = Vec::new();
    let sink = |message: nsq_queue::Delivery<'_, u8>| seen.push(message.id);
    rig.topic.peek(None, 9, sink).unwrap();
    assert_eq!(seen, [5]);
}
