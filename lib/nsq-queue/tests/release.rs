//! Letting go by journal position: what came later stays, what came before goes, on every channel,
//! and what a cut leaves is what was there before.

#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use nsq_queue::{Effects, Host, Import, Run, Topic, TopicOptions};
use proptest::prelude::*;

#[derive(Debug)]
struct Test;
impl Host for Test {
    type Chunk = u32;
    type Page = u64;
    type Waker = u32;
}

#[derive(Debug, Clone)]
enum Op {
    Publish(u64, bool),
    /// A new message, or a newer base for one that is here.
    Import(usize, bool),
    Finish(usize),
    Pause(bool),
    PageOut,
    Release(u64),
}

/// Id to base and the channels that wait, `None` while the topic holds it.
type Expected = BTreeMap<u64, (u64, Option<Vec<u32>>)>;

fn options() -> TopicOptions {
    TopicOptions {
        journalled: true,
        mem_queue_size: 10,
        max_msg_timeout: 1,
        latency_window: 0,
    }
}

fn run(first_id: u64, bodies: &[(u32, u32)], base: u64) -> Run<'_, u32> {
    Run {
        first_id,
        timestamp: 1,
        due: 0,
        chunk: &0,
        bodies_at: 0,
        bodies,
        base,
        kept_at: 0,
        committed: 0,
    }
}

fn imported(base: u64) -> Import<'static, u32> {
    Import {
        id: 0,
        timestamp: 1,
        attempts: 0,
        due: 0,
        held: true,
        finished: &[],
        chunk: &0,
        offset: 0,
        len: 1,
        base,
        kept_at: 0,
        committed: 0,
    }
}

struct Rig {
    topic: Topic<Test>,
    restoring: bool,
    next: u64,
    expected: Expected,
    paused: bool,
    paged: bool,
}

impl Rig {
    fn new(restoring: bool) -> Self {
        let mut topic = match restoring {
            true => Topic::restoring("t", 1, options()),
            false => Topic::new("t", 1, options()),
        };
        for name in ["a", "b"] {
            topic.create_channel(name, &mut Effects::default());
        }
        Self {
            topic,
            restoring,
            next: 1,
            expected: Expected::new(),
            paused: false,
            paged: false,
        }
    }

    fn publish(&mut self, first_id: u64, count: u64, due: i64, base: u64) {
        let bodies = vec![(0, 1); count as usize];
        let run = Run {
            due,
            ..run(first_id, &bodies, base)
        };
        self.topic.publish(&run, &mut Effects::default());
    }

    fn import(&mut self, id: u64, base: u64) {
        let import = Import {
            id,
            ..imported(base)
        };
        self.topic.import(&import, 0, &mut Effects::default());
    }

    fn run(&mut self, op: &Op) {
        let paused = self.paused;
        let waits = || (!paused).then(|| vec![1, 2]);
        let base = self.next * 10;
        match *op {
            Op::Publish(count, delay) => {
                let first_id = self.next * 10_000;
                let due = if delay { 1 << 40 } else { 0 };
                self.publish(first_id, count, due, base);
                for id in first_id..first_id + count {
                    self.expected.insert(id, (base, waits()));
                }
            }
            Op::Import(n, new) => {
                let here = self.expected.keys().nth(n % self.expected.len().max(1));
                let id = match here {
                    Some(&id) if !new => id,
                    _ => (1 << 50) - self.next,
                };
                self.import(id, base);
                let waits = waits();
                self.expected.entry(id).or_insert((base, waits)).0 = base;
            }
            Op::Finish(n) => {
                let waiting = self.expected.iter_mut();
                let mut waiting: Vec<_> = waiting.filter(|item| item.1.1.is_some()).collect();
                let count = waiting.len().max(1);
                if let Some((id, (_, Some(channels)))) = waiting.get_mut(n % count) {
                    let channel = channels.pop().unwrap();
                    let name = ["a", "b"][channel as usize - 1];
                    let done = self
                        .topic
                        .finish_known(name, **id, 1, &mut Effects::default());
                    assert_eq!(done, 1);
                }
                self.expected.retain(|_, item| item.1 != Some(Vec::new()));
            }
            Op::Pause(paused) => {
                self.paused = paused;
                self.topic.pause(paused, &mut Effects::default());
                for item in self.expected.values_mut().filter(|_| !paused) {
                    item.1.get_or_insert(vec![1, 2]);
                }
            }
            Op::PageOut => {
                if let Some(block) = self.topic.next_page_out() {
                    let (first, count) = (block.first_pos, block.messages.len());
                    assert!(self.topic.paged_out(first, count, first).is_none());
                    self.paged = true;
                }
            }
            Op::Release(back) => {
                let through = (self.next.saturating_sub(back)) * 10 + 5;
                self.topic.release_through(through, &mut Effects::default());
                self.expected.retain(|_, item| item.0 > through);
            }
        }
        self.next += 1;
    }

