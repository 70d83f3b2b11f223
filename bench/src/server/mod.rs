//! The servers as processes, each on an empty directory.

pub mod nats;
mod pair;
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
use pair::Couple;

/// A server that has not begun to listen after this never will.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Members of a cluster.
const REPLICAS: usize = 3;
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    pub ours: PathBuf,
    pub nsq_to_nsq: Option<PathBuf>,
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
    Pair(Couple),
    Other(Child),
    /// A cluster, and which of it is measured.
    Others(Vec<Process>, usize),
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
            Kind::OursPair => {
                let carrier = programs.nsq_to_nsq.as_deref();
                let carrier = carrier.context("--nsq-to-nsq is missing")?;
                let couple = Couple::start(&programs.ours, carrier, contestant.flags, data.path())?;
                (couple.nodes[0].tcp_address()?, Process::Pair(couple))
            }
            Kind::Nats => {
                let program = programs.nats()?;
                let started = other(|port| nats::command(program, data.path(), port))?;
                nats::prepare(started.0, 1)?;
                started
            }
            Kind::NatsThree => nats_cluster(programs.nats()?, data.path())?,
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

    /// The process that is measured: the one that clients talk to.
    pub fn pid(&self) -> u32 {
        self.process.pids()[self.process.measured()]
    }

    /// All processes that work for it.
    pub fn pids(&self) -> Vec<u32> {
        self.process.pids()
    }

    /// Whether its messages can be consumed by the consumers of this program.
    pub fn is_nsqd(&self) -> bool {
        matches!(self.process, Process::Nsqd(_) | Process::Pair(_))
    }

    /// Messages that it says it holds, for those that are not drained.
    ///
    /// # Errors
    /// When it does not say.
    pub fn take_count(&self, topic: &str) -> Result<u64> {
        match self.kind {
            Kind::Nats | Kind::NatsThree => nats::take_count(self.address),
            Kind::Redis => redis::take_count(self.address, topic),
            Kind::Ours | Kind::OursPair | Kind::Go => bail!("an nsqd is drained"),
        }
    }

    /// Removes what is left of a topic.
    ///
    /// # Errors
    /// When the server does not listen, or refuses.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        match &mut self.process {
            Process::Nsqd(server) => server.delete_topic(topic),
            Process::Pair(couple) => {
                let mut nodes = couple.nodes.iter_mut();
                nodes.try_for_each(|node| node.delete_topic(topic))
            }
            // Counting has emptied it.
            Process::Other(_) | Process::Others(..) => Ok(()),
        }
    }
}

impl Programs {
    fn nats(&self) -> Result<&Path> {
        self.nats.as_deref().context("--nats-server is missing")
    }
}

impl Process {
    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Nsqd(server) => vec![server.pid()],
            Self::Pair(couple) => couple.pids(),
            Self::Other(child) => vec![child.id()],
            Self::Others(all, _) => all.iter().flat_map(Self::pids).collect(),
        }
    }

    /// Which of them is measured.
    fn measured(&self) -> usize {
        match self {
            Self::Others(_, measured) => *measured,
            _ => 0,
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

/// Ports that were free a moment ago; should somebody else take one now, the server says so and the run ends.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_, _>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}

fn other(command: impl FnOnce(u16) -> Result<Command>) -> Result<(SocketAddr, Process)> {
    let port = free_ports(1)?[0];
    let (address, mut process) = spawn(command(port)?, port)?;
    wait_listening(address, &mut process)?;
    Ok((address, process))
}

fn nats_cluster(program: &Path, data: &Path) -> Result<(SocketAddr, Process)> {
    let free = free_ports(2 * REPLICAS)?;
    let (ports, routes) = free.split_at(REPLICAS);
    let started = ports
        .iter()
        .enumerate()
        .map(|(at, &port)| spawn(nats::member(program, data, at, ports, routes)?, port));
    let (addresses, mut members): (Vec<_>, Vec<_>) =
        started.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    for (&address, member) in addresses.iter().zip(&mut members) {
        wait_listening(address, member)?;
    }
    let leader = nats::prepare_cluster(&addresses)?;
    Ok((addresses[leader], Process::Others(members, leader)))
}

fn spawn(mut command: Command, port: u16) -> Result<(SocketAddr, Process)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok((
        SocketAddr::from(([127, 0, 0, 1], port)),
        Process::Other(child),
    ))
}

fn wait_listening(address: SocketAddr, process: &mut Process) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Process::Other(child) = process
            && let Some(status) = child.try_wait()?
        {
            bail!("the server at {address} has ended with {status}");
        }
        if started.elapsed() > READY_TIMEOUT {
            bail!("nobody listens at {address} after {READY_TIMEOUT:?}");
        }
        std::thread::sleep(READY_PAUSE);
    }
    Ok(())
}
