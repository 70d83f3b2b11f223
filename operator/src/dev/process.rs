//! One daemon as a child process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

/// A process that does not end by itself after SIGTERM within this time is killed.
const GRACE: Duration = Duration::from_secs(30);
/// How much of the end of a log is read to find its last line.
const TAIL_BYTES: u64 = 4096;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Name of the node, `demo-nsqd-0-0`.
    pub name: String,
    pub binary: PathBuf,
    pub arguments: Vec<String>,
    /// Where its output goes, appended.
    pub log: PathBuf,
}

/// Says that a process has ended.
#[derive(Debug)]
pub struct Exited {
    pub name: String,
    pub pid: u32,
    /// How, with the last line of its log: `exited with code 1: cannot listen ...`.
    pub how: String,
}

/// A running process. Dropping it kills the process.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    stop: Option<oneshot::Sender<()>>,
}

impl Process {
    /// Starts it; its end is told to `exits`.
    ///
    /// # Errors
    /// The log cannot be opened or the binary cannot be run.
    pub fn start(launch: &Launch, exits: mpsc::Sender<Exited>) -> io::Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&launch.log)?;
        let child = Command::new(&launch.binary)
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal goes to the whole group; we pass it on in our own order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        let (stop, stopped) = oneshot::channel();
        let (name, log) = (launch.name.clone(), launch.log.clone());
        tokio::spawn(async move {
            let how = watch(child, stopped, &log).await;
            // Nobody listening any more means that everything is being dropped.
            let _ = exits.send(Exited { name, pid, how }).await;
        });
        Ok(Self {
            pid,
            stop: Some(stop),
        })
    }

    /// Asks it to end: SIGTERM, and SIGKILL when it takes too long.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

async fn watch(mut child: Child, stopped: oneshot::Receiver<()>, log: &Path) -> String {
    let ended = tokio::select! {
        ended = child.wait() => ended,
        asked = stopped => match asked {
            Ok(()) => end(&mut child).await,
            Err(_) => child.kill().await.and(child.wait().await),
        },
    };
    match ended {
        Ok(status) => describe(status, log),
        Err(err) => format!("lost: {err}"),
    }
}

async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    if let Some(pid) = pid {
        // It may have ended just now, then there is nothing to signal.
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(ended) = tokio::time::timeout(GRACE, child.wait()).await {
        return ended;
    }
    child.kill().await?;
    child.wait().await
}

fn describe(status: ExitStatus, log: &Path) -> String {
    if status.success() {
        return "stopped".to_owned();
    }
    // What a process logged before it was shot says nothing about the shot.
    let last = match status.code() {
        Some(_) => last_line(log).unwrap_or_default(),
        None => String::new(),
    };
    if last.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {last}")
    }
}

fn last_line(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let last = tail.lines().rfind(|line| !line.trim().is_empty());
    Ok(last.unwrap_or_default().trim().to_owned())
}
