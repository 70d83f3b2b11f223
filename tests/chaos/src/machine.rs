//! What a row needs of the machine, and a namespace of its own for mounts.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Set in the process that has its own mount namespace.
const INSIDE: &str = "NSQ_CHAOS_NAMESPACE";

/// What not every machine has.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// Mounts, in a namespace of our own.
    Root,
    Program(&'static str),
    /// libfaketime, and an nsqd that loads libraries.
    FakeTime,
}

impl Need {
    /// Why there is none, if so.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Root if !is_root() => Some("needs root, to mount file systems".to_owned()),
            Self::Root if std::env::var_os(INSIDE).is_none() => {
                Some("needs unshare (util-linux)".to_owned())
            }
            Self::Program(name) if find(name).is_none() => Some(format!("needs {name}")),
            Self::FakeTime if fake_time().is_none() => {
                Some("needs libfaketime (Debian: faketime)".to_owned())
            }
            _ => None,
        }
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The library that lies about the time.
pub fn fake_time() -> Option<PathBuf> {
    ["/usr/lib", "/usr/lib64"].iter().find_map(|root| {
        let direct = Path::new(root).join("faketime");
        let below = std::fs::read_dir(root).ok()?;
        let below = below.flatten().map(|entry| entry.path().join("faketime"));
        std::iter::once(direct)
            .chain(below)
            .map(|directory| directory.join("libfaketimeMT.so.1"))
            .find(|library| library.is_file())
    })
}

/// Goes on in a mount namespace of its own, as root: what is mounted goes with this process,
/// however it ends.
pub fn enter_namespace() {
    if !is_root() || std::env::var_os(INSIDE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    // Returns only if there is no such program: rows that mount will say what they need.
    let _ = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
}

/// Runs a command that says nothing unless it fails.
///
/// # Errors
/// When it cannot be started or fails, with what it said.
pub fn run(program: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", words.join(" "), told.trim());
    }
    Ok(())
}

/// Processor, cores, memory and kernel, for reports.
pub fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split(':').nth(1))
            .unwrap_or("?")
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: f64 = after(&memory, "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    format!(
        "{cores} cores ({}), {:.0} GiB, Linux {}",
        after(&cpu, "model name"),
        kib / 1_048_576.0,
        read("/proc/sys/kernel/osrelease").trim()
    )
}
