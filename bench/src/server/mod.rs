//! The servers as processes, each on an empty directory.

pub mod nats;
pub mod redis;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Program, Server};
use tempfile::TempDir;

use crate::contest::{Contestant, Kind};
use crate::speaker::Speaker;

/// A server that has not begun to listen after this never will.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    pub ours: PathBuf,
    pub go: PathBuf,
    pub nats: Option<PathBuf>,
    pub redis: Option<PathBuf>,
}

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    kind: Kind,
    process: Process,
    _data: TempDir,
}

enum Process {
    Nsqd(Server),
    Other(Child),
}

impl Running {
    /// Starts a server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(contestant: &Contestant, programs: &Programs) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("nsq-bench-").tempdir()?;
        let kind = contestant.kind;
        let (address, process) = match kind {
            Kind::Ours => nsqd(contestant, &programs.ours, data.path())?,
            Kind::Go => nsqd(contestant, &programs.go, data.path())?,
            Kind::Nats => {
                let program = programs
                    .nats
                    .as_deref()
                    .context("--nats-server is missing")?;
                let started = other(|port| nats::command(program, data.path(), port))?;
                nats::prepare(started.0)?;
                started
            }
            Kind::Redis => {
                let program = programs
                    .redis
                    .as_deref()
                    .context("--redis-server is missing")?;
                other(|port| {
                    let mut command = redis::command(program, data.path(), port);
                    command.args(contestant.flags);
                    Ok(command)
                })?
            }
        };
        Ok(Self {
            address,
            kind,
            process,
            _data: data,
        })
    }

    /// A connection that publishes; `number` tells it from the others.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn speaker(&self, number: u64) -> Result<Speaker> {
        Speaker::connect(self.kind, self.address, number)
    }

    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Nsqd(server) => server.pid(),
            Process::Other(child) => child.id(),
        }
    }

    /// Whether its messages can be consumed by the consumers of this program.
    pub fn is_nsqd(&self) -> bool {
        matches!(self.process, Process::Nsqd(_))
    }

    /// Messages that it says it holds, for those that are not drained.
    ///
    /// # Errors
    /// When it does not say.
    pub fn take_count(&self, topic: &str) -> Result<u64> {
        match self.kind {
            Kind::Nats => nats::take_count(self.address),
            Kind::Redis => redis::take_count(self.address, topic),
            Kind::Ours | Kind::Go => bail!("an nsqd is drained"),
        }
    }

    /// Removes what is left of a topic.
    ///
    /// # Errors
    /// When the server does not listen, or refuses.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        match &mut self.process {
            Process::Nsqd(server) => server.delete_topic(topic),
            // Counting has emptied it.
            Process::Other(_) => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Process::Other(child) = self {
            // Errors mean that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn nsqd(contestant: &Contestant, program: &Path, data: &Path) -> Result<(SocketAddr, Process)> {
    let program = Program {
        path: program.to_owned(),
        flags: contestant
            .flags
            .iter()
            .map(|&flag| flag.to_owned())
            .collect(),
    };
    let mut server = Server::start(&program, data)?;
    let (address, _) = server.wait_ready()?;
    Ok((address, Process::Nsqd(server)))
}

fn other(command: impl FnOnce(u16) -> Result<Command>) -> Result<(SocketAddr, Process)> {
    // Free a moment ago; should somebody else take it now, the server says so and the run ends.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = command(port)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut process = Process::Other(child);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Process::Other(child) = &mut process
            && let Some(status) = child.try_wait()?
        {
            bail!("{command:?} has ended with {status}");
        }
        if started.elapsed() > READY_TIMEOUT {
            bail!("{command:?} does not listen after {READY_TIMEOUT:?}");
        }
        std::thread::sleep(READY_PAUSE);
    }
    Ok((address, process))
}
