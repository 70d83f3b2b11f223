//! `cargo xtask conform`: other people's clients against our servers, or against the Go originals.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nsq_conformance::{SUITES, Servers, Suite, dev};

use crate::workspace::{cargo, root, run as run_command, target};
use crate::{go_nsq, programs};

/// `[--go] [SUITE ...]`
pub fn run(arguments: &[String]) -> Result<()> {
    let (flags, names): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| word.starts_with('-'));
    let servers = match flags.as_slice() {
        [] => Servers::Ours,
        [flag] if *flag == "--go" => Servers::Go,
        _ => bail!("usage: cargo xtask conform [--go] [SUITE ...]"),
    };
    let chosen: Vec<&Suite> = match names.is_empty() {
        true => SUITES.iter().collect(),
        false => names
            .iter()
            .map(|name| suite(name))
            .collect::<Result<_>>()?,
    };
    let programs = programs_of(servers)?;
    let mut bad = Vec::new();
    for suite in chosen {
        let ran = match (suite.missing)() {
            Some(why) => Err(anyhow::anyhow!("NOT RUN, so NOT tested: {why}")),
            None => nsq_conformance::run(suite, &programs, servers),
        };
        if let Err(error) = ran {
            bad.push(format!("{}: {error:#}", suite.name));
        }
    }
    if !bad.is_empty() {
        bail!("\n  {}", bad.join("\n  "));
    }
    Ok(())
}

fn suite(name: &str) -> Result<&'static Suite> {
    let found = SUITES.iter().find(|suite| suite.name == name);
    found.with_context(|| {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        format!("there is no suite {name:?}, only {}", names.join(", "))
    })
}

fn programs_of(servers: Servers) -> Result<PathBuf> {
    match servers {
        Servers::Ours => programs::build_packages(&["nsqd", "nsqlookupd"]),
        Servers::Go => go_nsq::build(),
    }
}

/// One suite against our servers, as a step of the tests.
pub fn step(name: &str) -> Result<()> {
    let programs = programs_of(Servers::Ours)?;
    nsq_conformance::run(suite(name)?, &programs, Servers::Ours)
}

/// Why a suite cannot be run here, if so.
pub fn missing(name: &str) -> Option<String> {
    match suite(name) {
        Ok(suite) => (suite.missing)(),
        Err(error) => Some(error.to_string()),
    }
}

/// The local cluster, somebody else's client, and `kill -9`.
pub fn dev_step() -> Result<()> {
    let programs = programs::build()?;
    run_command(cargo().args(["build", "--quiet", "--package", "nsq-conformance"]))?;
    let check = target().join("debug/dev-check");
    dev::run(&check, &programs, &root().join("examples/cluster.yaml"))
}
