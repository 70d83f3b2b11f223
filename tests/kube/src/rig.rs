//! Faults of machines, where the machines are this project's own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Directory of the scripts; set if the cluster is made by them.
const RIG: &str = "NSQ_KUBE_RIG";

/// Why machines cannot be switched off, if so.
pub fn missing() -> Option<String> {
    match scripts() {
        Some(_) => None,
        None => Some("the machines of this cluster are not ours to switch off".to_owned()),
    }
}

/// The machine that no fault reaches: the operator, the name service and the traffic are there.
pub fn quiet_machine() -> Option<&'static str> {
    scripts().map(|_| "n3")
}

fn scripts() -> Option<PathBuf> {
    std::env::var_os(RIG).map(PathBuf::from)
}

/// Cuts its power.
pub fn off(machine: &str) -> Result<()> {
    script("node-off.sh", &[machine])
}

/// Starts it again.
pub fn on(machine: &str) -> Result<()> {
    script("node-up.sh", &[machine])
}

/// Changes what of its network works; see the script.
pub fn net(machine: &str, words: &[&str]) -> Result<()> {
    script("node-net.sh", &[&[machine], words].concat())
}

/// Whether the API server answers anybody.
pub fn api(answers: bool) -> Result<()> {
    script("api.sh", &[if answers { "go" } else { "stop" }])
}

/// Makes the volume of a pod that does not run a small disk.
pub fn disk(machine: &str, volume: &str, size: &str) -> Result<()> {
    script("disk.sh", &[machine, volume, size])
}

/// An image under another name as well.
pub fn retag(image: &str, name: &str) -> Result<()> {
    script("retag.sh", &[image, name])
}

/// A program that was built beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is not built", path.display());
    Ok(path)
}

/// What runs a command where only the machines' own addresses are reached.
pub fn outside() -> Result<PathBuf> {
    Ok(scripts().context("no scripts")?.join("outside.sh"))
}

fn script(name: &str, arguments: &[&str]) -> Result<()> {
    let path = scripts().context("no scripts")?.join(name);
    let status = Command::new(&path).args(arguments).status();
    let status = status.with_context(|| path.display().to_string())?;
    ensure!(status.success(), "{name} {arguments:?} failed");
    Ok(())
}
