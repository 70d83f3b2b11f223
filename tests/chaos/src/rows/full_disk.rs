//! A disk that is full, again and again: consumers stop until it is, and then go on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nsq_rig::{Program, Server};

use super::{Outcome, Setting};
use crate::finding::{Finding, times};
use crate::load::{self, Crowd, Load};
use crate::stage::{Manners, TOPICS};
use crate::volume::Volume;

const VOLUME_BYTES: u64 = 64 << 20;
const PUBLISHERS: usize = 16;
/// Refusals after which the disk counts as full.
const REFUSALS: u64 = 100;
/// How long it stays full.
const FULL: Duration = Duration::from_secs(2);
/// Lines of the log in a second of it, at most.
const LINES_A_SECOND: f64 = 2.0;
/// Messages acknowledged after which publishing counts as resumed.
const RESUMED: u64 = 1000;
/// Consumers have to empty some of the disk before.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);
const FILLS_WITHIN: Duration = Duration::from_secs(120);
/// Files on a data path: segments, spares, checkpoints, a few spill files for each topic.
const FILES: usize = 100;
const LOOK: Duration = Duration::from_millis(10);

pub fn run(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let ours = filled(setting, setting.ours("write"), "ours, write", rounds)?;
    let go = setting.go(&[]);
    let control = go.map(|go| filled(setting, go, "Go, defaults", 1));
    Ok(Outcome::of(ours, control.transpose()?))
}

fn filled(setting: &Setting, program: Program, name: &str, rounds: usize) -> Result<Finding> {
    let volume = Volume::tmpfs(VOLUME_BYTES)?;
    let load = Load {
        name,
        seed: setting.seed,
        publishers: PUBLISHERS,
        manners: Manners {
            refusals: true,
            ..Manners::default()
        },
        progress: setting.progress,
    };
    let (seen, tally) = load::run(&load, |crowd| {
        drive(&program, &volume.path(), crowd, rounds)
    })?;
    let mut finding = Finding::new(name);
    finding.count("times full", rounds as u64);
    finding.count("refused", tally.refused);
    finding.count("hung up on", tally.unanswered);
    tally.judge(&mut finding);
    times(&mut finding, "resumed after", "worst", &seen.resumed);
    finding.figure("log lines a second", seen.lines_a_second, "");
    finding.count("files at the end", seen.files as u64);
    finding.must(tally.unanswered == 0, || {
        format!(
            "{} publishes were hung up on without an error",
            tally.unanswered
        )
    });
    finding.must(seen.resumed.len() == rounds, || {
        "publishing did not resume by itself".to_owned()
    });
    finding.must(seen.lines_a_second <= LINES_A_SECOND, || {
        format!("{:.0} lines of log a second", seen.lines_a_second)
    });
    finding.must(seen.files <= FILES, || format!("{} files", seen.files));
    Ok(finding)
}

#[derive(Default)]
struct Seen {
    /// Milliseconds from the moment consumers went on.
    resumed: Vec<f64>,
    /// In the worst round.
    lines_a_second: f64,
    files: usize,
}

fn drive(program: &Program, data: &Path, crowd: &Crowd<'_>, rounds: usize) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut server = Server::start(program, data)?;
    crowd.open(&mut server)?;
    for round in 1..=rounds {
        pause(&mut server, "pause")?;
        crowd.say(&format!("filling, {round} of {rounds}"));
        let refused = crowd.refused();
        if !wait(FILLS_WITHIN, || crowd.refused() > refused + REFUSALS) {
            bail!("the disk does not get full\n{}", server.log());
        }
        let troubles = server.log_troubles();
        std::thread::sleep(FULL);
        let lines = (server.log_troubles() - troubles) as f64 / FULL.as_secs_f64();
        seen.lines_a_second = seen.lines_a_second.max(lines);
        if round % 2 == 0 {
            crowd.mark_end();
            server.kill()?;
            if !crowd.wait_parked() {
                return Ok(seen); // the client says what it is
            }
            server = Server::start(program, data)?;
            crowd.raise(&mut server)?;
        }
        seen.files = seen.files.max(files(data)?);
        let acknowledged = crowd.acknowledged();
        let began = Instant::now();
        pause(&mut server, "unpause")?;
        crowd.say(&format!("emptying, {round} of {rounds}"));
        if wait(RESUMES_WITHIN, || {
            crowd.acknowledged() > acknowledged + RESUMED
        }) {
            seen.resumed.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    crowd.drain(&mut server)?;
    seen.files = seen.files.max(files(data)?);
    Ok(seen)
}

/// Pauses or unpauses all channels.
fn pause(server: &mut Server, verb: &str) -> Result<()> {
    for (topic, channels) in TOPICS {
        for channel in *channels {
            let path = format!("/channel/{verb}?topic={topic}&channel={channel}");
            let deadline = Instant::now() + RESUMES_WITHIN;
            // Publishers may have used what room there was. Whoever consumes still makes some.
            while let Err(error) = server.ask("POST", &path) {
                if !error.to_string().contains("DISK_FULL") || Instant::now() >= deadline {
                    return Err(error);
                }
                std::thread::sleep(LOOK);
            }
        }
    }
    Ok(())
}

fn wait(patience: Duration, done: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    done()
}

/// Below a directory.
fn files(directory: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        count += match entry.file_type()?.is_dir() {
            true => files(&entry.path())?,
            false => 1,
        };
    }
    Ok(count)
}
