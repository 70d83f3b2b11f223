//! `kill -9` under load, again and again, on the same data path.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_auditor::Verdict;
use nsq_rig::{Program, Server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::depth::is_drained;
use crate::stage::{Phase, Stage, TOPICS};
use crate::trial::{Recovery, Trial};
use crate::{consumer, publisher};

pub const PUBLISHERS: usize = 64;
/// How long a server lives, milliseconds.
const LIFE_MS: std::ops::RangeInclusive<u64> = 300..=1300;
/// One of so many is killed much sooner: while it recovers, or before anybody connects.
const STILLBORN: u32 = 8;
const STILLBORN_MS: std::ops::RangeInclusive<u64> = 0..=30;
/// Statistics are asked for so often while the rest is drained.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);
/// No delivery and yet not drained for so many questions: it never will be.
const DRAIN_QUESTIONS: u32 = 300;

/// A run to be made.
pub struct Run<'a> {
    pub name: &'a str,
    pub program: &'a Program,
    pub data_path: &'a Path,
    pub cycles: usize,
    pub seed: u64,
    pub progress: &'a dyn Fn(&str),
}

/// Kills the server `cycles` times, drains what is left, and lets the auditor judge.
///
/// # Errors
/// When the server ends by itself, does not come back, or breaks the protocol.
pub fn run(run: &Run<'_>) -> Result<Trial> {
    let stage = Stage::new();
    let seed = run.seed;
    let channels: Vec<_> = TOPICS
        .iter()
        .flat_map(|&(topic, channels)| channels.iter().map(move |&channel| (topic, channel)))
        .collect();
    let clients = PUBLISHERS + channels.len();
    let driven = std::thread::scope(|scope| {
        let stage = &stage;
        let client = |work: Box<dyn FnOnce() -> Result<()> + Send>| {
            scope.spawn(move || {
                let result = work();
                stage.leave(result.is_err());
                result
            })
        };
        let mut threads = Vec::new();
        for &(topic, channel) in &channels {
            threads.push(client(Box::new(move || {
                consumer::run(stage, seed, topic, channel)
            })));
        }
        for number in 0..PUBLISHERS as u64 {
            threads.push(client(Box::new(move || {
                publisher::run(stage, seed, number)
            })));
        }
        let driven = drive(run, stage, clients, channels.len());
        stage.enter(Phase::Over);
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a client panicked"),
            }
        }
        driven
    })?;
    let ledger = stage.ledger();
    Ok(judge(
        run,
        &ledger.auditor.verdict(),
        ledger.requeues,
        ledger.interrupted,
        driven,
    ))
}

fn drive(run: &Run<'_>, stage: &Stage, clients: usize, consumers: usize) -> Result<Vec<Recovery>> {
    let mut random = StdRng::seed_from_u64(run.seed);
    let mut recoveries = Vec::new();
    let mut server = Server::start(run.program, run.data_path)?;
    stage.raise(server.wait_ready()?.0);
    if !stage.wait_subscribed(consumers) {
        bail!("no consumer could subscribe\n{}", server.log());
    }
    stage.enter(Phase::Publish);
    for cycle in 1..=run.cycles {
        let acknowledged = stage.ledger().auditor.counts().acknowledged;
        (run.progress)(&format!(
            "{}: cycle {cycle} of {}, {acknowledged} acknowledged",
            run.name, run.cycles
        ));
        pause(&mut random, LIFE_MS);
        if let Some(status) = server.ended()? {
            bail!(
                "nsqd ended by itself in cycle {cycle}: {status}\n{}",
                server.log()
            );
        }
        stage.mark_kill();
        server.kill()?;
        stage.wait_parked(clients);
        if stage.has_failed() {
            return Ok(recoveries); // the client says what it is
        }
        if random.random_ratio(1, STILLBORN) {
            let early = Server::start(run.program, run.data_path)?;
            pause(&mut random, STILLBORN_MS);
            early.kill()?;
        }
        server = Server::start(run.program, run.data_path)?;
        let (address, took) = server
            .wait_ready()
            .with_context(|| format!("cycle {cycle}"))?;
        recoveries.push(Recovery::new(took));
        stage.raise(address);
    }
    stage.enter(Phase::Drain);
    drain(run, stage, &mut server)?;
    Ok(recoveries)
}

fn pause(random: &mut StdRng, millis: std::ops::RangeInclusive<u64>) {
    std::thread::sleep(Duration::from_millis(random.random_range(millis)));
}

/// Waits until the server says, twice, that it has nothing left.
fn drain(run: &Run<'_>, stage: &Stage, server: &mut Server) -> Result<()> {
    let (mut drained, mut idle) = (0, 0);
    let mut deliveries = 0;
    while drained < 2 {
        std::thread::sleep(DRAIN_PAUSE);
        let now = stage.ledger().auditor.counts().deliveries;
        (run.progress)(&format!("{}: draining, {now} delivered", run.name));
        idle = if now == deliveries { idle + 1 } else { 0 };
        deliveries = now;
        if idle > DRAIN_QUESTIONS || stage.has_failed() {
            // What did not come is lost, and the auditor will say so.
            break;
        }
        drained = match is_drained(&server.stats()?)? {
            true => drained + 1,
            false => 0,
        };
    }
    Ok(())
}

fn judge(
    run: &Run<'_>,
    verdict: &Verdict,
    requeues: u64,
    interrupted: u64,
    recoveries: Vec<Recovery>,
) -> Trial {
    let counts = verdict.counts;
    Trial {
        server: run.name.to_owned(),
        seed: run.seed,
        cycles: run.cycles,
        acknowledged: counts.acknowledged,
        deliveries: counts.deliveries,
        finished: counts.finished,
        lost: verdict.lost.len() as u64,
        lost_in_flight: verdict.unfinished,
        repeated: counts.repeated,
        may_be_repeated: requeues + interrupted + counts.forgotten_finishes,
        forgotten_finishes: counts.forgotten_finishes,
        wrong: verdict.complaints_in_all,
        complaints: verdict.complaints.clone(),
        recoveries,
    }
}
