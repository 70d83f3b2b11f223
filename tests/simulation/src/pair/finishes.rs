//! S3: a finish that both nodes keep is final. What a node accepted, recorded, and its peer has acknowledged must never
//! be unfinished again at either, whatever they lose or adopt. If one of them loses its disk, the other still knows; the
//! blank one does once it has acknowledged all of the other's journal. Told to adopt before, it takes what it has of it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

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
    /// When the consumer said it, and when it knew.
    pub said: i64,
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
    /// Those of them that were thrown away, not finished.
    thrown: BTreeSet<Fate>,
    single: Option<Single>,
    /// The disks at the last look.
    disks: [u64; 2],
    look_at: i64,
    /// What was finished before this time may have been taken back.
    void_at: i64,
}

/// What the node that has kept its disk knows of, and perhaps not the other.
#[derive(Debug)]
struct Single {
    knows: usize,
    /// Its life, and the end of its journal: behind everything that it knows.
    life: u64,
    tail: u64,
    /// How often it had begun to adopt.
    adoptions: u64,
    /// The other has begun to adopt.
    is_adopted: bool,
    fates: BTreeSet<Fate>,
}

impl Single {
    /// What has come back where it was known.
    fn is_final(&self, index: usize) -> bool {
        index == self.knows && !self.is_adopted
    }
}

impl Finishes {
    pub fn accepted(&mut self, one: Accepted) {
        if one.said > self.void_at {
            self.accepted.push(one);
        }
    }

    /// At level `write` a node loses what it had not synced, and with it what it had told its peer that it keeps: nothing
    /// that was finished before is final any more.
    pub fn power_cut(&mut self, now: i64) {
        *self = Self {
            void_at: now,
            thrown: std::mem::take(&mut self.thrown),
            disks: self.disks,
            look_at: self.look_at,
            ..Self::default()
        };
    }

    /// Finishes go with the channel that is deleted: what an adoption brings back of it comes back as it was there.
    pub fn forget(&mut self, places: &[(&'static str, &'static str)]) {
        let stays = |fate: &Fate| !places.contains(&(fate.0, fate.1));
        self.accepted.retain(|one| stays(&one.fate));
        for (_, _, fates) in self.recorded.iter_mut().flatten() {
            fates.retain(stays);
        }
        self.last.retain(stays);
        if let Some(single) = &mut self.single {
            single.fates.retain(stays);
        }
    }

    /// What must not be unfinished there.
    fn finals(&self, index: usize) -> Vec<&BTreeSet<Fate>> {
        let single = self.single.as_ref();
        let single = single.filter(|single| single.is_final(index));
        let single = single.map(|single| &single.fates);
        [&self.last].into_iter().chain(single).collect()
    }

    pub fn emptied(&mut self, emptied: Emptied) {
        self.emptied.push(emptied);
    }
}

/// Looks at both nodes, and complains of what came back.
pub fn look(world: &PairWorld) {
    let now = world.course.now();
    let mut finishes = world.finishes.lock();
    if now < finishes.look_at {
        return;
    }
    finishes.look_at = now + LOOK;
    note_lost_disks(world, &mut finishes);
    note_single(world, &mut finishes);
    for index in 0..2 {
        advance(world, &mut finishes, index, now);
    }
    note_emptied(world, &mut finishes);
    let mut came_back = BTreeSet::new();
    let up = (0..2).filter_map(|index| Some((index, world.nsqd(index)?)));
    for (index, nsqd) in up {
        let finals = finishes.finals(index);
        if finals.iter().all(|fates| fates.is_empty()) {
            continue;
        }
        pair::unfinished(&nsqd, &mut |topic, channel, body| {
            let number = nsq_auditor::decode(body).unwrap_or_default();
            if finals
                .iter()
                .any(|fates| fates.contains(&(topic, channel, number)))
            {
                came_back.insert((number, index, channel.to_owned()));
            }
        });
    }
    for (number, index, channel) in came_back {
        finishes.last.retain(|fate| fate.2 != number);
        if let Some(single) = &mut finishes.single {
            single.fates.retain(|fate| fate.2 != number);
        }
        let what = format!("is unfinished again at {index} on {channel}");
        world.trace(number, &what);
        let complaint = format!("{number} {what}, after both nodes kept its finish");
        world.auditor.lock().complain(complaint);
    }
}

/// A disk that went took with it what it knew. Of a node that is gone for good, the other goes on as it was.
fn note_lost_disks(world: &PairWorld, finishes: &mut Finishes) {
    for index in 0..2 {
        let disk = world.incarnations[index].load(Ordering::Relaxed);
        let before = std::mem::replace(&mut finishes.disks[index], disk);
        if before == disk || before == 0 || world.gone() == Some(index) {
            continue;
        }
        let known = std::mem::take(&mut finishes.last);
        let before = finishes.single.take();
        let before = before.filter(|single| single.knows != index);
        let mut single = before.unwrap_or(Single {
            knows: 1 - index,
            life: 0, // of another life, where it is looked at next
            tail: 0,
            adoptions: 0,
            is_adopted: false,
            fates: BTreeSet::new(),
        });
        single.life = 0;
        single.fates.extend(known);
        finishes.single = Some(single);
    }
}

/// Whether the blank node has been told by now.
fn note_single(world: &PairWorld, finishes: &mut Finishes) {
    let Some(mut single) = finishes.single.take() else {
        return;
    };
    if !single.is_adopted && world.has_adopted(1 - single.knows) {
        single.is_adopted = true;
        // A finish that it hears of later finishes what it has taken over; a channel emptied at its peer does not empty its own.
        single.fates.retain(|fate| !finishes.thrown.contains(fate));
    }
    if let Some(nsqd) = world.nsqd(single.knows) {
        let (life, adoptions) = (world.life(single.knows), pair::adoptions(&nsqd));
        if single.is_adopted && adoptions > single.adoptions {
            return; // each has taken over from the other what that had not been told of
        }
        if single.life != life {
            (single.life, single.tail) = (life, nsqd.journal.tail());
            single.adoptions = adoptions;
        }
        if is_kept(world, single.knows, &nsqd, single.tail) {
            finishes.last.extend(single.fates);
            return;
        }
    }
    finishes.single = Some(single);
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
            nsqd.is_some_and(|nsqd| is_kept(world, index, &nsqd, tail))
        });
        match known {
            true => {
                finishes.thrown.extend(&emptied.fates);
                finishes.last.extend(emptied.fates);
            }
            false => finishes.emptied.push(emptied),
        }
    }
}

/// The node and its peer, on the disk that it has, have kept its journal up to here.
fn is_kept(world: &PairWorld, index: usize, nsqd: &Nsqd, tail: u64) -> bool {
    let peers = world.incarnations[1 - index].load(Ordering::Relaxed);
    let acknowledged = pair::acknowledged_by(nsqd, peers);
    nsqd.journal.durable() >= tail && acknowledged >= Some(tail)
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
        let kept = is_kept(world, index, &nsqd, tail);
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
