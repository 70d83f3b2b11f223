//! Commands of the machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What cannot be started of `tools` (each a command that ends at once), as a sentence.
pub(crate) fn missing(tools: &[(&str, &[&str])]) -> Option<String> {
    let works = |(tool, arguments): &&(&str, &[&str])| {
        let mut command = Command::new(tool);
        command.args(*arguments).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    let missing: Vec<String> = tools
        .iter()
        .filter(|tool| !works(tool))
        .map(|(tool, arguments)| format!("`{tool} {}`", arguments.join(" ")))
        .collect();
    match missing.is_empty() {
        true => None,
        false => Some(format!("does not work here: {}", missing.join(", "))),
    }
}

/// Runs a command quietly; what it printed is told when it fails.
pub(crate) fn quietly<A: AsRef<OsStr>>(
    directory: &Path,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String> {
    let mut command = Command::new(program);
    command.current_dir(directory).args(arguments);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