    fn found(&mut self) -> Expected {
        let (mut found, mut from) = (Expected::new(), Some(0));
        while let Some(at) = from {
            let batch = self.topic.unfinished(at);
            assert!(batch.needs.is_none() || self.paged);
            if batch.needs.is_some() {
                return self.expected.clone(); // judged where nothing is paged out
            }
            for message in batch.messages {
                let channels = message
                    .pending
                    .iter()
                    .map(|pending| pending.channel)
                    .collect();
                let waits = (!message.held).then_some(channels);
                assert!(found.insert(message.id, (message.base, waits)).is_none());
            }
            from = batch.next;
        }
        found
    }

    fn check(&mut self) {
        let found = self.found();
        let restoring = self.restoring;
        let same = |(found, expected): (&Expected, &Expected)| {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| {
                    // A range of moved bases knows its last one only.
                    found.0 == expected.0 && found.1.0 >= expected.1.0 && found.1.1 == expected.1.1
                })
        };
        assert!(
            same((&found, &self.expected)),
            "restoring {restoring}: {found:?}, not {:?}",
            self.expected
        );
    }
}

fn op(pages: bool) -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..4u64, prop::bool::weighted(0.2)).prop_map(|(count, delay)| Op::Publish(count, delay)),
        u32::from(pages) => (1000..1100u64).prop_map(|count| Op::Publish(count, false)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(n, new)| Op::Import(n, new)),
        6 => any::<usize>().prop_map(Op::Finish),
        2 => any::<bool>().prop_map(Op::Pause),
        u32::from(pages) * 3 => Just(Op::PageOut),
        2 => (0..20u64).prop_map(Op::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_came_later_stays(ops in proptest::collection::vec(op(false), 1..80), restoring: bool) {
        let mut rig = Rig::new(restoring);
        for op in &ops {
            // Imports of neighbours share a base, which rounds up: a release may then keep more.
            rig.run(op);
            if !matches!(op, Op::Release(_)) {
                continue;
            }
            let found = rig.found();
            prop_assert!(rig.expected.keys().all(|id| found.contains_key(id)), "too much is gone");
            rig.expected = found;
        }
        rig.check();
    }

    #[test]
    fn blocks_on_disk_stay_whole(ops in proptest::collection::vec(op(true), 1..60)) {
        let mut rig = Rig::new(false);
        for op in &ops {
            rig.run(op);
            rig.topic.take_released();
            if matches!(op, Op::Release(_) | Op::PageOut) && rig.paged {
                return Ok(()); // it did not fall over; what is left cannot be told from here
            }
            if matches!(op, Op::Release(_)) {
                let found = rig.found(); // bases round up: a release may keep more
                prop_assert!(rig.expected.keys().all(|id| found.contains_key(id)), "too much is gone");
                rig.expected = found;
            }
        }
        rig.check();
    }

    #[test]
    fn a_cut_undoes_what_came_after(
        before in proptest::collection::vec(op(false), 1..40),
        after in proptest::collection::vec(op(false), 1..20),
    ) {
        let mut rig = Rig::new(true);
        for op in before.iter().filter(|op| !matches!(op, Op::Release(_))) {
            rig.run(op);
        }
        let expected = rig.expected.clone();
        let end = rig.next * 10 - 5;
        for op in after.iter().filter(|op| matches!(op, Op::Publish(..) | Op::Import(..))) {
            rig.run(op);
        }
        let known = rig.topic.cut(end);
        let next = rig.next;
        let found = rig.found();
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        if known {
            rig.expected = expected;
            rig.check();
        }
        // It goes on as if nothing had been.
        rig.expected = found;
        rig.next = next;
        rig.run(&Op::Publish(3, false));
        rig.run(&Op::Pause(false));
        rig.check();
        while !rig.expected.is_empty() {
            rig.run(&Op::Finish(0));
        }
        prop_assert!(!rig.topic.has_through(u64::MAX), "nobody waits for anything any more");
    }
}

