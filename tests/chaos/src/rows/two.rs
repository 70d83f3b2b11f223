//! Two nsqd as processes, with clients around each of them, and the programs that carry between them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Carrier, Program, Server, Signal};
use serde::Deserialize;
use tempfile::TempDir;

use super::{Outcome, Setting};
use crate::depth::is_drained;
use crate::finding::Finding;
use crate::load::clients;
use crate::stage::{Phase, Stage};

/// How often something is asked that is about to happen.
pub const LOOK: Duration = Duration::from_millis(5);
/// The addresses under which nodes tell nsqlookupds of themselves, and so what they call each other.
const NAMES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// What `/pair` says, as far as it matters here.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Status {
    pub incarnation: String,
    pub run: u64,
    pub mirrored: bool,
    pub imported: u64,
    pub adoption: Option<Adoption>,
    pub adopt_after: AdoptAfter,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct AdoptAfter {
    pub silent_seconds: f64,
    pub waits_for: String,
    pub adoptions: u64,
    pub witnesses: Vec<Witness>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Witness {
    pub says: String,
    pub connected_seconds: Option<f64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub struct Adoption {
    pub done: bool,
}

/// See the module.
pub struct Two {
    mirrored: bool,
    programs: [Program; 2],
    carrier: std::path::PathBuf,
    data: [TempDir; 2],
    servers: [Option<Server>; 2],
    carriers: Vec<Carrier>,
}

impl Two {
    /// Each mirrors the other; OK means that both have it.
    pub fn mirrored(setting: &Setting) -> Result<Self> {
        Self::paired(setting, &[])
    }

    /// As [`Two::mirrored`], with more flags.
    pub fn paired(setting: &Setting, more: &[String]) -> Result<Self> {
        let flags = |at: usize| {
            let mut flags = vec![
                "--mirror-ack=peer".to_owned(),
                "--on-peer-loss=block".to_owned(),
                format!("--broadcast-address={}", NAMES[at]),
                format!("--pair-with={}", NAMES[1 - at]),
            ];
            flags.extend_from_slice(more);
            flags
        };
        Self::start(setting, true, flags)
    }

    /// Neither knows of the other.
    pub fn apart(setting: &Setting) -> Result<Self> {
        Self::start(setting, false, |_| Vec::new())
    }

    fn start(
        setting: &Setting,
        mirrored: bool,
        flags: impl Fn(usize) -> Vec<String>,
    ) -> Result<Self> {
        let program = |at: usize| {
            let mut flags = flags(at);
            flags.push("--durability=fsync".to_owned());
            flags.push(format!("--node-id={}", at + 1));
            Program {
                path: setting.nsqd.clone(),
                flags,
            }
        };
        let mut two = Self {
            mirrored,
            programs: [program(0), program(1)],
            carrier: setting.nsq_to_nsq()?,
            data: [setting.data()?, setting.data()?],
            servers: [None, None],
            carriers: Vec::new(),
        };
        two.raise(0)?;
        two.raise(1)?;
        Ok(two)
    }

    /// Sends the clients to both, and lets the publishers begin once all consumers are there.
    pub fn open(&mut self, stages: &[Stage; 2]) -> Result<()> {
        for (at, stage) in stages.iter().enumerate() {
            stage.raise(self.address(at)?);
        }
        for stage in stages {
            if !stage.wait_subscribed(stage.consumers()) {
                bail!("no consumer could subscribe\n{}", self.logs());
            }
            stage.enter(Phase::Publish);
        }
        Ok(())
    }

    /// `kill -9`; returns when all its clients have noticed.
    pub fn kill_under(&mut self, at: usize, stages: &[Stage; 2], publishers: u64) -> Result<()> {
        stages[at].mark_kill();
        self.kill(at)?;
        stages[at].wait_parked(stages[at].consumers() + publishers as usize);
        Ok(())
    }

    fn server(&mut self, at: usize) -> Result<&mut Server> {
        self.servers[at].as_mut().context("no server")
    }

    /// Starts a node and, if both are there, what carries their journals.
    pub fn raise(&mut self, at: usize) -> Result<()> {
        let mut server = Server::start(&self.programs[at], self.data[at].path())?;
        server.wait_ready()?;
        self.servers[at] = Some(server);
        if self.mirrored && self.servers.iter().all(Option::is_some) {
            self.join()?;
        }
        Ok(())
    }

    /// Starts what carries their journals.
    pub fn join(&mut self) -> Result<()> {
        self.carriers = vec![self.carry(0, 1)?, self.carry(1, 0)?];
        Ok(())
    }

    /// Ends it: they do not hear of each other, and everybody else of both.
    pub fn part(&mut self) {
        self.carriers.clear();
    }

    fn carry(&mut self, from: usize, to: usize) -> Result<Carrier> {
        let (origin, holder) = (self.address(from)?, self.address(to)?);
        Carrier::mirror(&self.carrier, origin, holder)
    }

    pub fn address(&mut self, at: usize) -> Result<std::net::SocketAddr> {
        self.server(at)?.tcp_address()
    }

    /// `kill -9`.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        let server = self.servers[at].take().context("no server")?;
        server.kill()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, at: usize, signal: Signal) -> Result<()> {
        self.server(at)?.signal(signal)
    }

    /// Begins to move what `from` has to the other.
    pub fn relocate(&mut self, from: usize) -> Result<Carrier> {
        let (source, target) = (self.address(from)?, self.address(1 - from)?);
        Carrier::relocate(&self.carrier, source, target)
    }

    pub fn status(&mut self, at: usize) -> Result<Status> {
        let answer = self.server(at)?.ask("GET", "/pair")?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Orders `at` to adopt its peer, which was last seen so.
    pub fn adopt(&mut self, at: usize, seen: &Status) -> Result<()> {
        let (
            node,
            Status {
                incarnation, run, ..
            },
        ) = (NAMES[1 - at], seen);
        let path = format!("/pair/adopt?node={node}&incarnation={incarnation}&run={run}");
        self.server(at)?.ask("POST", &path)?;
        Ok(())
    }

    /// Waits until both nodes say so.
    pub fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&[Status; 2]) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let both = [self.status(0)?, self.status(1)?];
            if is_so(&both) {
                return Ok(());
            }
            if began.elapsed() > patience {
                bail!("not {what} after {patience:?}: {both:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until both say that either disk may be lost.
    pub fn wait_mirrored(&mut self, what: &str, patience: Duration) -> Result<()> {
        self.wait(what, patience, |both| {
            both.iter().all(|status| status.mirrored)
        })
    }

    /// Waits until this one says so.
    pub fn wait_one(
        &mut self,
        at: usize,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Status) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let status = self.status(at)?;
            if is_so(&status) {
                return Ok(());
            }
            if began.elapsed() > patience {
                bail!("not {what} after {patience:?}: {status:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// On both.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        (0..2).try_for_each(|at| self.server(at)?.delete_topic(topic))
    }

    /// Ends publishing, and waits until both say, twice, that they have nothing left.
    pub fn drain(&mut self, stages: &[Stage; 2], patience: Duration) -> Result<()> {
        stages.iter().for_each(|stage| stage.enter(Phase::Drain));
        let began = Instant::now();
        let mut drained = 0;
        while drained < 2 && !stages.iter().any(Stage::has_failed) {
            std::thread::sleep(20 * LOOK);
            let mut both = true;
            for at in 0..2 {
                both &= is_drained(&self.server(at)?.stats()?)?;
            }
            drained = if both { drained + 1 } else { 0 };
            if began.elapsed() > patience {
                bail!("not drained after {patience:?}\n{}", self.logs());
            }
        }
        Ok(())
    }

    /// The ends of the logs.
    pub fn logs(&self) -> String {
        let servers = self.servers.iter().zip(NAMES);
        let told = servers.filter_map(|(server, name)| Some((server.as_ref()?, name)));
        told.map(|(server, name)| format!("{name}:\n{}", server.log()))
            .collect()
    }

    /// Ends everything; the data paths.
    pub fn end(mut self) -> [TempDir; 2] {
        self.carriers.clear();
        self.servers = [None, None];
        self.data
    }
}

/// Runs clients around two servers while `drive` does what it does to them.
///
/// # Errors
/// What `drive` says, or a client that was told what no server may tell it.
pub fn around<T>(
    setting: &Setting,
    stages: &[Stage; 2],
    publishers: u64,
    drive: impl FnOnce(&[Stage; 2]) -> Result<T>,
) -> Result<T> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (stage, at) in stages.iter().zip(0..) {
            let first = at * publishers;
            threads.extend(clients(scope, stage, setting.seed, first, publishers));
        }
        let driven = drive(stages);
        stages.iter().for_each(|stage| stage.enter(Phase::Over));
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a client panicked"),
            }
        }
        driven
    })
}

/// What came of it; the data of both nodes is kept if it is bad.
pub fn judged(setting: &Setting, data: [TempDir; 2], finding: Finding) -> Outcome {
    for data in data {
        setting.keep_if_bad(data, &finding);
    }
    Outcome::of(finding, None)
}
