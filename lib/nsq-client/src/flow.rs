//! Which connection of a consumer may have how many messages in flight: RDY. `max_in_flight` is shared out whole; where
//! there are more connections than messages, the turn goes round. Times are nanoseconds.

use std::collections::BTreeMap;

/// What is shared out, and when it moves on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_in_flight: u32,
    /// A connection that holds a scarce turn and got nothing for so long gives it up.
    pub idle: i64,
    /// So does one that has held it for so long, whatever it got.
    pub held: i64,
}

/// What is known of the connections.
#[derive(Debug)]
pub struct Flow {
    limits: Limits,
    connections: BTreeMap<u64, Connection>,
    /// The connection that is tried while the others wait.
    tested: Option<u64>,
    turns: u64,
}

#[derive(Debug)]
struct Connection {
    /// The most that nsqd allows.
    most: u32,
    ready: u32,
    ready_since: i64,
    last_message: i64,
    /// When it had its last turn, by count.
    turn: u64,
}

/// Whether messages go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As much as is allowed.
    Open,
    /// One message, on one connection.
    Testing,
    /// Nothing.
    Paused,
}

impl Flow {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: BTreeMap::new(),
            tested: None,
            turns: 0,
        }
    }

    /// A connection is there, to a server that allows `most`.
    pub fn connected(&mut self, id: u64, most: u32, now: i64) {
        let connection = Connection {
            most,
            ready: 0,
            ready_since: now,
            last_message: now,
            turn: 0,
        };
        self.connections.insert(id, connection);
    }

    pub fn closed(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// A message came.
    pub fn message(&mut self, id: u64, now: i64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_message = now;
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The connections whose RDY has to change, and to what. `random` chooses whom to try.
    pub fn decide(&mut self, mood: Mood, now: i64, random: u64) -> Vec<(u64, u32)> {
        let wanted = match mood {
            Mood::Paused => BTreeMap::new(),
            Mood::Testing => self.one(random),
            Mood::Open => {
                self.tested = None;
                match self.is_scarce() {
                    true => self.turns(now),
                    false => self.shares(),
                }
            }
        };
        if mood == Mood::Paused {
            self.tested = None;
        }
        let mut changes = Vec::new();
        for (&id, connection) in &mut self.connections {
            let ready = wanted.get(&id).copied().unwrap_or(0).min(connection.most);
            if ready != connection.ready {
                if connection.ready == 0 {
                    connection.ready_since = now;
                    connection.last_message = now;
                }
                connection.ready = ready;
                changes.push((id, ready));
            }
        }
        changes
    }

    /// There are more connections than messages for them.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.connections.len() > self.limits.max_in_flight as usize
    }

    fn one(&mut self, random: u64) -> BTreeMap<u64, u32> {
        let there = |id: &u64| self.connections.contains_key(id);
        if !self.tested.as_ref().is_some_and(there) {
            let count = self.connections.len().max(1) as u64;
            let at = (random % count) as usize;
            self.tested = self.connections.keys().nth(at).copied();
        }
        self.tested.iter().map(|&id| (id, 1)).collect()
    }

    fn shares(&self) -> BTreeMap<u64, u32> {
        let count = self.connections.len().max(1) as u32;
        let (share, rest) = (
            self.limits.max_in_flight / count,
            self.limits.max_in_flight % count,
        );
        let ids = self.connections.keys().zip(0u32..);
        ids.map(|(&id, at)| (id, share + u32::from(at < rest)))
            .collect()
    }

    fn turns(&mut self, now: i64) -> BTreeMap<u64, u32> {
        let Limits {
            max_in_flight,
            idle,
            held,
        } = self.limits;
        let has_more = |connection: &Connection| {
            connection.ready > 0
                && now - connection.last_message < idle
                && now - connection.ready_since < held
        };
        let keeps = self.connections.iter().filter(|one| has_more(one.1));
        let keeps = keeps.map(|(&id, _)| id).take(max_in_flight as usize);
        let mut chosen: Vec<u64> = keeps.collect();
        let mut waiting: Vec<(u64, u64)> = self
            .connections
            .iter()
            .filter(|one| !chosen.contains(one.0))
            .map(|(&id, connection)| (connection.turn, id))
            .collect();
        waiting.sort_unstable();
        for (_, id) in waiting {
            if chosen.len() == max_in_flight as usize {
                break;
            }
            self.turns += 1;
            if let Some(connection) = self.connections.get_mut(&id) {
                // The turn begins anew, for one that gave it up and got it again as well.
                (connection.turn, connection.ready_since) = (self.turns, now);
                connection.last_message = now;
            }
            chosen.push(id);
        }
        chosen.into_iter().map(|id| (id, 1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        max_in_flight: 10,
        idle: 100,
        held: 300,
    };

    fn flow(max_in_flight: u32, connections: u64) -> Flow {
        let mut flow = Flow::new(Limits {
            max_in_flight,
            ..LIMITS
        });
        (0..connections).for_each(|id| flow.connected(id, 2500, 0));
        flow
    }

    #[test]
    fn all_of_it_is_shared_out() {
        let mut flow = flow(10, 3);
        assert_eq!(
            flow.decide(Mood::Open, 0, 0),
            [(0, 4), (1, 3), (2, 3)],
            "none is left over"
        );
        assert_eq!(flow.decide(Mood::Open, 1, 0), []);
        flow.closed(1);
        assert_eq!(flow.decide(Mood::Open, 2, 0), [(0, 5), (2, 5)]);
    }

    #[test]
    fn backing_off_takes_nothing_and_then_one() {
        let mut flow = flow(10, 2);
        flow.decide(Mood::Open, 0, 0);
        assert_eq!(flow.decide(Mood::Paused, 1, 0), [(0, 0), (1, 0)]);
        assert_eq!(flow.decide(Mood::Testing, 2, 7), [(1, 1)]);
        assert_eq!(
            flow.decide(Mood::Testing, 3, 8),
            [],
            "the same one, until it is known"
        );
        flow.closed(1);
        assert_eq!(flow.decide(Mood::Testing, 4, 8), [(0, 1)]);
    }

    #[test]
    fn scarce_turns_go_round() {
        let mut flow = flow(1, 3);
        assert_eq!(flow.decide(Mood::Open, 0, 0), [(0, 1)]);
        flow.message(0, 90);
        assert_eq!(flow.decide(Mood::Open, 150, 0), [], "it is busy");
        assert_eq!(flow.decide(Mood::Open, 190, 0), [(0, 0), (1, 1)], "idle");
        for at in [250, 310, 370, 430, 480] {
            flow.message(1, at);
            assert_eq!(flow.decide(Mood::Open, at, 0), []);
        }
        assert_eq!(flow.decide(Mood::Open, 490, 0), [(1, 0), (2, 1)], "held");
    }

    proptest! {
        #[test]
        fn never_more_than_allowed(
            max_in_flight in 0u32..20,
            steps in prop::collection::vec((0u64..6, 0u8..6, 0i64..200), 0..60),
        ) {
            let mut flow = flow(max_in_flight, 0);
            let mut ready = BTreeMap::new();
            let mut now = 0;
            for (id, what, later) in steps {
                now += later;
                let mut mood = Mood::Open;
                match what {
                    0 | 1 if !ready.contains_key(&id) => {
                        flow.connected(id, 3, now);
                        ready.insert(id, 0);
                    }
                    2 => {
                        flow.closed(id);
                        ready.remove(&id);
                    }
                    3 => flow.message(id, now),
                    4 => mood = Mood::Testing,
                    5 => mood = Mood::Paused,
                    _ => {}
                }
                ready.extend(flow.decide(mood, now, id));
                let sum: u32 = ready.values().sum();
                let most = match mood { Mood::Open => max_in_flight, Mood::Testing => 1, Mood::Paused => 0 };
                prop_assert!(sum <= most, "{ready:?}");
                let reachable = most.min(3 * ready.len() as u32);
                prop_assert!(ready.is_empty() || mood != Mood::Open || sum > 0 || reachable == 0);
            }
        }
    }
}
