//! The wall clock jumps, under load.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_rig::{Program, Server};

use super::{Outcome, PUBLISHERS, Setting};
use crate::finding::Finding;
use crate::load::{self, Load};
use crate::machine::fake_time;
use crate::stage::Manners;

/// How far from the true time it goes, in the library's words; then back.
const JUMPS: &[&str] = &["+1h", "-1h", "+3650d", "-3650d"];
const AFTER_A_JUMP: Duration = Duration::from_millis(800);

pub fn run(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let name = "ours, write";
    let program = Program {
        path: setting
            .dynamic_nsqd
            .clone()
            .context("needs --dynamic-nsqd")?,
        flags: vec!["--durability=write".to_owned()],
    };
    let time = data.path().with_extension("time");
    set(&time, "+0")?;
    let library = fake_time().context("needs libfaketime")?;
    let words = [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", time.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let load = Load {
        name,
        seed: setting.seed,
        publishers: PUBLISHERS,
        manners: Manners::default(),
        progress: setting.progress,
    };
    let (years, tally) = load::run(&load, |crowd| {
        let mut server = Server::start_under(&words, &program, data.path())?;
        crowd.open(&mut server)?;
        let mut years = BTreeSet::new();
        for jump in JUMPS.iter().cycle().take(rounds) {
            // It jumps, the server dies and comes back in that time, and it jumps back.
            for time_told in [*jump, "+0"] {
                crowd.say(jump);
                set(&time, time_told)?;
                std::thread::sleep(AFTER_A_JUMP);
                if let Some(status) = server.ended()? {
                    bail!("nsqd ended at {jump}: {status}\n{}", server.log());
                }
                crowd.mark_end();
                server.kill()?;
                if !crowd.wait_parked() {
                    return Ok(years); // the client says what it is
                }
                server = Server::start_under(&words, &program, data.path())?;
                crowd.raise(&mut server)?;
                years.extend(year(&server.log()));
            }
        }
        crowd.drain(&mut server)?;
        Ok(years)
    })?;
    // The file lies beside the data path, which is gone by itself.
    let _ = std::fs::remove_file(&time);
    let mut finding = Finding::new(name);
    finding.count("jumps", 2 * rounds as u64);
    finding.count("years in the log", years.len() as u64);
    finding.must(years.len() >= rounds.min(4) - 1, || {
        format!("the clock did not jump: the log knows {years:?}")
    });
    tally.judge(&mut finding);
    Ok(Outcome::of(finding, None))
}

/// Of the first line of a log.
fn year(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("[nsqd] ")?;
    Some(rest.get(..4)?.to_owned())
}

fn set(file: &Path, time: &str) -> Result<()> {
    // Renamed: the library never reads half of it.
    let aside = file.with_extension("new");
    std::fs::write(&aside, format!("{time}\n"))?;
    Ok(std::fs::rename(aside, file)?)
}
