//! An `nsq_to_nsq` beside a local nsqd: its mirror, or its relocation.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::dev::leftovers::pid_file;
use crate::dev::process::{Exited, Launch, Process};

/// Wait before one that ended is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// Not there, running, or waiting to be started again.
pub struct Companion {
    /// What it is for: the end of its name.
    purpose: &'static str,
    process: Option<Process>,
    arguments: Vec<String>,
    not_before: Option<Instant>,
}

impl Companion {
    /// Not there yet.
    pub fn new(purpose: &'static str) -> Self {
        Self {
            purpose,
            process: None,
            arguments: Vec::new(),
            not_before: None,
        }
    }

    /// Name of the process beside a node's.
    pub fn name(&self, pod: &str) -> String {
        format!("{pod}-{}", self.purpose)
    }

    /// Has it run with these arguments; `None`: not at all.
    pub fn keep(
        &mut self,
        pod: &str,
        binaries: &Path,
        cluster_data: &Path,
        wanted: Option<Vec<String>>,
        exits: &mpsc::Sender<Exited>,
    ) {
        if let Some(process) = &mut self.process {
            if wanted.as_ref() != Some(&self.arguments) {
                process.stop();
            }
            return;
        }
        let is_due = self.not_before.is_none_or(|time| time <= Instant::now());
        let Some(arguments) = wanted.filter(|_| is_due) else {
            return;
        };
        let data = cluster_data.join(self.name(pod));
        let launch = Launch {
            name: self.name(pod),
            binary: binaries.join("nsq_to_nsq"),
            arguments: arguments.clone(),
            log: data.with_extension("log"),
        };
        self.arguments = arguments;
        self.not_before = Some(Instant::now() + AGAIN);
        // Should it not start, the state of pairs and nodes tells, and it is tried again.
        self.process = Process::start(&launch, exits.clone()).ok();
        if let Some(process) = &self.process {
            let _ = std::fs::write(pid_file(&data), process.pid.to_string());
        }
    }

    pub fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop();
        }
    }

    /// A process has ended; whether it was this one.
    pub fn on_exit(&mut self, exited: &Exited) -> bool {
        let was = self.process.as_ref().map(|process| process.pid) == Some(exited.pid);
        if was {
            self.process = None;
        }
        was
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }
}
