//! What befalls the nodes: stops, kills, power cuts and lost disks.

use std::sync::Arc;
use std::time::Duration;

use nsq_journal::JournalError;
use nsq_journal::sim::SimDisk;
use nsqd::Nsqd;
use nsqd::engine::pair;
use rand::Rng;
use rand::rngs::StdRng;

use super::director::{Director, keep_house};
use super::spite::Moment;
use super::world::PairWorld;
use crate::node::Node;
use crate::plan::Level;

impl Director<'_> {
    /// What this world waits for has perhaps come.
    pub fn strike(&mut self) {
        let Some(moment) = self.world.plan.spite else {
            return;
        };
        let Some(index) = self.seen.strikes(self.world, moment) else {
            return;
        };
        let (disk, cut) = (
            self.losses > 0 && self.lost == 0,
            self.outages > 0 && self.cuts > 0,
        );
        match moment {
            Moment::HandedOver if disk && self.random.random_bool(0.3) => self.lose_disk(1 - index),
            Moment::HandedOver if cut => self.cut_power(1 - index),
            Moment::Importing if cut => self.cut_power(1 - index),
            Moment::MidList if self.adoptions > 0 => {
                self.adoptions -= 1;
                self.order(1 - index);
            }
            Moment::Listing if self.losses > 0 && self.lost == 1 && self.blank.0 != index => {
                let mut auditor = self.world.auditor.lock();
                let single = std::mem::take(&mut self.blank.1);
                single.into_iter().for_each(|one| auditor.excused(one));
                drop(auditor);
                // Nor is what both knew of finishes on any disk now.
                *self.world.finishes.lock() = Default::default();
                self.disk_goes(index);
            }
            Moment::Acknowledged if disk && cut && self.random.random_bool(0.1) => {
                self.cut_power(1 - index);
                self.lose_disk(index);
            }
            _ => {}
        }
    }

    fn cut_power(&mut self, index: usize) {
        self.outages -= 1;
        if let Some(node) = self.world.take(index) {
            self.power_goes(index, node);
        }
    }

    fn power_goes(&mut self, index: usize, node: Node) {
        self.cuts -= 1;
        self.world.course.note(&format!("{index} loses power"));
        if self.world.plan.level == Level::Write {
            excuse(self.world, &node.nsqd);
            let now = self.world.course.now();
            self.world.finishes.lock().power_cut(now);
        }
        self.world.disks[index]
            .lock()
            .power_cut(self.random.random());
        self.world.auditor.lock().crashed(self.world.course.now());
        node.crash();
    }

    /// Between two instructions.
    fn dies(&self, index: usize, node: Node) {
        self.world.disks[index].lock().kill();
        self.world.auditor.lock().crashed(self.world.course.now());
        node.crash();
    }

    /// R14: whoever is left goes on alone.
    pub fn go(&mut self, index: usize) {
        let lost = self.lost;
        self.losses += 1;
        self.lose_disk(index);
        if self.lost > lost {
            self.world.course.note("it will not come back");
            self.world.bury(index);
            (self.goes, self.losses) = (false, 0);
        } else {
            self.losses -= 1;
        }
    }

    pub async fn outage(&mut self, index: usize) {
        let Some(node) = self.world.take(index) else {
            return;
        };
        let down = match self.world.plan.stormy {
            true => [1, 5_000_000, 50_000_000],
            false => [1, 100_000_000, 2_000_000_000],
        };
        let down = down[self.random.random_range(0..3)];
        self.restart_at[index] = self.world.course.now() + self.random.random_range(0..=down);
        match self.random.random_range(0..10) {
            0..2 => {
                self.world.course.note(&format!("{index} is stopped"));
                if let Err(error) = stop(self.world, index, node, &mut self.random).await {
                    let complaint = format!("clean stop: {error}");
                    self.world.auditor.lock().complain(complaint);
                }
            }
            5.. if self.cuts > 0 => self.power_goes(index, node),
            _ => {
                self.world.course.note(&format!("{index} is killed"));
                self.dies(index, node);
            }
        }
    }

    pub fn both_mirrored(&self) -> bool {
        (0..2).all(|index| {
            let nsqd = self.world.nsqd(index);
            nsqd.is_some_and(|nsqd| pair::is_mirrored(&nsqd))
        })
    }

    /// The first disk at any time, a second one only when both nodes say so.
    pub fn lose_disk(&mut self, index: usize) {
        if self.lost == 0 || self.both_mirrored() {
            self.disk_goes(index);
        }
    }

    fn disk_goes(&mut self, index: usize) {
        let Some(node) = self.world.take(index) else {
            return;
        };
        self.losses -= 1;
        self.lost += 1;
        self.blank = (index, self.world.auditor.lock().all_sent());
        self.world.course.note(&format!("{index} loses its disk"));
        excuse(self.world, &node.nsqd);
        self.dies(index, node);
        *self.world.disks[index].lock() = SimDisk::new();
        self.world.make_blank(index);
        let longest = if self.world.plan.stormy { 50 } else { 1000 };
        let down = self.random.random_range(0..longest * 1_000_000);
        self.restart_at[index] = self.world.course.now() + down;
    }
}

/// What the node reports to have alone goes with its disk: `degrade` says so.
fn excuse(world: &PairWorld, nsqd: &Arc<Nsqd>) {
    if world.plan.block {
        return;
    }
    let mut auditor = world.auditor.lock();
    for body in pair::alone(nsqd) {
        if let Some(number) = nsq_auditor::decode(&body) {
            auditor.excused(number);
        }
    }
}

/// A clean stop waits for the disk, which somebody has to move.
async fn stop(
    world: &PairWorld,
    index: usize,
    node: Node,
    random: &mut StdRng,
) -> Result<(), JournalError> {
    world.auditor.lock().stopped(world.course.now());
    let nsqd = Arc::clone(&node.nsqd);
    let mut stopping = std::pin::pin!(node.stop());
    loop {
        tokio::select! {
            biased;
            stopped = &mut stopping => return stopped,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                nsqd.journal.commit();
                keep_house(world, 1 - index, random);
            }
        }
    }
}
