//! `nsq_to_nsq` as a process: what carries a journal, or messages, from one nsqd to another.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Ends with whoever started it.
pub struct Carrier(Child);

impl Carrier {
    /// Carries the journal of `origin` to `holder`.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn mirror(nsq_to_nsq: &Path, origin: SocketAddr, holder: SocketAddr) -> Result<Self> {
        let mut command = Command::new(nsq_to_nsq);
        command
            .arg("--mirror")
            .arg(format!("--origin-tcp-address={origin}"))
            .arg(format!("--holder-tcp-address={holder}"))
            .stdout(Stdio::null());
        Self::start(command)
    }

    /// Moves to `target` what `source` has; [`Carrier::finish`] gives what it says of that.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn relocate(nsq_to_nsq: &Path, source: SocketAddr, target: SocketAddr) -> Result<Self> {
        let mut command = Command::new(nsq_to_nsq);
        command
            .args(["--relocate", "--wait=0s", "-o=json"])
            .arg(format!("--nsqd-tcp-address={source}"))
            .arg(format!("--destination-nsqd-tcp-address={target}"))
            .stdout(Stdio::piped());
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self> {
        command
            .arg("--log-level=error")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let program = command.get_program().display().to_string();
        command.spawn().map(Self).context(program)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end: what it said, if it ended well or with something left.
    ///
    /// # Errors
    /// Of reading or waiting.
    pub fn finish(mut self) -> Result<Option<String>> {
        let mut told = String::new();
        if let Some(stdout) = self.0.stdout.as_mut() {
            stdout.read_to_string(&mut told)?;
        }
        let status = self.0.wait()?;
        Ok(matches!(status.code(), Some(0 | 3)).then_some(told))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
