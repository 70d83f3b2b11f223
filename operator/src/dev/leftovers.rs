//! Processes of an earlier run that was killed and could not end them.
//!
//! Each process's id is kept in a file beside its data, and believed only if the process still runs our binary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A leftover that does not end by itself after SIGTERM within this time is left to its owner.
const GRACE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where the id of a node's process is kept.
#[must_use]
pub fn pid_file(data: &Path) -> PathBuf {
    data.with_extension("pid")
}

/// Ends what an earlier run has left, and tells of each.
///
/// # Errors
/// One that does not end: its node could not be started.
pub async fn end_all(data: &Path, binaries: &Path) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    for file in pid_files(data) {
        let process = fs::read_to_string(&file)
            .ok()
            .and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
        if let Some(process) = process
            && is_ours(process, binaries)
        {
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let number = process.as_raw_nonzero();
            if !end(process).await {
                bail!("process {number} of an earlier run still has {name}; end it and try again");
            }
            told.push(format!(
                "ended process {number} of an earlier run, which had {name}"
            ));
        }
        // It may be gone already; another run will not miss it.
        let _ = fs::remove_file(file);
    }
    Ok(told)
}

fn pid_files(data: &Path) -> Vec<PathBuf> {
    let entries = |directory: &Path| -> Vec<PathBuf> {
        let read: io::Result<Vec<_>> = fs::read_dir(directory).and_then(Iterator::collect);
        read.unwrap_or_default()
            .iter()
            .map(fs::DirEntry::path)
            .collect()
    };
    let clusters = entries(data).into_iter().filter(|path| path.is_dir());
    let files = clusters.flat_map(|cluster| entries(&cluster));
    files
        .filter(|path| path.extension().is_some_and(|it| it == "pid"))
        .collect()
}

fn is_ours(process: Pid, binaries: &Path) -> bool {
    let link = format!("/proc/{}/exe", process.as_raw_nonzero());
    let Ok(running) = fs::read_link(link) else {
        return false; // it is gone, or not ours to look at
    };
    // A binary that has been rebuilt since is shown with a mark behind its name.
    let running = running
        .to_string_lossy()
        .trim_end_matches(" (deleted)")
        .to_owned();
    let binaries = binaries
        .canonicalize()
        .unwrap_or_else(|_| binaries.to_owned());
    ["nsqd", "nsqlookupd", "nsq_to_nsq"]
        .iter()
        .any(|name| binaries.join(name) == Path::new(&running))
}

async fn end(process: Pid) -> bool {
    let begun = Instant::now();
    // An error means that it has just ended.
    let _ = kill_process(process, Signal::TERM);
    while test_kill_process(process).is_ok() {
        if begun.elapsed() > GRACE {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