#[test]
fn a_cut_through_a_block_on_disk_is_not_known() {
    for (end, known) in [(5, true), (15, false), (20, true)] {
        let mut rig = Rig::new(true);
        for (first_id, base) in [(1, 10), (601, 20), (1201, 30)] {
            rig.publish(first_id, 600, 0, base);
        }
        rig.run(&Op::PageOut);
        assert!(rig.paged);
        assert_eq!(rig.topic.cut(end), known, "at {end}");
        // What is published now takes the place of what was lost, and is newer than all that is left.
        rig.publish(5000, 1, 0, end + 1);
        rig.topic.release_through(end, &mut Effects::default());
        let left: Vec<u64> = rig.found().into_keys().collect();
        assert_eq!(left, [5000], "at {end}");
    }
}

#[test]
fn a_cut_lowers_the_bases_that_it_takes_back() {
    let mut rig = Rig::new(true);
    for id in [1, 2] {
        rig.publish(id, 1, 0, 10 * id);
    }
    for (id, base) in [(1, 30), (2, 40)] {
        rig.import(id, base);
    }
    assert!(
        !rig.topic.cut(35),
        "which of them was imported before is not known"
    );
    rig.topic.release_through(36, &mut Effects::default());
    assert!(rig.found().is_empty());
}

/// A channel that is younger than the message, here, but has not finished it where it comes from.
#[test]
fn an_import_adds_the_channels_that_wait_for_it_elsewhere() {
    let mut rig = Rig::new(false);
    rig.publish(1, 3, 0, 10);
    let effects = &mut Effects::default();
    let all = |rig: &mut Rig| -> Vec<_> { rig.found().into_values().map(|one| one.1).collect() };
    rig.topic.delete_channel("a", effects);
    rig.topic.create_channel("a", effects);
    let anew = rig.topic.channel("a").unwrap().number;
    assert_eq!(all(&mut rig), [Some(vec![2]), Some(vec![2]), Some(vec![2])]);
    for (id, finished) in [(2, &[][..]), (3, &[2])] {
        let import = Import {
            id,
            finished,
            held: false,
            ..imported(20)
        };
        rig.topic.import(&import, 0, &mut Effects::default());
    }
    let (both, only) = (Some(vec![anew, 2]), Some(vec![anew]));
    assert_eq!(all(&mut rig), [Some(vec![2]), both, only]);
    let finish =
        |rig: &mut Rig, name, id| rig.topic.finish_known(name, id, 1, &mut Effects::default());
    for (name, id) in [("b", 1), ("b", 2), ("a", 2), ("a", 3)] {
        assert_eq!(finish(&mut rig, name, id), 1, "{name} {id}");
    }
    assert!(!rig.topic.has_through(u64::MAX), "nobody waits");
}

