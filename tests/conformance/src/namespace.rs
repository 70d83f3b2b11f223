//! Namespaces of one's own: only loopback, only one's own processes, on demand an empty `/tmp`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What must work for [`command`] to.
pub(crate) const NEEDS: (&str, &[&str]) = ("ip", &["-V"]);

/// A suite that hangs ends after ten minutes.
const INSIDE: &str = "ip link set lo up && exec timeout --kill-after=5 600 \"$@\"";
const EMPTY_TMP: &str = "mount -t tmpfs tmpfs /tmp && ";

/// A command in its own namespaces, with `programs` first in its path. Everything it starts ends
/// with it.
pub(crate) fn command(programs: &Path, directory: &Path, program: &str) -> Result<Command> {
    inside(INSIDE, programs, directory, program)
}

/// [`command`], with an empty `/tmp` for it alone.
pub(crate) fn command_with_tmp(
    programs: &Path,
    directory: &Path,
    program: &str,
) -> Result<Command> {
    if let Some(hidden) = [programs, directory]
        .into_iter()
        .find(|path| path.starts_with("/tmp"))
    {
        bail!(
            "{} would be hidden by the empty /tmp of the suite: keep it elsewhere",
            hidden.display()
        );
    }
    inside(
        &format!("{EMPTY_TMP}{INSIDE}"),
        programs,
        directory,
        program,
    )
}

fn inside(script: &str, programs: &Path, directory: &Path, program: &str) -> Result<Command> {
    let mut paths = vec![programs.to_owned()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    paths.extend(std::env::split_paths(&path));
    let path: OsString = std::env::join_paths(paths).context("PATH")?;
    let mut command = Command::new("unshare");
    command
        .args(flags())
        .args(["sh", "-c", script, "-", program]);
    command
        .current_dir(directory)
        .env("PATH", path)
        .stdin(Stdio::null());
    Ok(command)
}

fn flags() -> Vec<&'static str> {
    let mut flags = vec![
        "--net",
        "--pid",
        "--mount",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    if !rustix::process::geteuid().is_root() {
        flags.push("--map-root-user");
    }
    flags
}

/// Why namespaces cannot be made here, if so.
pub(crate) fn missing() -> Option<String> {
    let mut command = Command::new("unshare");
    let script = format!("{EMPTY_TMP}{INSIDE}");
    command
        .args(flags())
        .args(["sh", "-c", &script, "-", "true"]);
    let works = command
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    (!works).then(|| "needs unshare(1) and the right to make network namespaces".to_owned())
}

/// Runs it to its end; what it printed, whatever it ended with.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}
