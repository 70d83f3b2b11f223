//! Syncs and writes that fail, once each: what the kernel kept is unknown then.
//!
//! strace makes one call fail, and only one: a server that tried again would succeed, and say OK
//! to what the disk does not have. So the power is cut when it has ended.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Program, Server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Outcome, Setting};
use crate::finding::{Finding, times};
use crate::load::{self, Crowd, Load};
use crate::stage::Manners;
use crate::volume::Volume;

const PUBLISHERS: usize = 16;
const VOLUME_BYTES: u64 = 2 << 30;
/// A server that looks at the journal's health each second has ended by then.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const FAILS_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
/// It dies a while after the failure, and finishes of that while are in memory only.
const MANNERS: Manners = Manners {
    paired: false,
    finish_may_be_forgotten: 10_000_000_000,
    refusals: true,
};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A sync, once.
    Sync,
    /// A write, once.
    Write,
    /// Every seventh write is interrupted: that is no failure.
    Interrupted,
    /// A write gets half of its bytes down, and the next one none: a limit on the file's size.
    Short,
}

pub fn sync(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let program = setting.ours("fsync");
    let ours = failed(setting, &program, "ours, fsync", &[Fault::Sync], rounds)?;
    Ok(Outcome::of(ours, None))
}

pub fn write(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let program = setting.ours("write");
    let faults = [Fault::Write, Fault::Short, Fault::Interrupted];
    let ours = failed(setting, &program, "ours, write", &faults, rounds)?;
    Ok(Outcome::of(ours, None))
}

#[derive(Default)]
struct Seen {
    /// Milliseconds from the failure until the process was gone.
    ended_after: Vec<f64>,
    broken: Vec<String>,
}

fn failed(
    setting: &Setting,
    program: &Program,
    name: &str,
    faults: &[Fault],
    rounds: usize,
) -> Result<Finding> {
    let mut volume = Volume::ext4(VOLUME_BYTES, &std::env::temp_dir())?;
    let load = Load {
        name,
        seed: setting.seed,
        publishers: PUBLISHERS,
        manners: MANNERS,
        progress: setting.progress,
    };
    let (seen, tally) = load::run(&load, |crowd| {
        drive(setting, program, &mut volume, crowd, faults, rounds)
    })?;
    let mut finding = Finding::new(name);
    finding.count("failures", rounds as u64);
    tally.judge(&mut finding);
    times(&mut finding, "ended after", "worst", &seen.ended_after);
    for what in seen.broken {
        finding.must(false, || what);
    }
    Ok(finding)
}

fn drive(
    setting: &Setting,
    program: &Program,
    volume: &mut Volume,
    crowd: &Crowd<'_>,
    faults: &[Fault],
    rounds: usize,
) -> Result<Seen> {
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut seen = Seen::default();
    let trace = tempfile::NamedTempFile::new()?;
    for round in 0..rounds {
        let fault = faults[round % faults.len()];
        crowd.say(&format!("{fault:?}, {} of {rounds}", round + 1));
        let words = fault.words(&mut random, trace.path());
        let mut server = Server::start_under(&words, program, &volume.path())?;
        match round {
            0 => crowd.open(&mut server)?,
            _ => drop(crowd.raise(&mut server)?),
        }
        let served = (&mut server, &*volume.path());
        wait_for(crowd, fault, served, trace.path(), &mut random)?;
        let failed_at = Instant::now();
        if fault == Fault::Interrupted {
            if server.ended()?.is_some() {
                bail!("an interrupted write ended nsqd\n{}", server.log());
            }
        } else {
            match server.wait_end(ENDS_WITHIN)? {
                None => seen.broken.push(format!("{fault:?}: nsqd goes on")),
                Some(status) if status.success() => {
                    seen.broken
                        .push(format!("{fault:?}: nsqd ended with {status}"));
                }
                Some(_) if fault == Fault::Short => {}
                Some(_) => seen
                    .ended_after
                    .push(failed_at.elapsed().as_secs_f64() * 1000.0),
            }
        }
        crowd.mark_end();
        server.kill()?;
        if !crowd.wait_parked() {
            return Ok(seen); // the client says what it is
        }
        if fault == Fault::Sync {
            let trace = std::fs::read_to_string(trace.path())?;
            seen.broken.extend(synced_again(&trace));
            volume.cut_power()?;
            volume.power_up()?;
        }
    }
    let mut server = Server::start(program, &volume.path())?;
    crowd.raise(&mut server)?;
    crowd.drain(&mut server)?;
    Ok(seen)
}

