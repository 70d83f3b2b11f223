//! `dev-check MANIFEST NSQJS`: see [`nsq_conformance::dev`]. Wants the default ports for itself.

use std::path::PathBuf;

use anyhow::{Context, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let manifest = arguments.next().context("no manifest")?;
    let client = arguments.next().context("no path of nsqjs")?;
    nsq_conformance::dev::check(&manifest, &client).await
}
