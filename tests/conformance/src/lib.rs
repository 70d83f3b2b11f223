//! Other people's clients against our servers: their own test suites, unmodified, from their
//! package registries; and one of them in a local cluster whose nsqd is killed.
//!
//! Each suite runs in network, process and mount namespaces of its own, where the default ports
//! are free and `/tmp` is empty. What it needs is fetched once, into the user's cache.

mod cache;
pub mod dev;
mod gnsq;
mod go_nsq;
mod namespace;
mod nsqjs;
mod outcome;
mod suite;
mod tools;

pub use suite::{SUITES, Suite};

use std::path::Path;

use anyhow::{Result, bail};
use outcome::Expected;

/// Whose servers are tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Servers {
    /// Ours: the cases of `expected.txt` fail.
    Ours,
    /// The Go originals, as a control: everything passes.
    Go,
}

/// Runs a suite against the `nsqd` and `nsqlookupd` in `programs` and prints its counts.
///
/// # Errors
/// When it could not be run, or what passed is not what is expected to pass.
pub fn run(suite: &Suite, programs: &Path, servers: Servers) -> Result<()> {
    let expected = match servers {
        Servers::Ours => Expected::of(suite.name, include_str!("../expected.txt")),
        Servers::Go => Expected::none(),
    };
    println!("{} {}: fetching what it needs", suite.name, suite.version);
    let directory = (suite.prepare)()?;
    println!(
        "{} {}: running in {}",
        suite.name,
        suite.version,
        directory.display()
    );
    let (cases, log) = (suite.run)(&directory, programs)?;
    let verdict = outcome::judge(suite, &cases, &expected);
    println!("{} {}: {}", suite.name, suite.version, verdict.counts);
    for complaint in &verdict.complaints {
        println!("  {complaint}");
    }
    if !verdict.complaints.is_empty() {
        println!("{log}");
        bail!("{}: {}", suite.name, verdict.complaints.join("; "));
    }
    Ok(())
}
