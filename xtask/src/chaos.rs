//! `cargo xtask chaos ROW`: real servers under real faults.

use anyhow::Result;

use crate::bench::{judge, nsqd};
use crate::go_nsq;

/// Asks for the Go nsqd as control.
const CONTROL: &str = "--go";

pub fn chaos(arguments: &[String]) -> Result<()> {
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        println!(
            "cargo xtask chaos ROW [{CONTROL}] [ARGUMENTS]: {CONTROL} builds the control, and --nsqd is given\n"
        );
        return judge("nsq-chaos", &["--help".to_owned()]);
    }
    let mut all = vec![format!("--nsqd={}", nsqd()?.display())];
    for argument in arguments {
        match argument == CONTROL {
            true => all.push(format!(
                "--go-nsqd={}",
                go_nsq::build()?.join("nsqd").display()
            )),
            false => all.push(argument.clone()),
        }
    }
    judge("nsq-chaos", &all)
}

/// The slice that `cargo xtask test` runs.
pub fn slice() -> Result<()> {
    chaos(&["all", "--cycles=20"].map(str::to_owned))
}

/// The same rig must see the Go nsqd lose messages: else it could not see ours lose any.
pub fn control() -> Result<()> {
    chaos(&["kill", "--cycles=3", CONTROL].map(str::to_owned))
}
