//! `kill -9` under load, again and again, on the same data path.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_rig::{Program, Server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Outcome, Setting};
use crate::finding::{Finding, times};
use crate::load::{self, Crowd, Load};
use crate::stage::Manners;

/// How long a server lives, milliseconds.
const LIFE_MS: std::ops::RangeInclusive<u64> = 300..=1300;
/// One of so many is killed much sooner: while it recovers, or before anybody connects.
const STILLBORN: u32 = 8;
const STILLBORN_MS: std::ops::RangeInclusive<u64> = 0..=30;
/// How long each write waits before it begins, microseconds: who says OK meanwhile says it too early.
const WRITE_DELAY_US: u64 = 10_000;
/// Kills of the control: it loses thousands with each.
const CONTROL_KILLS: usize = 3;

pub fn run(setting: &Setting, kills: usize) -> Result<Outcome> {
    let ours = killed(setting, &[], &setting.ours("write"), "ours, write", kills)?;
    let control = setting.go(&[]).map(|go| {
        let kills = kills.min(CONTROL_KILLS);
        killed(setting, &[], &go, "Go, defaults", kills)
    });
    Ok(Outcome::of(ours, control.transpose()?))
}

/// The kernel has nothing of a write that has not begun.
pub fn slow_writes(setting: &Setting, kills: usize) -> Result<Outcome> {
    let inject = format!("pwrite64:delay_enter={WRITE_DELAY_US}");
    let words =
        format!("strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=pwrite64 -e inject={inject}");
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let ours = killed(
        setting,
        &words,
        &setting.ours("write"),
        "ours, write",
        kills,
    )?;
    Ok(Outcome::of(ours, None))
}

/// `words`: the command that starts the program, if it is not started by itself.
fn killed(
    setting: &Setting,
    words: &[String],
    program: &Program,
    name: &str,
    kills: usize,
) -> Result<Finding> {
    let data = setting.data()?;
    let load = Load {
        name,
        seed: setting.seed,
        publishers: super::PUBLISHERS,
        manners: Manners::default(),
        progress: setting.progress,
    };
    let (recoveries, tally) = load::run(&load, |crowd| {
        let start = || Server::start_under(words, program, data.path());
        drive(setting, &start, crowd, kills)
    })?;
    let mut finding = Finding::new(name);
    finding.count("kills", kills as u64);
    tally.judge(&mut finding);
    times(&mut finding, "recovery", "worst", &recoveries);
    setting.keep_if_bad(data, &finding);
    Ok(finding)
}

fn drive(
    setting: &Setting,
    start: &dyn Fn() -> Result<Server>,
    crowd: &Crowd<'_>,
    kills: usize,
) -> Result<Vec<f64>> {
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut recoveries = Vec::new();
    let mut server = start()?;
    crowd.open(&mut server)?;
    for kill in 1..=kills {
        crowd.say(&format!("kill {kill} of {kills}"));
        pause(&mut random, LIFE_MS);
        if let Some(status) = server.ended()? {
            bail!("nsqd ended by itself: {status}\n{}", server.log());
        }
        crowd.mark_end();
        server.kill()?;
        if !crowd.wait_parked() {
            return Ok(recoveries); // the client says what it is
        }
        if random.random_ratio(1, STILLBORN) {
            let early = start()?;
            pause(&mut random, STILLBORN_MS);
            early.kill()?;
        }
        server = start()?;
        let took = crowd.raise(&mut server);
        recoveries.push(took.with_context(|| format!("kill {kill}"))?.as_secs_f64() * 1000.0);
    }
    crowd.drain(&mut server)?;
    Ok(recoveries)
}

fn pause(random: &mut StdRng, millis: std::ops::RangeInclusive<u64>) {
    std::thread::sleep(Duration::from_millis(random.random_range(millis)));
}
