//! Power cuts under load, again and again: an ext4 whose kernel drops what was not synced.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_rig::{Program, Server, Signal};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Outcome, Setting};
use crate::finding::{Finding, times};
use crate::load::{self, Crowd, Load};
use crate::stage::Manners;
use crate::volume::Volume;

/// How long the power stays on, milliseconds.
const LIFE_MS: std::ops::RangeInclusive<u64> = 300..=1300;
/// Room for the journal at full speed; checkpoints let it go.
const VOLUME_BYTES: u64 = 4 << 30;
/// Finishes wait for a sync, behind those of 64 publishers on whatever disk there is.
const FINISH_MAY_BE_FORGOTTEN: i64 = 1_000_000_000;
/// Cuts of the control.
const CONTROL_CUTS: usize = 3;

pub fn run(setting: &Setting, cuts: usize) -> Result<Outcome> {
    let ours = cut(setting, &setting.ours("fsync"), "ours, fsync", cuts)?;
    let control = setting
        .go(&["--mem-queue-size=0", "--sync-every=1"])
        .map(|go| {
            let name = "Go, mem-queue-size=0 sync-every=1";
            cut(setting, &go, name, cuts.min(CONTROL_CUTS))
        });
    Ok(Outcome::of(ours, control.transpose()?))
}

fn cut(setting: &Setting, program: &Program, name: &str, cuts: usize) -> Result<Finding> {
    let mut volume = Volume::ext4(VOLUME_BYTES, &std::env::temp_dir())?;
    let load = Load {
        name,
        seed: setting.seed,
        publishers: super::PUBLISHERS,
        manners: Manners {
            finish_may_be_forgotten: FINISH_MAY_BE_FORGOTTEN,
            ..Manners::default()
        },
        progress: setting.progress,
    };
    let (recoveries, tally) = load::run(&load, |crowd| {
        drive(setting, program, &mut volume, crowd, cuts)
    })?;
    let mut finding = Finding::new(name);
    finding.count("cuts", cuts as u64);
    tally.judge(&mut finding);
    times(&mut finding, "recovery", "worst", &recoveries);
    Ok(finding)
}

fn drive(
    setting: &Setting,
    program: &Program,
    volume: &mut Volume,
    crowd: &Crowd<'_>,
    cuts: usize,
) -> Result<Vec<f64>> {
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut recoveries = Vec::new();
    let mut server = Server::start(program, &volume.path())?;
    crowd.open(&mut server)?;
    for cut in 1..=cuts {
        crowd.say(&format!("cut {cut} of {cuts}"));
        std::thread::sleep(Duration::from_millis(random.random_range(LIFE_MS)));
        if let Some(status) = server.ended()? {
            bail!("nsqd ended by itself: {status}\n{}", server.log());
        }
        crowd.mark_end();
        // All of the machine stands still at once: an OK cannot leave it after its disk is gone.
        server.signal(Signal::STOP)?;
        volume.cut_power()?;
        server.kill()?;
        if !crowd.wait_parked() {
            return Ok(recoveries); // the client says what it is
        }
        volume.power_up()?;
        server = Server::start(program, &volume.path())?;
        let took = crowd
            .raise(&mut server)
            .with_context(|| format!("cut {cut}"))?;
        recoveries.push(took.as_secs_f64() * 1000.0);
    }
    crowd.drain(&mut server)?;
    Ok(recoveries)
}