/// Only one channel waited for the message, which has finished it where it comes from.
#[test]
fn the_body_stays_for_a_channel_that_is_added() {
    for (name, other) in [("a", 2), ("b", 1)] {
        let mut rig = Rig::new(false);
        rig.publish(1, 1, 0, 10);
        let effects = &mut Effects::default();
        rig.topic.delete_channel(name, effects);
        rig.topic.create_channel(name, effects);
        let anew = rig.topic.channel(name).unwrap().number;
        let import = Import {
            id: 1,
            finished: &[other],
            held: false,
            ..imported(20)
        };
        rig.topic.import(&import, 0, effects);
        let left = rig.found().into_values().map(|one| one.1);
        assert_eq!(left.collect::<Vec<_>>(), [Some(vec![anew])], "{name}");
    }
}

/// Bases of what was imported where it lies are known by ranges.
#[test]
fn what_somebody_took_over_is_told_from_what_came_later() {
    let mut rig = Rig::new(true);
    rig.publish(1, 5, 0, 10);
    let ids = |rig: &mut Rig| rig.found().into_keys().collect::<Vec<_>>();
    let import = |rig: &mut Rig, ids: std::ops::RangeInclusive<u64>| {
        ids.for_each(|id| rig.import(id, 20 + id));
    };
    import(&mut rig, 1..=2);
    rig.topic.part_bases(22);
    import(&mut rig, 3..=3);
    rig.topic = Topic::from_image(rig.topic.image(), options());
    rig.topic.refill(&run(1, &[(0, 1); 5], 10));
    import(&mut rig, 4..=5);
    for (through, left) in [(22, 3..6), (23, 4..6), (25, 6..6)] {
        let effects = &mut Effects::default();
        rig.topic.release_through(through, effects);
        assert_eq!(ids(&mut rig), left.collect::<Vec<_>>(), "{through}");
    }
}

#[test]
fn a_channel_tells_what_it_waits_for() {
    let mut rig = Rig::new(true);
    rig.publish(1, 2, 0, 10);
    rig.topic.replay_finish(1, 1, 1);
    let queue = &rig.topic;
    let waits = |name, id| queue.pending(queue.channel(name).unwrap(), id);
    assert_eq!((waits("a", 1), waits("a", 3)), (None, None));
    for (name, channel, id) in [("b", 2, 1), ("a", 1, 2), ("b", 2, 2)] {
        assert_eq!(waits(name, id).map(|it| it.channel), Some(channel));
    }
}

/// It was finished, and imported once more: another block has its body after a restart.
#[test]
fn a_cut_is_exact_around_a_body_that_is_not_there() {
    let mut rig = Rig::new(true);
    let told = [(1, 21), (2, 22), (3, 23), (4, 24), (5, 25), (3, 50)];
    for (id, base) in told {
        rig.import(id, base);
        if base == 25 {
            (1..=2).for_each(|channel| rig.topic.replay_finish(channel, 3, 1));
        }
    }
    rig.topic = Topic::from_image(rig.topic.image(), options());
    for (id, base) in told {
        rig.topic.refill_import(&run(id, &[(0, 1)], base));
    }
    rig.topic.finish_blocks();
    assert!(rig.topic.cut(24));
    assert_eq!(rig.found().into_keys().collect::<Vec<_>>(), [1, 2, 4]);
}

/// As a journal tells it that lost the record of a deletion, and a list that leaves it out.
#[test]
fn a_channel_of_another_number_is_another_channel() {
    let mut rig = Rig::new(true);
    rig.run(&Op::Publish(1, false));
    let named = |topic: &Topic<Test>| topic.channel("a").map(|channel| channel.number);
    let before = named(&rig.topic).unwrap();
    let anew = before + 10;
    rig.topic.replay_channel("a", before);
    assert_eq!(named(&rig.topic), Some(before), "written down twice");
    rig.topic.replay_channel("a", anew);
    assert_eq!(named(&rig.topic), Some(anew));
    let waits = |topic: &Topic<Test>| {
        let (mut waiting, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let batch = topic.unfinished(at);
            let pending = batch.messages.iter().flat_map(|message| &message.pending);
            waiting.extend(pending.map(|one| one.channel));
            from = batch.next;
        }
        waiting.sort_unstable();
        waiting
    };
    let other = rig
        .topic
        .channel("b")
        .map(|channel| channel.number)
        .unwrap();
    assert_eq!(waits(&rig.topic), [other], "what it had went with it");
    // What comes now is for the new one, and so are its finishes.
    rig.run(&Op::Publish(1, false));
    assert_eq!(waits(&rig.topic), [other, other, anew]);
    rig.topic.replay_finish(anew, 20_000, 1);
    rig.topic.replay_delete_channel(before);
    assert_eq!(named(&rig.topic), Some(anew));
    assert_eq!(waits(&rig.topic), [other, other]);
}

