//! The first promise of the README, kept: a cluster from a manifest on this machine, a client of
//! somebody else that finds nsqd through nsqlookupd, and `kill -9`.

mod check;
mod cluster;

pub use check::check;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{namespace, nsqjs};

/// Why the check cannot be run here, if so.
pub fn missing() -> Option<String> {
    nsqjs::missing()
}

/// Runs `program` (the binary `dev-check`) in namespaces of its own, where the default ports are free. `manifest` is the
/// example, `programs` has the binaries.
///
/// # Errors
/// When something that was acknowledged did not arrive, or nothing could be started.
pub fn run(program: &Path, programs: &Path, manifest: &Path) -> Result<()> {
    let client = nsqjs::package(&nsqjs::prepare()?);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command: Command = namespace::command(programs, here, &program.display().to_string())?;
    let status = command
        .args([manifest, &client])
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("the check of the local cluster ended with {status}");
    }
    Ok(())
}
