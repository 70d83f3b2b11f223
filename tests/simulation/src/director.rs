//! What happens to the node: commits, housekeeping, outages, and the calm at the end.

use std::sync::Arc;
use std::time::Duration;

use nsq_journal::sim::Faults;
use nsqd::engine::Pager;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use crate::course::pause;
use crate::plan::{Level, TOPICS};
use crate::world::World;

/// Virtual time after which a world that is not drained stands still: few last longer than 2 min.
const AGE: Duration = Duration::from_secs(600);

/// All channels are there before the first message, so that each belongs to all.
pub async fn make_channels(world: &World) {
    let Some(nsqd) = nsqd(world) else { return };
    for &(topic, channels) in TOPICS {
        for channel in channels {
            let made = nsqd
                .topic(topic)
                .and_then(|topic| topic.create_channel(&nsqd, channel));
            if let Err(error) = made {
                world
                    .auditor
                    .lock()
                    .complain(format!("{topic}/{channel}: {error}"));
            }
        }
    }
    if let Err(error) = nsqd.journal.sync() {
        world
            .auditor
            .lock()
            .complain(format!("first sync: {error}"));
    }
}

pub async fn run(world: &Arc<World>, publishers: &mut JoinSet<()>) {
    let mut random = StdRng::seed_from_u64(world.plan.seed ^ 0x5000);
    let mut outages = world.plan.outages;
    let mut next_outage = outage_time(world, &mut random);
    loop {
        let wait = random.random_range(1..=world.plan.slow_disk_us);
        tokio::time::sleep(Duration::from_micros(wait)).await;
        // An outage comes at any moment: also when something waits for its commit.
        if outages > 0 && world.course.now() >= next_outage {
            outages -= 1;
            outage(world, &mut random).await;
            next_outage = outage_time(world, &mut random);
        }
        keep_house(world, &mut random);
        while publishers.try_join_next().is_some() {}
        if world.course.took() > AGE {
            return complain_of_rest(world);
        }
        if publishers.is_empty() && outages == 0 {
            world.course.drain();
            if is_drained(world) {
                return;
            }
        }
    }
}

fn outage_time(world: &World, random: &mut StdRng) -> i64 {
    world.course.now() + random.random_range(1_000_000..400_000_000)
}

fn nsqd(world: &World) -> Option<Arc<nsqd::Nsqd>> {
    world
        .node
        .lock()
        .as_ref()
        .map(|node| Arc::clone(&node.nsqd))
}

/// What nsqd's own threads do, whenever the seed says. A failed disk ends the node.
fn keep_house(world: &World, random: &mut StdRng) {
    let Some(nsqd) = nsqd(world) else { return };
    nsqd.journal.commit();
    let mut result = Ok(());
    if random.random_bool(0.3) {
        result = nsqd.journal.keep_house();
    }
    if random.random_bool(0.3) {
        result = result.and(Pager::step(&nsqd));
    }
    let full = matches!(result, Err(nsq_journal::JournalError::DiskFull(_)));
    if let Err(error) = result
        && nsqd.health().is_ok()
        && !full
        && !world.disk_fails_on_purpose(&error)
    {
        world
            .auditor
            .lock()
            .complain(format!("housekeeping: {error}"));
    }
}

/// Ends the node in one of the ways its level promises to survive, and starts it again.
async fn outage(world: &Arc<World>, random: &mut StdRng) {
    let kind = random.random_range(0..10);
    world.course.note(&format!("outage of kind {kind}"));
    match kind {
        0..2 => stop(world).await,
        2 => fill_disk(world, random).await,
        3 if world.plan.level == Level::Fsync => {
            let faults = Faults {
                sync_fails_after: Some(random.random_range(0..3)),
                ..Faults::default()
            };
            world.disk.set_faults(faults);
            suffer(world, random, 40).await;
            crash(world, random);
        }
        4 if world.plan.level == Level::Fsync => {
            let faults = Faults {
                power_off_after: Some(random.random_range(0..40)),
                ..Faults::default()
            };
            world.disk.set_faults(faults);
            suffer(world, random, 10).await;
            crash(world, random);
        }
        _ => crash(world, random),
    }
    while nsqd(world).is_none() {
        pause(random, 30).await;
        if let Err(error) = world.start() {
            world.auditor.lock().complain(format!("restart: {error}"));
            return;
        }
    }
}

/// Goes on with a disk that is about to fail; a node whose journal has failed ends at once.
async fn suffer(world: &World, random: &mut StdRng, times: usize) {
    for _ in 0..times {
        pause(random, 20).await;
        keep_house(world, random);
        if nsqd(world).is_none_or(|nsqd| nsqd.health().is_err()) {
            return;
        }
    }
}

fn crash(world: &World, random: &mut StdRng) {
    let Some(node) = world.node.lock().take() else {
        return;
    };
    match world.plan.level {
        Level::Write => world.disk.kill(),
        Level::Fsync if random.random_bool(0.3) => world.disk.kill(),
        Level::Fsync => world.disk.power_cut(random.random()),
    }
    world.auditor.lock().crashed(world.course.now());
    node.crash();
}

async fn stop(world: &World) {
    let Some(node) = world.node.lock().take() else {
        return;
    };
    world.auditor.lock().stopped(world.course.now());
    if let Err(error) = node.stop().await {
        world
            .auditor
            .lock()
            .complain(format!("clean stop: {error}"));
    }
}

/// The disk is full for a while: publishes are refused, deliveries go on, and it passes by itself.
async fn fill_disk(world: &World, random: &mut StdRng) {
    world
        .disk
        .set_capacity(Some(world.disk.used() + random.random_range(0..200_000)));
    for _ in 0..20 {
        pause(random, 20).await;
        keep_house(world, random);
    }
    world.disk.set_capacity(None);
}

fn is_drained(world: &World) -> bool {
    let Some(nsqd) = nsqd(world) else {
        return false;
    };
    nsqd.topics().iter().all(|topic| {
        let stats = topic.read(|queue| queue.stats());
        let waiting = |channel: &nsqd::engine::ChannelStats| {
            channel.depth + channel.in_flight_count + channel.deferred_count
        };
        stats.depth == 0 && stats.channels.iter().all(|channel| waiting(channel) == 0)
    })
}

fn complain_of_rest(world: &World) {
    let Some(nsqd) = nsqd(world) else {
        return world
            .auditor
            .lock()
            .complain("the node is not up at the end".to_owned());
    };
    for topic in nsqd.topics() {
        let stats = topic.read(|queue| queue.stats());
        for channel in &stats.channels {
            world.auditor.lock().complain(format!(
                "{}/{} is not drained: {} wait, {} in flight, {} deferred",
                stats.name,
                channel.name,
                channel.depth,
                channel.in_flight_count,
                channel.deferred_count
            ));
        }
    }
}