#[test]
fn a_finish_is_known_until_it_is_journalled() {
    let mut rig = Rig::new(false);
    rig.run(&Op::Publish(3, false));
    let id = 10_001;
    let effects = &mut Effects::default();
    assert_eq!(rig.topic.finish_known("a", id, 1, effects), 1);
    let known = |topic: &Topic<Test>, channel: &str, first: u64, end: u64| {
        topic.has_unlogged_finish(channel, first, end)
    };
    assert!(known(&rig.topic, "a", id, id + 1) && known(&rig.topic, "a", 0, u64::MAX));
    assert!(!known(&rig.topic, "a", id + 1, id + 9) && !known(&rig.topic, "a", 0, id));
    assert!(!known(&rig.topic, "b", id, id + 1) && !known(&rig.topic, "c", id, id + 1));
    assert_eq!(rig.topic.take_logs().len(), 1);
    assert!(!known(&rig.topic, "a", id, id + 1));
}

/// Of 5 and 9, 9 is gone after a restart, when 6 comes in: it follows 5, but not where 5 lies.
#[test]
fn what_follows_by_its_id_need_not_follow_by_its_place() {
    let mut rig = Rig::new(false);
    for (id, base) in [(5, 10), (9, 20)] {
        rig.import(id, base);
    }
    let finish = |rig: &mut Rig, id| {
        ["a", "b"].map(|name| rig.topic.finish_known(name, id, 1, &mut Effects::default()))
    };
    assert_eq!(finish(&mut rig, 9), [1, 1]);
    rig.topic = Topic::from_image(rig.topic.image(), options());
    rig.topic.refill_import(&run(5, &[(0, 1)], 10));
    rig.topic.finish_restore(0);
    rig.import(6, 30);
    let left = |rig: &Rig| -> Vec<u64> {
        let (mut from, mut left) = (Some(0), Vec::new());
        while let Some(at) = from {
            let batch = rig.topic.unfinished(at);
            left.extend(batch.messages.iter().map(|message| message.id));
            from = batch.next;
        }
        left
    };
    assert_eq!(left(&rig), [5, 6]);
    assert_eq!(finish(&mut rig, 6), [1, 1]);
    assert_eq!(left(&rig), [5]);
}

/// Their records before the cut stand in another order than those that count.
#[test]
fn what_was_cut_and_told_again_gets_its_bodies_and_bases_back() {
    let mut rig = Rig::new(true);
    let told = [(5, 10), (7, 20)];
    let told_again = [(6, 16), (7, 30)];
    for (id, base) in told {
        rig.import(id, base);
    }
    rig.topic.cut(15);
    for (id, base) in told_again {
        rig.import(id, base);
    }
    rig.topic = Topic::from_image(rig.topic.image(), options());
    let refill = |rig: &mut Rig, records: &[(u64, u64)]| {
        for &(id, base) in records {
            rig.topic.refill_import(&run(id, &[(0, 1)], base));
        }
    };
    refill(&mut rig, &told);
    rig.topic.refill_cut(15);
    refill(&mut rig, &told_again);
    rig.topic.finish_restore(0);
    let bases: Vec<(u64, u64)> = rig.found().iter().map(|(id, it)| (*id, it.0)).collect();
    assert_eq!(bases, [(5, 10), (6, 16), (7, 30)]);
}
