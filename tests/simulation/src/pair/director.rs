//! What happens to the pair, and the calm at the end: both nodes back, connected, drained, and
//! each with a true copy of the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsqd::Nsqd;
use nsqd::engine::{Pager, pair};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::node::NAMES;
use super::removals::Removal;
use super::rest::{complain_of_rest, is_at_rest};
use super::spite::{Moment, Seen};
use super::world::PairWorld;
use super::{finishes, removals};
use crate::plan::{Level, TOPICS};

/// Virtual time after which a world that has not come to rest stands still: hardly one lasts 15 s.
const AGE: Duration = Duration::from_secs(300);

/// All channels are there before the first message, on a blank node too.
pub fn make_channels(world: &PairWorld, nsqd: &Arc<Nsqd>) {
    for &(topic, channels) in TOPICS {
        for channel in channels {
            let made = nsqd
                .topic(topic)
                .and_then(|topic| topic.create_channel(nsqd, channel));
            if let Err(error) = made.map(|_| ()).and(nsqd.journal.sync().map(|_| ())) {
                let complaint = format!("{topic}/{channel}: {error}");
                world.auditor.lock().complain(complaint);
            }
        }
    }
}

/// How often a disk that is stuck syncs all the same.
const STUCK: f64 = 0.002;

/// What is still to happen.
pub struct Director<'a> {
    pub world: &'a PairWorld,
    pub random: StdRng,
    pub outages: usize,
    pub losses: usize,
    pub goes: bool,
    pub adoptions: usize,
    pub partitions: usize,
    pub empties: usize,
    pub deletes: usize,
    /// At level `write` one power cut is survived.
    pub cuts: usize,
    pub restart_at: [i64; 2],
    pub heal_at: i64,
    pub next: i64,
    pub adopted: u64,
    pub lost: u64,
    pub seen: Seen,
    /// The disk that was lost last, and what had been sent by then.
    pub blank: (usize, Vec<u64>),
    pub places: [String; 2],
}

pub async fn run(world: &Arc<PairWorld>, publishers: &mut JoinSet<()>) -> (u64, u64) {
    let plan = &world.plan;
    let mut random = StdRng::seed_from_u64(plan.seed ^ 0x5000);
    let write = plan.level == Level::Write;
    let cut = write && random.random_bool(0.5);
    let mut director = Director {
        world,
        outages: plan.outages,
        // At level `write` not both: what the cut took from one is on the other only.
        losses: if cut { 0 } else { plan.losses },
        goes: plan.goes && !cut,
        adoptions: plan.adoptions,
        partitions: plan.partitions,
        empties: plan.empties,
        deletes: plan.deletes,
        cuts: if write { usize::from(cut) } else { usize::MAX },
        restart_at: [0; 2],
        heal_at: 0,
        next: random.random_range(
            1_000_000..if plan.stormy {
                800_000_000
            } else {
                200_000_000
            },
        ),
        adopted: 0,
        lost: 0,
        seen: Seen::default(),
        blank: (0, Vec::new()),
        places: Default::default(),
        random,
    };
    loop {
        let wait = director.random.random_range(1..=plan.slow_disk_us);
        tokio::time::sleep(Duration::from_micros(wait)).await;
        director.go_on().await;
        finishes::look(world);
        director.trace();
        while publishers.try_join_next().is_some() {}
        if world.course.took() > AGE {
            complain_of_rest(world);
            break;
        }
        if publishers.is_empty() && director.is_done() {
            world.course.drain();
            if is_at_rest(world) {
                break;
            }
        }
    }
    (director.adopted, director.lost)
}

