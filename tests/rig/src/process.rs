//! An nsqd as a process of this machine, on ports of its own choice.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Lines of a server's log kept for the message about its failure.
const LOG_LINES: usize = 40;
/// What listens, as the logs of both servers call it.
const TCP: &str = "TCP";
const HTTP: &str = "HTTP";
/// How often a server is looked at that is about to end.
const LOOK: Duration = Duration::from_millis(5);
/// A server that has not begun to listen after this never will.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A server that can be started.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    /// Beyond the data path and the addresses.
    pub flags: Vec<String>,
}

/// A line of a log: from when on something listens where.
struct Listening {
    at: Instant,
    what: &'static str,
    address: SocketAddr,
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    started: Instant,
    listening: Receiver<Listening>,
    http: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    log: Arc<Mutex<Log>>,
}

/// What the server has said.
#[derive(Default)]
struct Log {
    /// The last lines.
    tail: VecDeque<String>,
    /// Warnings and errors so far.
    troubles: u64,
}

impl Server {
    /// Starts a server on `data_path`, which must exist. Follow with [`Server::wait_ready`].
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(program: &Program, data_path: &Path) -> Result<Self> {
        Self::start_under(&[], program, data_path)
    }

    /// As [`Server::start`], by a command that becomes the program (`prlimit --nofile=64`,
    /// `env X=Y`): its words, to which the program's path and flags are added.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn start_under(words: &[String], program: &Program, data_path: &Path) -> Result<Self> {
        let mut command = match words.split_first() {
            None => Command::new(&program.path),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program.path);
                command
            }
        };
        command.arg(format!("--data-path={}", data_path.display()));
        Self::spawn(command, program)
    }

    /// As [`Server::start`], a server that keeps nothing: nsqlookupd.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_stateless(program: &Program) -> Result<Self> {
        Self::spawn(Command::new(&program.path), program)
    }

    fn spawn(mut command: Command, program: &Program) -> Result<Self> {
        let started = Instant::now();
        let mut child = command
            .arg("--tcp-address=127.0.0.1:0")
            .arg("--http-address=127.0.0.1:0")
            .arg("--broadcast-address=127.0.0.1")
            .args(&program.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let log: Arc<Mutex<Log>> = Arc::default();
        let (found, listening) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || read_log(stderr, &log, &found));
        }
        Ok(Self {
            child,
            started,
            listening,
            http: None,
            tcp: None,
            log,
        })
    }

    /// Waits until the server listens for clients; its address, and how long it took from the
    /// start.
    ///
    /// # Errors
    /// When it ends or does not listen in time; with the end of its log.
    pub fn wait_ready(&mut self) -> Result<(SocketAddr, Duration)> {
        loop {
            let listening = self.wait_listening()?;
            if listening.what == TCP {
                self.tcp = Some(listening.address);
                return Ok((listening.address, listening.at - self.started));
            }
            self.http = Some(listening.address);
        }
    }

    /// Deletes a topic with its channels and messages, over HTTP.
    ///
    /// # Errors
    /// When the server does not listen, or answers anything but 200.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        self.ask("POST", &format!("/topic/delete?topic={topic}"))?;
        Ok(())
    }

    /// The statistics of all topics and channels, as JSON.
    ///
    /// # Errors
    /// When the server does not listen, or answers anything but 200.
    pub fn stats(&mut self) -> Result<Vec<u8>> {
        self.ask(
            "GET",
            "/stats?format=json&include_mem=false&include_clients=false",
        )
    }

    /// A number of `/metrics` that has no labels.
    ///
    /// # Errors
    /// When the server does not listen, or has no such number.
    pub fn metric(&mut self, name: &str) -> Result<f64> {
        let page = String::from_utf8(self.ask("GET", "/metrics")?)?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("/metrics has no {name}"))?;
        Ok(value.trim().parse()?)
    }

    /// Asks with an empty body; the answer's body.
    ///
    /// # Errors
    /// When the server does not listen, or answers anything but 200.
    pub fn ask(&mut self, method: &str, path: &str) -> Result<Vec<u8>> {
        http::ask(self.http_address()?, method, path)
    }

    /// Where it listens for clients.
    ///
    /// # Errors
    /// When [`Server::wait_ready`] has not been waited for.
    pub fn tcp_address(&self) -> Result<SocketAddr> {
        self.tcp.context("it was not waited for")
    }

    /// Where it listens for HTTP.
    ///
    /// # Errors
    /// When it does not.
    pub fn http_address(&mut self) -> Result<SocketAddr> {
        loop {
            if let Some(address) = self.http {
                return Ok(address);
            }
            let listening = self.wait_listening()?;
            if listening.what == HTTP {
                self.http = Some(listening.address);
            }
        }
    }

    fn wait_listening(&mut self) -> Result<Listening> {
        match self.listening.recv_timeout(READY_TIMEOUT) {
            Ok(listening) => Ok(listening),
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "nsqd does not listen after {READY_TIMEOUT:?}\n{}",
                    self.log()
                )
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("nsqd has ended before it listened\n{}", self.log())
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has ended by itself.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself; `None` if it does not within `patience`.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_end(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.tail.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Warnings and errors it has logged so far.
    pub fn log_troubles(&self) -> u64 {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.troubles
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The system's.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no such process")?, signal)?;
        Ok(())
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        Ok(kib.with_context(|| path)?.trim().parse::<u64>()? * 1024)
    }

    /// Open sockets.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn open_sockets(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.child.id());
        let files = std::fs::read_dir(&path).with_context(|| path)?.flatten();
        let target = |file: std::fs::DirEntry| std::fs::read_link(file.path()).ok();
        let sockets = files
            .filter_map(target)
            .filter(|to| to.to_string_lossy().starts_with("socket:"));
        Ok(sockets.count())
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it ends in any other way than well; with the end of its log.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("nsqd ended with {status}\n{}", self.log());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a log to its end, so that the server never waits for us.
fn read_log(stderr: ChildStderr, log: &Mutex<Log>, found: &Sender<Listening>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        if let Some((what, address)) = listening_on(&line) {
            let at = Instant::now();
            // Nobody waits any more when the server was killed early.
            let _ = found.send(Listening { at, what, address });
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.troubles += u64::from(is_trouble(&line));
        if log.tail.len() == LOG_LINES {
            log.tail.pop_front();
        }
        log.tail.push_back(line);
    }
}

/// As the logs of both servers mark them.
fn is_trouble(line: &str) -> bool {
    ["WARNING", "WARN", "ERROR", "FATAL"]
        .iter()
        .any(|level| line.contains(&format!(" {level}:")))
}

fn listening_on(line: &str) -> Option<(&'static str, SocketAddr)> {
    let (before, address) = line.split_once(": listening on ")?;
    let what = [TCP, HTTP]
        .into_iter()
        .find(|what| before.ends_with(&format!(" {what}")))?;
    Some((what, address.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = "[nsqd] 2026/11/21 05:25:52.108588 INFO: TCP: listening on 127.0.0.1:4150";
        let address = "127.0.0.1:4150".parse().unwrap();
        assert_eq!(listening_on(line), Some((TCP, address)));
        let http = line.replace("TCP", "HTTP");
        assert_eq!(listening_on(&http), Some((HTTP, address)));
        assert_eq!(listening_on(&line.replace("TCP", "HTTPS")), None);
    }

    #[test]
    fn a_server_that_ends_early_is_reported_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let program = Program {
            path: "/bin/sh".into(),
            flags: Vec::new(),
        };
        // The shell does not know such flags, and says so.
        let mut server = Server::start(&program, directory.path()).unwrap();
        let error = server.wait_ready().unwrap_err().to_string();
        assert!(error.contains("ended before"), "{error}");
        assert!(error.lines().count() > 1, "{error}");
    }
}
