//! `cargo xtask bench`: our nsqd and others, side by side.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::workspace::{cargo, run, target};
use crate::{go_nsq, peers, programs};

pub fn bench(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        return judge("nsq-bench", arguments);
    }
    let is = |contest: &str| arguments.iter().any(|argument| argument == contest);
    let mut all = vec![
        format!("--nsqd={}", nsqd()?.display()),
        format!("--go-nsqd={}", go_nsq::build()?.join("nsqd").display()),
    ];
    if is("pair") {
        let programs = programs::build_packages(&["nsqd", "nsq-tools"])?;
        all.push(format!(
            "--nsq-to-nsq={}",
            programs.join("nsq_to_nsq").display()
        ));
    }
    if is("pair") || is("durable") {
        all.push(format!("--nats-server={}", peers::nats()?.display()));
    }
    if is("durable") {
        all.push(format!("--redis-server={}", peers::redis()?.display()));
    }
    all.extend_from_slice(arguments);
    judge("nsq-bench", &all)
}

/// The nsqd that we ship.
pub fn nsqd() -> Result<PathBuf> {
    Ok(programs::build_packages(&["nsqd"])?.join("nsqd"))
}

/// Builds and runs a program that judges others, and is never shipped.
pub fn judge(package: &str, arguments: &[String]) -> Result<()> {
    run(cargo().args(["build", "--release", "--package", package]))?;
    run(Command::new(target().join("release").join(package)).args(arguments))
}