impl Director<'_> {
    async fn go_on(&mut self) {
        let now = self.world.course.now();
        // What has just been written is not on either disk yet; what was, is on one of them, perhaps.
        if now >= self.next {
            // Often one thing follows close upon another: in the midst of what the first began.
            let soon = match self.world.plan.stormy {
                true => [1, 10_000_000, 60_000_000],
                false => [400_000_000, 400_000_000, 20_000_000],
            };
            let soon = soon[self.random.random_range(0..3)];
            self.next = now + self.random.random_range(0..soon);
            self.happen().await;
        }
        self.strike();
        if self.world.plan.eager && self.lost > 0 && self.losses > 0 && self.both_mirrored() {
            // The first moment at which they say that they can do without.
            let index = match self.world.plan.spite {
                Some(Moment::Mirrored) => 1 - self.blank.0,
                _ => self.random.random_range(0..2),
            };
            self.lose_disk(index);
        }
        for index in 0..2 {
            let is_gone = self.world.gone() == Some(index);
            if !is_gone && self.world.nsqd(index).is_none() && now >= self.restart_at[index] {
                self.world.start(index);
            }
            keep_house(self.world, index, &mut self.random);
        }
        removals::look(self.world);
        if let Some(gone) = self.world.gone()
            && let Some(nsqd) = self.world.nsqd(1 - gone)
            && !pair::mirror_is_covered(&nsqd)
        {
            pair::adopt(&nsqd, NAMES[gone]); // whoever watches sees to it
        }
        if now >= self.heal_at && self.world.partitioned.swap(false, Ordering::Relaxed) {
            self.world.course.note("the partition heals");
        }
    }

    /// Where the message that is looked for is.
    fn trace(&mut self) {
        let Some(number) = self.world.plan.traced else {
            return;
        };
        for index in 0..2 {
            let place = match self.world.nsqd(index) {
                None => "down".to_owned(),
                Some(nsqd) => {
                    pair::places(&nsqd, &|body| nsq_auditor::decode(body) == Some(number))
                }
            };
            if self.places[index] != place {
                self.world.trace(number, &format!("is at {index}: {place}"));
                self.places[index] = place;
            }
        }
    }

    fn is_done(&self) -> bool {
        let left = self.outages + self.losses + self.adoptions + self.partitions;
        let left = left + self.empties + self.deletes;
        left == 0 && !self.goes && !self.world.partitioned.load(Ordering::Relaxed)
    }

    async fn happen(&mut self) {
        let index = self.random.random_range(0..2);
        match self.random.random_range(0..7) {
            0 if self.outages > 0 => {
                self.outages -= 1;
                self.outage(index).await;
                if self.world.plan.both && self.random.random_bool(0.5) {
                    self.outage(1 - index).await;
                }
            }
            1 if self.losses > 0 => {
                let index = match self.world.plan.lopsided && self.lost == 0 {
                    true => 1, // the one that has nothing of its own
                    false => index,
                };
                let lost = self.lost;
                self.lose_disk(index);
                if self.world.plan.stormy && self.lost > lost && self.random.random_bool(0.5) {
                    self.outage(1 - index).await; // at the same moment
                }
            }
            2 if self.adoptions > 0 => {
                self.adoptions -= 1;
                self.order(index);
            }
            3 if self.partitions > 0 => {
                self.partitions -= 1;
                self.world.course.note("a partition");
                self.world.partitioned.store(true, Ordering::Relaxed);
                let lasts = match self.world.plan.stormy {
                    true => [2, 2, 300_000_000],
                    false => [1_000_000, 300_000_000, 3_000_000_000],
                };
                let lasts = lasts[self.random.random_range(0..3)];
                self.heal_at = self.world.course.now() + self.random.random_range(1..lasts);
            }
            4 if self.goes => self.go(index),
            5 if self.empties > 0 => {
                self.empties -= 1;
                self.remove(index, Removal::EmptyChannel);
            }
            6 if self.deletes > 0 => {
                self.deletes -= 1;
                let removal = match self.random.random_bool(0.7) {
                    true => Removal::DeleteChannel,
                    false => Removal::DeleteTopic,
                };
                self.remove(index, removal);
            }
            _ => {}
        }
    }

    /// Somebody thinks that the other one is dead.
    pub fn order(&mut self, index: usize) {
        if let Some(nsqd) = self.world.nsqd(index) {
            self.world
                .course
                .note(&format!("{index} is ordered to adopt"));
            self.adopted += 1;
            pair::adopt(&nsqd, NAMES[1 - index]);
        }
    }

    /// On one node, or on both.
    fn remove(&mut self, index: usize, removal: Removal) {
        let (topic, channels) = TOPICS[self.random.random_range(0..TOPICS.len())];
        let channel = channels[self.random.random_range(0..channels.len())];
        let both = self.random.random_bool(0.5);
        let told = [both || index == 0, both || index == 1];
        let all: Vec<_> = channels.iter().map(|&channel| (topic, channel)).collect();
        let places = match removal {
            Removal::DeleteTopic => &all[..],
            _ => &[(topic, channel)],
        };
        removals::remove(self.world, removal, places, told);
    }
}

/// What nsqd's own threads do, whenever the seed says.
pub fn keep_house(world: &PairWorld, index: usize, random: &mut StdRng) {
    let Some(nsqd) = world.nsqd(index) else {
        return;
    };
    // One disk may be slower than the other: it is the order of their syncs that rules are about.
    let commits = match world.plan.spite {
        // It is stuck, but not for ever.
        Some(Moment::Importing) if pair::is_import_unsynced(&nsqd) => STUCK,
        _ => world.plan.commits[index],
    };
    let idle = world.plan.lazy && !nsqd.journal.is_waited_for();
    if random.random_bool(commits) && !idle {
        nsqd.journal.commit();
    }
    let mut result = Ok(());
    if random.random_bool(world.plan.writes) {
        result = nsqd.journal.write(nsqd.journal.tail()).map(|_| ());
    }
    if random.random_bool(0.3) {
        result = result.and(nsqd.journal.keep_house());
    }
    if random.random_bool(0.3) {
        result = result.and(Pager::step(&nsqd));
    }
    if let Err(error) = result {
        let complaint = format!("housekeeping of {index}: {error}");
        world.auditor.lock().complain(complaint);
    }
}
