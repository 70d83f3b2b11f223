use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::consumer::ConsumerId;
use crate::lane::LaneKind;

/// A message that a consumer holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub pos: u64,
    pub attempts: u16,
    pub consumer: ConsumerId,
    /// When it was delivered; TOUCH never extends past this plus `max-msg-timeout`.
    pub delivered: i64,
    pub deadline: i64,
    /// When it was published.
    pub timestamp: i64,
    class: u16,
    previous: u32,
    next: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;
/// Deadlines out of order (a TOUCH cut short) are kept sorted instead of listed.
const ODD: u16 = u16::MAX;
/// More distinct timeouts than this are kept sorted as well.
const MAX_CLASSES: usize = 32;
/// The ring is not thinned out below this length.
const RING_KEPT: usize = 4096;

/// All messages of one timeout, in the order of their deadlines.
struct Class {
    timeout: i64,
    head: u32,
    tail: u32,
}

/// Messages in flight, found by position in O(1), with their deadlines in order: the next one
/// is always known exactly, nothing is scanned.
///
/// The index is a ring over positions. When one message stays in flight while many pass, its
/// place moves into a map, so that the ring's length follows the number in flight.
#[derive(Default)]
pub(crate) struct InFlight {
    slots: Vec<Held>,
    free: Vec<u32>,
    floor: u64,
    ring: VecDeque<u32>,
    stragglers: BTreeMap<u64, u32>,
    classes: Vec<Class>,
    odd: BTreeSet<(i64, u64)>,
    count: usize,
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(
        &mut self,
        pos: u64,
        attempts: u16,
        consumer: ConsumerId,
        (now, timeout): (i64, i64),
        timestamp: i64,
    ) {
        let held = Held {
            pos,
            attempts,
            consumer,
            delivered: now,
            deadline: now.saturating_add(timeout),
            timestamp,
            class: ODD,
            previous: NONE,
            next: NONE,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = held;
                slot
            }
            None => {
                self.slots.push(held);
                self.slots.len() as u32 - 1
            }
        };
        self.index(pos, slot);
        self.link(slot, timeout);
        self.count += 1;
    }

    #[inline]
    pub(crate) fn get(&self, pos: u64) -> Option<&Held> {
        self.find(pos).map(|slot| &self.slots[slot as usize])
    }

    #[inline]
    pub(crate) fn remove(&mut self, pos: u64) -> Option<Held> {
        let slot = self.find(pos)?;
        self.unindex(pos);
        self.unlink(slot);
        self.free.push(slot);
        self.count -= 1;
        Some(self.slots[slot as usize].clone())
    }

    /// Gives a message a new deadline, `timeout` from now but not past `latest`.
    pub(crate) fn touch(&mut self, pos: u64, now: i64, timeout: i64, latest: i64) {
        let Some(slot) = self.find(pos) else { return };
        self.unlink(slot);
        let deadline = now.saturating_add(timeout);
        self.slots[slot as usize].deadline = deadline.min(latest);
        if deadline <= latest {
            self.link(slot, timeout);
        } else {
            self.link_odd(slot);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let listed = self.classes.iter().filter(|class| class.head != NONE);
        let listed = listed.map(|class| self.slots[class.head as usize].deadline);
        listed.chain(self.odd.first().map(|odd| odd.0)).min()
    }

    /// Takes a message whose deadline has passed.
    pub(crate) fn pop_expired(&mut self, now: i64) -> Option<Held> {
        let listed = self.classes.iter().filter(|class| class.head != NONE);
        let listed = listed.map(|class| &self.slots[class.head as usize]);
        let listed = listed.map(|held| (held.deadline, held.pos));
        let first = listed.chain(self.odd.first().copied()).min()?;
        (first.0 <= now).then(|| self.remove(first.1))?
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        let ring = self.ring.iter().copied().filter(|&slot| slot != NONE);
        let all = ring.chain(self.stragglers.values().copied());
        all.map(|slot| &self.slots[slot as usize])
    }

    fn find(&self, pos: u64) -> Option<u32> {
        let slot = match pos.checked_sub(self.floor) {
            Some(at) if at < self.ring.len() as u64 => self.ring[at as usize],
            _ => NONE,
        };
        match slot {
            NONE if self.stragglers.is_empty() => None,
            NONE => self.stragglers.get(&pos).copied(),
            slot => Some(slot),
        }
    }

    fn index(&mut self, pos: u64, slot: u32) {
        // The ring is for the lane that is delivered in order.
        if LaneKind::of(pos) != LaneKind::Fifo {
            self.stragglers.insert(pos, slot);
            return;
        }
        if self.ring.is_empty() {
            self.floor = pos;
        }
        let end = self.floor + self.ring.len() as u64;
        // Behind the ring, or so far ahead that the gap would cost more than the map does.
        if pos < self.floor || pos > end + RING_KEPT as u64 {
            if let Some(place) = self.in_ring(pos) {
                *place = slot;
            } else {
                self.stragglers.insert(pos, slot);
            }
            return;
        }
        while self.floor + (self.ring.len() as u64) <= pos {
            self.ring.push_back(NONE);
        }
        if let Some(place) = self.in_ring(pos) {
            *place = slot;
        }
        while self.ring.len() > RING_KEPT && self.ring.len() > 8 * (self.count + 1) {
            self.thin();
        }
    }

    fn in_ring(&mut self, pos: u64) -> Option<&mut u32> {
        let at = pos.checked_sub(self.floor)?;
        self.ring.get_mut(usize::try_from(at).ok()?)
    }

    /// Moves the oldest place of the ring into the map.
    fn thin(&mut self) {
        match self.ring.pop_front() {
            Some(slot) if slot != NONE => {
                self.stragglers.insert(self.floor, slot);
            }
            _ => {}
        }
        self.floor += 1;
    }

    fn unindex(&mut self, pos: u64) {
        match self.in_ring(pos) {
            Some(place) if *place != NONE => *place = NONE,
            _ => {
                self.stragglers.remove(&pos);
            }
        }
        while self.ring.front() == Some(&NONE) {
            self.ring.pop_front();
            self.floor += 1;
        }
    }

    fn link(&mut self, slot: u32, timeout: i64) {
        let class = self
            .classes
            .iter()
            .position(|class| class.timeout == timeout);
        let class = match class {
            Some(class) => class,
            None if self.classes.len() < MAX_CLASSES => {
                self.classes.push(Class {
                    timeout,
                    head: NONE,
                    tail: NONE,
                });
                self.classes.len() - 1
            }
            None => return self.link_odd(slot),
        };
        let tail = self.classes[class].tail;
        // A clock that was set back would break the order within the list.
        if tail != NONE && self.slots[tail as usize].deadline > self.slots[slot as usize].deadline {
            return self.link_odd(slot);
        }
        let held = &mut self.slots[slot as usize];
        (held.class, held.previous, held.next) = (class as u16, tail, NONE);
        match tail {
            NONE => self.classes[class].head = slot,
            tail => self.slots[tail as usize].next = slot,
        }
        self.classes[class].tail = slot;
    }

    fn link_odd(&mut self, slot: u32) {
        let held = &mut self.slots[slot as usize];
        held.class = ODD;
        self.odd.insert((held.deadline, held.pos));
    }

    fn unlink(&mut self, slot: u32) {
        let held = &self.slots[slot as usize];
        let (class, previous, next) = (held.class, held.previous, held.next);
        if class == ODD {
            let key = (held.deadline, held.pos);
            self.odd.remove(&key);
            return;
        }
        match previous {
            NONE => self.classes[class as usize].head = next,
            previous => self.slots[previous as usize].next = next,
        }
        match next {
            NONE => self.classes[class as usize].tail = previous,
            next => self.slots[next as usize].previous = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ME: ConsumerId = ConsumerId::TEST;

    #[derive(Debug, Clone)]
    enum Step {
        Insert { gap: u64, timeout: i64 },
        Remove(usize),
        Touch(usize),
        Expire { ahead: i64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (prop_oneof![20 => 1..3u64, 1 => 1..20_000u64], 1..50i64)
                .prop_map(|(gap, timeout)| Step::Insert { gap, timeout: timeout * 10 }),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::Touch),
            1 => (0..200i64).prop_map(|ahead| Step::Expire { ahead }),
        ];
        proptest::collection::vec(step, 1..400)
    }

    proptest! {
        /// Against the plainest model there is: a sorted map of positions and deadlines.
        #[test]
        fn behaves_like_a_sorted_map(steps in steps()) {
            let mut real = InFlight::default();
            let mut model: BTreeMap<u64, i64> = BTreeMap::new();
            let (mut now, mut pos) = (0i64, 0u64);
            for step in steps {
                now += 1;
                let nth = |n: usize, model: &BTreeMap<u64, i64>| {
                    model.keys().nth(n % model.len().max(1)).copied()
                };
                match step {
                    Step::Insert { gap, timeout } => {
                        pos += gap;
                        real.insert(pos, 1, ME, (now, timeout), 0);
                        model.insert(pos, now + timeout);
                    }
                    Step::Remove(n) => if let Some(pos) = nth(n, &model) {
                        prop_assert_eq!(real.remove(pos).map(|held| held.deadline), model.remove(&pos));
                        prop_assert!(real.remove(pos).is_none());
                    },
                    Step::Touch(n) => if let Some(pos) = nth(n, &model) {
                        let latest = now + 250;
                        real.touch(pos, now, 300, latest);
                        model.insert(pos, latest);
                    },
                    Step::Expire { ahead } => {
                        now += ahead;
                        while let Some(held) = real.pop_expired(now) {
                            prop_assert_eq!(model.remove(&held.pos), Some(held.deadline));
                        }
                        prop_assert!(model.values().all(|&deadline| deadline > now));
                    }
                }
                prop_assert_eq!(real.len(), model.len());
                prop_assert_eq!(real.next_deadline(), model.values().min().copied());
                prop_assert!(real.ring.len() <= RING_KEPT.max(8 * (real.len() + 1)) + 1 + RING_KEPT);
            }
        }
    }
}