impl Fault {
    /// The command that makes calls fail.
    fn words(self, random: &mut StdRng, trace: &Path) -> Vec<String> {
        let inject = match self {
            // Counted in each thread; a start syncs every segment.
            Self::Sync => format!("fdatasync:error=EIO:when={}", random.random_range(60..400)),
            Self::Write => format!("pwrite64:error=EIO:when={}", random.random_range(50..2000)),
            Self::Interrupted => "pwrite64:error=EINTR:when=10+7".to_owned(),
            Self::Short => return Vec::new(),
        };
        let (call, _) = inject.split_once(':').unwrap_or_default();
        let trace = trace.display();
        let words = format!(
            "strace -D -f --seccomp-bpf -qq -y -o {trace} -e trace={call} -e inject={inject}"
        );
        words.split(' ').map(str::to_owned).collect()
    }
}

/// Returns when the fault has happened.
fn wait_for(
    crowd: &Crowd<'_>,
    fault: Fault,
    (server, data): (&mut Server, &Path),
    trace: &Path,
    random: &mut StdRng,
) -> Result<()> {
    if fault == Fault::Short {
        let before = crowd.acknowledged();
        wait(|| Ok(crowd.acknowledged() > before + 10_000))?;
        limit(server, data, random)?;
        // How soon a write comes there depends on the load.
        return wait(|| Ok(server.ended()?.is_some()));
    }
    wait(|| {
        let trace = std::fs::read_to_string(trace)?;
        let failures = trace.matches("(INJECTED)").count();
        let wanted = if fault == Fault::Interrupted { 200 } else { 1 };
        Ok(failures >= wanted || server.ended()?.is_some())
    })
}

fn wait(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + FAILS_WITHIN;
    while !done()? {
        if Instant::now() > deadline {
            bail!("the fault does not happen within {FAILS_WITHIN:?}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// From now on no file may be written to beyond a place in the midst of a segment: the write that comes
/// there is short.
fn limit(server: &Server, data: &Path, random: &mut StdRng) -> Result<()> {
    let mut segment = 0;
    for file in std::fs::read_dir(data.join("journal"))? {
        segment = segment.max(file?.metadata()?.len());
    }
    let bytes = random.random_range(segment / 8..segment);
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    prlimit(
        Some(pid.context("no such process")?),
        Resource::Fsize,
        limit,
    )?;
    Ok(())
}

/// What was tried again after it had failed.
fn synced_again(trace: &str) -> Vec<String> {
    let file = |line: &str| Some(line.split_once('<')?.1.split_once('>')?.0.to_owned());
    let mut failed: Option<String> = None;
    let mut again = Vec::new();
    for line in trace.lines().filter(|line| line.contains("fdatasync(")) {
        match &failed {
            Some(failed) if file(line).as_ref() == Some(failed) => {
                again.push(format!("synced again after a failure: {line}"));
            }
            None if line.contains("(INJECTED)") => failed = file(line),
            _ => {}
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sync_of_the_same_file_is_found() {
        let ok = "7 fdatasync(9</d/1.log>) = 0\n";
        let failed = "7 fdatasync(9</d/1.log>) = -1 EIO (Input/output error) (INJECTED)\n";
        let other = "7 fdatasync(9</d/2.log>) = 0\n";
        assert!(synced_again(&format!("{ok}{failed}{other}")).is_empty());
        assert_eq!(synced_again(&format!("{ok}{failed}{ok}")).len(), 1);
    }
}
