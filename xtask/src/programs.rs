//! The programs we ship, built once for everything that runs them: the local cluster, the images,
//! the conformance suites, chaos and benchmarks.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{cargo, output, root, run, target};

/// Packages with programs in them.
const PACKAGES: &[&str] = &["nsqd", "nsqlookupd", "nsq-operator", "nsq-tools"];
/// The programs, as they are called in the image.
pub const PROGRAMS: &[&str] = &["nsqd", "nsqlookupd", "nsq-operator", "nsq_to_nsq"];

/// Builds the programs as static release binaries; their directory.
pub fn build() -> Result<PathBuf> {
    build_packages(PACKAGES)
}

/// As [`build`], for some packages.
pub fn build_packages(packages: &[&str]) -> Result<PathBuf> {
    let host = host()?;
    let mut command = cargo();
    command.args(["build", "--release", "--target", &host]);
    for package in packages {
        command.args(["--package", package]);
    }
    // With --target the flags do not reach build scripts and macros, which cannot be static.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(&mut command)?;
    Ok(target().join(host).join("release"))
}

fn host() -> Result<String> {
    let told = output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

pub fn print_build(_: &[String]) -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

/// Runs simulated worlds.
pub fn simulate(arguments: &[String]) -> Result<()> {
    run_judge("nsq-simulation", arguments)
}

/// Searches the model of replication pairs.
pub fn model(arguments: &[String]) -> Result<()> {
    run_judge("nsq-model", arguments)
}

fn run_judge(package: &str, arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", package, "--"]);
    run(command.args(arguments))
}

/// Runs the example cluster as processes of this machine.
pub fn dev(arguments: &[String]) -> Result<()> {
    let programs = build()?;
    let mut command = Command::new(programs.join("nsq-operator"));
    command.current_dir(root()).arg("dev");
    if !arguments.iter().any(|argument| argument == "-f") {
        command.args(["-f", "examples/cluster.yaml"]);
    }
    // In the place of this process: Ctrl-C reaches the cluster alone, which then stops cleanly.
    Err(command.args(arguments).exec()).context("cannot start nsq-operator")
}
