//! S3: a finish that both nodes keep is final. What a node accepted, recorded, and its peer has acknowledged must never
//! be unfinished again at either, whatever they lose or adopt.

use std::collections::BTreeSet;

use nsqd::Nsqd;
use nsqd::engine::pair;

use super::world::PairWorld;

/// Finishes reach the journal within 50 ms; they are looked at when they are older than this, nanoseconds.
const RECORDED: i64 = 100_000_000;
/// How often everything unfinished is looked through.
const LOOK: i64 = 50_000_000;

/// A message on a channel of a topic.
pub type Fate = (&'static str, &'static str, u64);

/// A finish that a node did not refuse.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    pub fate: Fate,
    pub node: usize,
    /// Which life of the node.
    pub life: u64,
    pub at: i64,
}

/// Channels that were emptied or deleted by all who own these messages.
#[derive(Debug)]
pub struct Emptied {
    pub fates: Vec<Fate>,
    /// Of each node: its life, the end of its journal, and how often it had begun to adopt, when it was done.
    pub by: [(u64, u64, u64); 2],
}

/// What is known of finishes.
#[derive(Debug, Default)]
pub struct Finishes {
    accepted: Vec<Accepted>,
    /// Those of a node that are recorded before this position of its journal, in that life.
    recorded: [Option<(u64, u64, Vec<Fate>)>; 2],
    /// What was thrown away.
    emptied: Vec<Emptied>,
    /// Known to both.
    last: BTreeSet<Fate>,
    look_at: i64,
}

impl Finishes {
    pub fn accepted(&mut self, one: Accepted) {
        self.accepted.push(one);
    }

    /// Finishes go with the channel that is deleted: what an adoption brings back of it comes back as it was there.
    pub fn forget(&mut self, places: &[(&'static str, &'static str)]) {
        let stays = |fate: &Fate| !places.contains(&(fate.0, fate.1));
        self.accepted.retain(|one| stays(&one.fate));
        for (_, _, fates) in self.recorded.iter_mut().flatten() {
            fates.retain(stays);
        }
        self.last.retain(stays);
    }

    pub fn emptied(&mut self, emptied: Emptied) {
        self.emptied.push(emptied);
    }
}

/// Looks at both nodes, and complains of what came back.
pub fn look(world: &PairWorld) {
    let now = world.now();
    let mut finishes = world.finishes.lock();
    if now < finishes.look_at {
        return;
    }
    finishes.look_at = now + LOOK;
    for index in 0..2 {
        advance(world, &mut finishes, index, now);
    }
    note_emptied(world, &mut finishes);
    let mut came_back = BTreeSet::new();
    let up = (0..2).filter_map(|index| Some((index, world.nsqd(index)?)));
    for (index, nsqd) in up.filter(|_| !finishes.last.is_empty()) {
        pair::unfinished(&nsqd, &mut |topic, channel, body| {
            let number = nsq_auditor::decode(body).unwrap_or_default();
            if finishes.last.contains(&(topic, channel, number)) {
                came_back.insert((number, index, channel.to_owned()));
            }
        });
    }
    for (number, index, channel) in came_back {
        finishes.last.retain(|fate| fate.2 != number);
        let what = format!("is unfinished again at {index} on {channel}");
        world.trace(number, &what);
        let complaint = format!("{number} {what}, after both nodes kept its finish");
        world.auditor.lock().complain(complaint);
    }
}

/// What all who own it have thrown away, and both copies too, does not come back either.
fn note_emptied(world: &PairWorld, finishes: &mut Finishes) {
    for emptied in std::mem::take(&mut finishes.emptied) {
        let lives = emptied.by.iter().enumerate();
        if lives.clone().any(|(index, by)| by.0 != world.life(index)) {
            continue; // a power cut may have undone it
        }
        // An adoption takes over what a copy has that has not heard of it yet.
        let adopts = |(index, by): (usize, &(u64, u64, u64))| {
            let nsqd = world.nsqd(index);
            nsqd.is_some_and(|nsqd| pair::adoptions(&nsqd) > by.2 || pair::is_importing(&nsqd))
        };
        if lives.clone().any(adopts) {
            continue;
        }
        let known = lives.clone().all(|(index, &(_, tail, _))| {
            let nsqd = world.nsqd(index);
            nsqd.is_some_and(|nsqd| is_kept(&nsqd, tail))
        });
        match known {
            true => finishes.last.extend(emptied.fates),
            false => finishes.emptied.push(emptied),
        }
    }
}

/// The node and its peer have kept its journal up to here.
fn is_kept(nsqd: &Nsqd, tail: u64) -> bool {
    nsqd.journal.durable() >= tail && pair::acknowledged(nsqd) >= Some(tail)
}

fn advance(world: &PairWorld, finishes: &mut Finishes, index: usize, now: i64) {
    let life = world.life(index);
    let Some(nsqd) = world.nsqd(index) else {
        finishes.recorded[index] = None;
        finishes.accepted.retain(|one| one.node != index);
        return;
    };
    finishes
        .accepted
        .retain(|one| one.node != index || one.life == life);
    if let Some((of, tail, fates)) = finishes.recorded[index].take() {
        let kept = is_kept(&nsqd, tail);
        match of == life {
            true if kept => finishes.last.extend(fates),
            true => finishes.recorded[index] = Some((of, tail, fates)),
            false => {}
        }
    }
    if finishes.recorded[index].is_none() {
        let is_old = |one: &mut Accepted| one.node == index && one.at + RECORDED <= now;
        let old = finishes.accepted.extract_if(.., is_old);
        let fates: Vec<Fate> = old.map(|one| one.fate).collect();
        if !fates.is_empty() {
            finishes.recorded[index] = Some((life, nsqd.journal.tail(), fates));
        }
    }
}
