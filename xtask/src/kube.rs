//! `cargo xtask kube build|up|down|test|failover|crowd`: a real Kubernetes cluster on this machine, and the scenarios on it.
//!
//! With KUBECONFIG set, `test` uses that cluster instead; its nodes must be able to pull the images that
//! NSQ_IMAGE and NSQ_TRAFFIC_IMAGE name.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::image;
use crate::programs;
use crate::workspace::{root, run as run_command};

/// CoreDNS listens on port 53.
const ROOT: u64 = 0;

const USAGE: &str = "cargo xtask kube build|up|down|test [all | SCENARIO ...]|failover [--runs N] [--report FILE]|crowd [--report FILE]";
/// Clusters, topics, and the seconds that are measured.
const CROWD: [&str; 3] = ["1000", "10000", "120"];

pub fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["build"] => build(),
        ["up"] => build().and_then(|()| up()),
        ["down"] => rig("down.sh"),
        ["test", scenarios @ ..] => test(scenarios),
        ["crowd"] => crowd(None),
        ["crowd", "--report", file] => crowd(Some(file)),
        ["failover"] => failover("20", None),
        ["failover", "--runs", runs] => failover(runs, None),
        ["failover", "--runs", runs, "--report", file] => failover(runs, Some(file)),
        _ => bail!("{USAGE}"),
    }
}

/// Why the cluster cannot be brought up on this machine, if so.
pub fn missing() -> Option<String> {
    if std::env::var_os("KUBECONFIG").is_some() {
        return None;
    }
    if !cfg!(target_os = "linux") {
        return Some("a cluster of its own needs Linux; or set KUBECONFIG".to_owned());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        return Some("a cluster of its own needs root; or set KUBECONFIG".to_owned());
    }
    let found = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let lacking = ["go", "apt-get"]
        .into_iter()
        .find(|program| !found(program));
    lacking.map(|program| format!("a cluster of its own needs {program}; or set KUBECONFIG"))
}

/// Everything a cluster is made of, and our images.
fn build() -> Result<()> {
    if let Some(why) = missing() {
        bail!(why);
    }
    rig("build.sh")?;
    let images = cache()?.join("images");
    let bin = cache()?.join("bin");
    for (name, program) in [("pause", "pause"), ("coredns", "coredns")] {
        let out = images.join(format!("{name}.tar"));
        image::write_single(
            &out,
            &format!("test.nsq.io/{name}:1"),
            &bin.join(program),
            ROOT,
        )?;
    }
    let programs = programs::build()?;
    image::write(&images.join("nsq.tar"), image::NAME, &programs)?;
    let tests = programs::build_packages(&["nsq-kube-tests"])?;
    image::write_single(
        &images.join("traffic.tar"),
        "nsq-traffic:dev",
        &tests.join("traffic"),
        image::USER,
    )?;
    Ok(())
}

fn up() -> Result<()> {
    rig("up.sh")
}

fn test(scenarios: &[&str]) -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_some() {
        return run_scenarios(scenarios, |_| Ok(()));
    }
    let was_up = cache()?.join("run").is_dir();
    build()?;
    up()?;
    let outcome = run_scenarios(scenarios, in_own_cluster);
    let nobody_looks = std::env::var("CI").is_ok_and(|ci| ci == "true");
    if was_up || (outcome.is_err() && !nobody_looks) {
        println!("the cluster is left running; `cargo xtask kube down` ends it");
    } else {
        rig("down.sh")?;
    }
    outcome
}

/// The same faults `runs` times; the table of the times goes into a report, if one is named.
fn failover(runs: &str, report: Option<&str>) -> Result<()> {
    build()?;
    up()?;
    let mut command = scenarios(&["failover", runs])?;
    in_own_cluster(&mut command)?;
    let table = reported(&mut command).context("the cluster is left running")?;
    rig("down.sh")?;
    match report {
        Some(file) => put("failover", file, &table),
        None => Ok(()),
    }
}

/// A thousand clusters and ten thousand topics on a control plane without nodes: what the operator uses at rest.
fn crowd(report: Option<&str>) -> Result<()> {
    build()?;
    rig("down.sh")?;
    // There is memory for a control plane that collects its garbage seldom, and what it costs is not what is measured.
    run_command(rig_script("up.sh").env("NODES", "").env("GOGC", "400"))?;
    let mut define = Command::new("kubectl");
    define.args(["apply", "--server-side", "-f"]);
    define.arg(root().join("crds"));
    in_own_cluster(&mut define)?;
    run_command(&mut define)?;
    let tests = programs::build_packages(&["nsq-kube-tests"])?;
    let mut command = Command::new(tests.join("crowd"));
    command.arg(programs::build()?.join("nsq-operator"));
    command.args(CROWD);
    in_own_cluster(&mut command)?;
    let table = reported(&mut command);
    rig("down.sh")?;
    match report {
        Some(file) => put("crowd", file, &table?),
        None => table.map(drop),
    }
}

/// Runs a command; what of its output belongs into a report.
fn reported(command: &mut Command) -> Result<String> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut table = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        println!("{line}");
        table.extend(line.strip_prefix("report: ").map(str::to_owned));
    }
    if !child.wait()?.success() {
        bail!("the runs failed");
    }
    Ok(table.join("\n"))
}

/// Puts the table of a verb between its marks.
fn put(verb: &str, file: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let mark = |which: &str| format!("<!-- made by cargo xtask kube {verb}: {which} -->");
    let (begin, end) = (mark("begin"), mark("end"));
    let (before, rest) = text
        .split_once(&begin)
        .with_context(|| format!("{file} has no {begin}"))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("{file} has no {end}"))?;
    fs::write(file, format!("{before}{begin}\n\n{table}\n\n{end}{after}"))?;
    Ok(())
}

fn run_scenarios(names: &[&str], prepare: impl FnOnce(&mut Command) -> Result<()>) -> Result<()> {
    let mut command = scenarios(names)?;
    prepare(&mut command)?;
    run_command(&mut command)
}

fn scenarios(arguments: &[&str]) -> Result<Command> {
    let tests = programs::build_packages(&["nsq-kube-tests"])?;
    let mut command = Command::new(tests.join("scenarios"));
    command.args(arguments);
    Ok(command)
}

/// Has kubectl, helm and the faults reach the cluster that the rig has made.
fn in_own_cluster(command: &mut Command) -> Result<()> {
    let cache = cache()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = vec![cache.join("bin")];
    directories.extend(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(directories)?);
    command.env("KUBECONFIG", cache.join("run/pki/admin.conf"));
    command.env("NSQ_KUBE_RIG", root().join("tests/kube/rig"));
    Ok(())
}

fn rig(script: &str) -> Result<()> {
    run_command(&mut rig_script(script))
}

fn rig_script(script: &str) -> Command {
    Command::new(root().join("tests/kube/rig").join(script))
}

/// Outside the checkout, as the rig's own settings.sh has it.
fn cache() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("NSQ_KUBE_CACHE") {
        return Ok(directory.into());
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let base = base
        .or_else(home)
        .context("neither HOME nor XDG_CACHE_HOME is set")?;
    Ok(base.join("nsq-kube"))
}
