//! Every state that can be reached, the nearest first; then, backwards, whether a healed pair always comes to rest.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::judge::{Broken, Promise, judge};
use crate::state::State;
use crate::step::{Step, after, steps};
use crate::world::World;

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    pub transitions: u64,
    pub depth: usize,
    pub took: Duration,
    pub end: End,
}

#[derive(Debug)]
pub enum End {
    /// Every state was looked at, and all promises hold.
    Clean,
    /// A promise was broken, and by which steps.
    Broken(Broken, Vec<Step>),
    /// There were more states than `states_max`; those that were looked at are good.
    TooMany,
    /// A list of the model itself was too short.
    Overfull,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub states: usize,
    pub depth: usize,
    pub waiting: usize,
    pub took: Duration,
}

/// States between two reports.
const REPORT: usize = 1 << 16;

/// Mixes words into 64 bits.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0x9fb2_1c65_1e98_df25);
        mixed ^ mixed >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}

/// Fingerprints are mixed already.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = Fingerprint::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A search under way.
struct Search<'a> {
    world: &'a World,
    only: Option<Promise>,
    seen: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
    /// Of each state: the one before, and the step from there.
    from: Vec<(u32, Step)>,
    /// What nodes do by themselves: from, to.
    healing: Vec<(u32, u32)>,
    /// States in which the pair is whole and rests.
    rest: Vec<u32>,
    transitions: u64,
}

/// Searches a world for the nearest state that breaks a promise: any, or `only` this one.
pub fn search(world: &World, only: Option<Promise>, report: &mut dyn FnMut(Progress)) -> Found {
    let began = Instant::now();
    let mut search = Search {
        world,
        only,
        seen: HashMap::default(),
        from: Vec::new(),
        healing: Vec::new(),
        rest: Vec::new(),
        transitions: 0,
    };
    let (end, depth) = search.run(began, report);
    Found {
        states: search.from.len(),
        transitions: search.transitions,
        depth,
        took: began.elapsed(),
        end,
    }
}

impl Search<'_> {
    fn run(&mut self, began: Instant, report: &mut dyn FnMut(Progress)) -> (End, usize) {
        let first = State::first(self.world);
        self.note(fingerprint(&first), 0, Step::Break);
        let (mut level, mut depth, mut out) = (vec![(0, first)], 0, Vec::new());
        while !level.is_empty() {
            let mut next = Vec::new();
            for (id, state) in &level {
                if let Err(end) = self.expand(*id, state, &mut out, &mut next) {
                    return (end, depth);
                }
                if self.from.len() > self.world.states_max {
                    return (End::TooMany, depth);
                }
            }
            if self.from.len() / REPORT != (self.from.len() - next.len()) / REPORT {
                report(Progress {
                    states: self.from.len(),
                    depth,
                    waiting: next.len(),
                    took: began.elapsed(),
                });
            }
            level = next;
            depth += usize::from(!level.is_empty());
        }
        if self.only.is_some_and(|only| only != Promise::Progress) {
            return (End::Clean, depth);
        }
        match self.stuck() {
            Some(id) => {
                let how = "from here on it never rests, whoever comes back".to_owned();
                (
                    self.broken(
                        Broken {
                            promise: Promise::Progress,
                            how,
                        },
                        id,
                    ),
                    depth,
                )
            }
            None => (End::Clean, depth),
        }
    }

    /// The state's number, and whether it is new.
    fn note(&mut self, fingerprint: u64, from: u32, step: Step) -> (u32, bool) {
        let id = self.from.len() as u32;
        let known = *self.seen.entry(fingerprint).or_insert(id);
        if known == id {
            self.from.push((from, step));
        }
        (known, known == id)
    }

    fn expand(
        &mut self,
        id: u32,
        state: &State,
        out: &mut Vec<(Step, State)>,
        next: &mut Vec<(u32, State)>,
    ) -> Result<(), End> {
        if state.nodes.iter().any(|node| node.is_overfull()) {
            return Err(End::Overfull);
        }
        steps(self.world, state, out);
        let mut busy = [false; 2];
        for (step, _) in out.iter() {
            if let Some(node) = step.progress(state) {
                busy[usize::from(node)] = true;
            }
        }
        if let Some(broken) = judge(self.world, state, busy, self.only) {
            return Err(self.broken(broken, id));
        }
        if busy == [false, false] {
            self.rest.push(id);
        }
        for (step, state_after) in out.drain(..) {
            self.transitions += 1;
            let (to, new) = self.note(fingerprint(&state_after), id, step);
            if step.progress(state).is_some() {
                self.healing.push((id, to));
            }
            if new {
                next.push((to, state_after));
            }
        }
        Ok(())
    }

    fn broken(&self, broken: Broken, id: u32) -> End {
        let mut steps = Vec::new();
        let mut at = id;
        while at != 0 {
            let (before, step) = self.from[at as usize];
            steps.push(step);
            at = before;
        }
        steps.reverse();
        End::Broken(broken, steps)
    }

    /// The nearest state from which no rest is reached by what nodes do by themselves.
    fn stuck(&self) -> Option<u32> {
        let states = self.from.len();
        let mut first = vec![0u32; states + 1];
        for (_, to) in &self.healing {
            first[*to as usize + 1] += 1;
        }
        for at in 0..states {
            first[at + 1] += first[at];
        }
        let (mut filled, mut back) = (first.clone(), vec![0u32; self.healing.len()]);
        for (from, to) in &self.healing {
            let place = &mut filled[*to as usize];
            back[*place as usize] = *from;
            *place += 1;
        }
        let mut reaches = vec![false; states];
        let mut waiting = self.rest.clone();
        while let Some(id) = waiting.pop() {
            if !std::mem::replace(&mut reaches[id as usize], true) {
                let (from, to) = (first[id as usize], first[id as usize + 1]);
                waiting.extend(&back[from as usize..to as usize]);
            }
        }
        reaches
            .iter()
            .position(|reaches| !reaches)
            .map(|id| id as u32)
    }
}

/// The states along some steps, the first included; shorter if one of them cannot happen.
pub fn history(world: &World, steps: &[Step]) -> Vec<State> {
    let mut all = vec![State::first(world)];
    for step in steps {
        match all.last().and_then(|state| after(world, state, *step)) {
            Some(state) => all.push(state),
            None => break,
        }
    }
    all
}
