//! The fault matrix: each row is a fault, and a run under it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nsq_rig::Program;

use crate::kill;
use crate::trial::Trial;

/// What the command line says.
pub struct Setting {
    pub nsqd: PathBuf,
    /// The Go nsqd as control, if asked for.
    pub go_nsqd: Option<PathBuf>,
    pub cycles: usize,
    pub control_cycles: usize,
    pub seed: u64,
    pub durability: String,
    /// Data of failed runs is kept.
    pub keep: bool,
    pub progress: fn(&str),
}

pub struct Row {
    pub name: &'static str,
    pub about: &'static str,
    /// Ours, and the control if there is one.
    pub run: fn(&Setting) -> Result<Outcome>,
}

pub struct Outcome {
    pub ours: Trial,
    pub control: Option<Trial>,
}

pub const ROWS: &[Row] = &[Row {
    name: "kill",
    about: "kill -9 at random moments under 64 publishers, restart on the same data",
    run: |setting| {
        let ours = Program {
            path: setting.nsqd.clone(),
            flags: vec![format!("--durability={}", setting.durability)],
        };
        let name = format!("ours, {}", setting.durability);
        let ours = killed(setting, &name, &ours, setting.cycles)?;
        let control = match &setting.go_nsqd {
            None => None,
            Some(path) => {
                let path = path.clone();
                let flags = Vec::new();
                let go = Program { path, flags };
                Some(killed(
                    setting,
                    "Go, defaults",
                    &go,
                    setting.control_cycles,
                )?)
            }
        };
        Ok(Outcome { ours, control })
    },
}];

fn killed(setting: &Setting, name: &str, program: &Program, cycles: usize) -> Result<Trial> {
    let data = tempfile::Builder::new().prefix("nsq-chaos-").tempdir()?;
    let trial = kill::run(&kill::Run {
        name,
        program,
        data_path: data.path(),
        cycles,
        seed: setting.seed,
        progress: &setting.progress,
    });
    let failed = !trial.as_ref().is_ok_and(Trial::is_good);
    if failed && setting.keep {
        let path = data.keep();
        eprintln!("the data of {name} is kept in {}", path.display());
    }
    trial.with_context(|| name.to_owned())
}
