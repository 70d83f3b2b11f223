//! A pair under load: one node dies, its peer adopts, it comes back, both mirror each other again; and so on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::two::{Status, Two, around, judged};
use super::{Outcome, Setting};
use crate::finding::{Finding, times};
use crate::load::Tally;
use crate::stage::{Manners, Stage};

/// Publishers of each node.
const PUBLISHERS: u64 = 8;
/// How long both live, milliseconds, before one dies.
const LIFE_MS: std::ops::RangeInclusive<u64> = 300..=1000;
/// How long the other is alone after it has adopted.
const ALONE_MS: std::ops::RangeInclusive<u64> = 0..=400;
/// One of so many is killed again while it comes back.
const STILLBORN: u32 = 6;
const STILLBORN_MS: std::ops::RangeInclusive<u64> = 0..=300;
/// What a pair may take for anything; far more than it ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(setting: &Setting, failovers: usize) -> Result<Outcome> {
    let name = "ours, fsync, peer, block";
    let manners = Manners {
        refusals: true,
        paired: true,
        ..Manners::default()
    };
    let stages = Stage::pair(manners);
    let mut driven = Driven::default();
    let data = around(setting, &stages, PUBLISHERS, |stages| {
        drive(setting, stages, failovers, &mut driven)
    })?;
    let mut finding = Finding::new(name);
    finding.count("failovers", failovers as u64);
    let tally = Tally::of(&stages[0]);
    tally.judge(&mut finding);
    finding.count("adopted", driven.adopted);
    finding.count("refused", tally.refused);
    times(&mut finding, "adopted after", "worst", &driven.adoptions);
    times(
        &mut finding,
        "mirrored again after",
        "worst",
        &driven.returns,
    );
    Ok(judged(setting, data, finding))
}

/// What was seen of the servers.
#[derive(Default)]
struct Driven {
    /// From the death to the end of the adoption, milliseconds.
    adoptions: Vec<f64>,
    /// From listening again until both say that either disk may be lost.
    returns: Vec<f64>,
    adopted: u64,
}

fn drive(
    setting: &Setting,
    stages: &[Stage; 2],
    failovers: usize,
    driven: &mut Driven,
) -> Result<[tempfile::TempDir; 2]> {
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut pair = Two::mirrored(setting)?;
    pair.wait_mirrored("mirrored at the start", PATIENCE)?;
    pair.open(stages)?;
    for failover in 1..=failovers {
        (setting.progress)(&format!("failover {failover} of {failovers}"));
        std::thread::sleep(Duration::from_millis(random.random_range(LIFE_MS)));
        let victim = random.random_range(0..2);
        let made = fail_over(&mut pair, stages, victim, &mut random, driven);
        made.with_context(|| format!("failover {failover}\n{}", pair.logs()))?;
        if stages.iter().any(Stage::has_failed) {
            break; // the client says what it is
        }
    }
    pair.drain(stages, PATIENCE)?;
    Ok(pair.end())
}

fn fail_over(
    pair: &mut Two,
    stages: &[Stage; 2],
    victim: usize,
    random: &mut StdRng,
    driven: &mut Driven,
) -> Result<()> {
    let survivor = 1 - victim;
    let seen = pair.status(victim)?;
    let killed = Instant::now();
    pair.kill_under(victim, stages, PUBLISHERS)?;
    let before = pair.status(survivor)?.imported;
    pair.adopt(survivor, &seen)?;
    let is_done = |status: &Status| status.adoption.as_ref().is_some_and(|it| it.done);
    pair.wait_one(survivor, "adopted", PATIENCE, is_done)?;
    driven
        .adoptions
        .push(killed.elapsed().as_secs_f64() * 1000.0);
    driven.adopted += pair.status(survivor)?.imported - before;
    std::thread::sleep(Duration::from_millis(random.random_range(ALONE_MS)));
    if random.random_ratio(1, STILLBORN) {
        pair.raise(victim)?;
        std::thread::sleep(Duration::from_millis(random.random_range(STILLBORN_MS)));
        pair.kill(victim)?;
    }
    pair.raise(victim)?;
    let raised = Instant::now();
    stages[victim].raise(pair.address(victim)?);
    pair.wait_mirrored("mirrored again", PATIENCE)?;
    driven.returns.push(raised.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}
