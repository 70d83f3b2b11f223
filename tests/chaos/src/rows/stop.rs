//! The process stands still for seconds, or its disk is slow: late is not lost.

use std::time::{Duration, Instant};

use anyhow::Result;
use nsq_rig::{Server, Signal};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Outcome, PUBLISHERS, Setting};
use crate::finding::Finding;
use crate::load::{self, Load};
use crate::stage::Manners;

/// How long it stands still, milliseconds: less than a message's timeout and a client's patience.
const STILL_MS: std::ops::RangeInclusive<u64> = 1000..=5000;
const BETWEEN: Duration = Duration::from_millis(700);
/// Each sync takes so much longer, microseconds.
const DELAY_US: u64 = 50_000;
/// How long a slow disk is watched, for each round.
const WATCHED: Duration = Duration::from_secs(3);

pub fn run(setting: &Setting, stops: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let name = "ours, write";
    let load = load_of(setting, name);
    let mut random = StdRng::seed_from_u64(setting.seed);
    let ((), tally) = load::run(&load, |crowd| {
        let mut server = Server::start(&setting.ours("write"), data.path())?;
        crowd.open(&mut server)?;
        for stop in 1..=stops {
            crowd.say(&format!("stop {stop} of {stops}"));
            std::thread::sleep(BETWEEN);
            server.signal(Signal::STOP)?;
            std::thread::sleep(Duration::from_millis(random.random_range(STILL_MS)));
            server.signal(Signal::CONT)?;
        }
        std::thread::sleep(BETWEEN);
        crowd.drain(&mut server)
    })?;
    let mut finding = Finding::new(name);
    tally.judge(&mut finding);
    Ok(Outcome::of(finding, None))
}

pub fn slow_disk(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let name = "ours, fsync";
    let load = load_of(setting, name);
    let inject = format!("fdatasync:delay_exit={DELAY_US}");
    let words = format!(
        "strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fdatasync -e inject={inject}"
    );
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let ((syncs, rate), tally) = load::run(&load, |crowd| {
        let mut server = Server::start_under(&words, &setting.ours("fsync"), data.path())?;
        crowd.open(&mut server)?;
        let before = (
            server.metric("nsqd_journal_syncs_total")?,
            crowd.acknowledged(),
        );
        let began = Instant::now();
        std::thread::sleep(WATCHED * rounds as u32);
        let after = (
            server.metric("nsqd_journal_syncs_total")?,
            crowd.acknowledged(),
        );
        let seconds = began.elapsed().as_secs_f64();
        crowd.drain(&mut server)?;
        let syncs = (after.0 - before.0) / seconds;
        Ok((syncs, (after.1 - before.1) as f64 / seconds))
    })?;
    let mut finding = Finding::new(name);
    finding.figure("syncs a second", syncs.round(), "");
    finding.figure("acknowledged a second", rate.round(), "");
    tally.judge(&mut finding);
    // Each of 64 publishers has one command or more in each group but those it reads in between.
    let wanted = syncs * PUBLISHERS as f64 / 3.0;
    finding.must(rate >= wanted, || {
        format!("groups are small: {rate:.0}/s, {wanted:.0}/s wanted")
    });
    Ok(Outcome::of(finding, None))
}

fn load_of<'a>(setting: &Setting, name: &'a str) -> Load<'a> {
    Load {
        name,
        seed: setting.seed,
        publishers: PUBLISHERS,
        manners: Manners::default(),
        progress: setting.progress,
    }
}
