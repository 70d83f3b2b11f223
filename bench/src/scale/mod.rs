//! `scale`: what much of something costs, beside the Go nsqd, each on a server of its own.

mod channels;
mod connections;
mod deferred;
mod queued;
mod steady;
mod table;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nsq_rig::{Program, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use std::net::SocketAddr;
use tempfile::TempDir;

use crate::machine::Machine;
use crate::meter::Meter;
pub use table::render;

/// Memory is read once it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(500);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Much {
    pub connections: usize,
    pub channels: usize,
    /// For the Go nsqd, which writes all names anew for each channel.
    pub go_channels: usize,
    pub messages: usize,
    pub seconds: u64,
}

pub const FULL: Much = Much {
    connections: 10_000,
    channels: 100_000,
    go_channels: 5_000,
    messages: 2_000_000,
    seconds: 10,
};
pub const QUICK: Much = Much {
    connections: 1_000,
    channels: 10_000,
    go_channels: 2_000,
    messages: 200_000,
    seconds: 2,
};

/// One figure of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub what: String,
    pub unit: &'static str,
    /// At most this.
    pub target: f64,
    pub ours: f64,
    pub go: f64,
}

impl Figure {
    pub fn met(&self) -> bool {
        self.ours <= self.target
    }
}

#[derive(Debug, Serialize)]
pub struct Outcome {
    pub machine: Machine,
    pub figures: Vec<Figure>,
    pub notes: Vec<String>,
}

/// A figure before the two servers are put side by side.
struct Measured {
    what: String,
    unit: &'static str,
    target: f64,
    value: f64,
}

fn measured(what: impl Into<String>, unit: &'static str, target: f64, value: f64) -> Measured {
    Measured {
        what: what.into(),
        unit,
        target,
        value,
    }
}

/// A server that is measured.
struct Subject {
    server: Server,
    address: SocketAddr,
    go: bool,
    _data: TempDir,
}

impl Subject {
    fn start(program: &Path, go: bool, flags: &[&str]) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("nsq-scale-").tempdir()?;
        let program = Program {
            path: program.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        };
        let mut server = Server::start(&program, data.path())?;
        let (address, _) = server.wait_ready()?;
        Ok(Self {
            server,
            address,
            go,
            _data: data,
        })
    }

    /// Resident memory once it has settled.
    fn memory(&self) -> Result<u64> {
        let started = Instant::now();
        let mut last = self.server.resident_bytes()?;
        loop {
            std::thread::sleep(SETTLED);
            let now = self.server.resident_bytes()?;
            if now.abs_diff(last) < 64 << 10 || started.elapsed() > SETTLE_TIMEOUT {
                return Ok(now);
            }
            last = now;
        }
    }

    /// The share of a core that it uses during `time`, in percent.
    fn cpu_percent(&self, time: Duration) -> Result<f64> {
        let meter = Meter::start(self.server.pid())?;
        std::thread::sleep(time);
        let used = meter.stop()?;
        Ok(100.0 * used.cpu_nanos as f64 / used.elapsed.as_nanos() as f64)
    }
}

/// What is measured, one after another.
type Measure = fn(&Path, bool, Much) -> Result<Vec<Measured>>;

const MEASURES: &[(&str, Measure)] = &[
    ("connections", connections::measure),
    ("channels", channels::measure),
    ("deferred", deferred::measure),
    ("latency", steady::measure),
    ("queued", queued::measure),
];

/// Keys of what is measured.
pub fn keys() -> Vec<&'static str> {
    MEASURES.iter().map(|measure| measure.0).collect()
}

/// Measures both servers, in turn.
///
/// # Errors
/// When a server does not start or does otherwise than it should.
pub fn run(
    ours: &Path,
    go: &Path,
    much: Much,
    only: &[String],
    progress: fn(&str),
) -> Result<Outcome> {
    raise_limit()?;
    let machine = Machine::bind()?;
    let mut figures = Vec::new();
    for (key, measure) in MEASURES {
        if !only.is_empty() && !only.iter().any(|name| name == key) {
            continue;
        }
        progress(&format!("{key}: ours"));
        let ours = measure(ours, false, much).with_context(|| format!("{key}: ours"))?;
        progress(&format!("{key}: Go"));
        let theirs = measure(go, true, much).with_context(|| format!("{key}: Go"))?;
        figures.extend(ours.into_iter().zip(theirs).map(|(ours, theirs)| Figure {
            what: ours.what,
            unit: ours.unit,
            target: ours.target,
            ours: ours.value,
            go: theirs.value,
        }));
    }
    progress("");
    let notes = vec![
        "Memory is the process's resident memory, before and after, divided; CPU is of one core."
            .to_owned(),
        format!(
            "The Go nsqd gets {} channels: it writes all names anew for each one. Its time is scaled up.",
            much.go_channels
        ),
    ];
    Ok(Outcome {
        machine,
        figures,
        notes,
    })
}

/// Each connection is a file.
fn raise_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}
