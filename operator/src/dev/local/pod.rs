//! One node of a local cluster: the stand-in for a pod and its kubelet.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nsq_http_api::{Client, DrainStatus, PairStatus, Stats, StatsQuery};

use super::companion::Companion;
use super::leaving::Moving;
use crate::backoff::Backoff;
use crate::cluster::names::{Component, Node};
use crate::cluster::observed::{PodState, Process as Ran};
use crate::cluster::pulse::Pulse;
use crate::dev::ports::Ports;
use crate::dev::process::{Exited, Process};

/// Wait before a process that died is started again.
const RESTART: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(10),
};
/// A process that ran this long starts its count of failures anew.
const STEADY: Duration = Duration::from_secs(30);

/// One node.
pub struct LocalPod {
    pub node: Node,
    pub ports: Ports,
    pub state: State,
    pub since: Timestamp,
    pub restarts: u32,
    /// What the node last said of itself; nsqd only.
    pub stats: Option<Stats>,
    /// What it says of its pair; nsqd only.
    pub pulse: Pulse,
    pub(super) mirror: Companion,
    /// Whether it takes messages, and what it has; nsqd only.
    pub(super) drain: Option<DrainStatus>,
    /// Where its messages are moved to.
    pub(super) moving: Option<Moving>,
    pub(super) relocation: Companion,
    /// The command line that its process was started with.
    pub(super) arguments: Vec<String>,
    /// Hash of the template that its process was started from.
    pub(super) hash: Option<String>,
    pub(super) publishing: bool,
    failures: u32,
    started: Instant,
}

/// What its process does.
pub enum State {
    Starting(Process),
    Ready(Process),
    /// Answered before and does not now.
    Unready(Process),
    /// Asked to end; started again afterwards, or not if the node is to go.
    Stopping(Process),
    /// Died; started again at this time.
    Waiting {
        until: Instant,
        why: String,
    },
}

impl State {
    /// Its process, if there is one.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        match self {
            Self::Starting(process)
            | Self::Ready(process)
            | Self::Unready(process)
            | Self::Stopping(process) => Some(process),
            Self::Waiting { .. } => None,
        }
    }

    /// One word for the table.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting(_) => "starting",
            Self::Ready(_) => "ready",
            Self::Unready(_) => "unready",
            Self::Stopping(_) => "stopping",
            Self::Waiting { .. } => "stopped",
        }
    }

    fn into_stopping(self) -> Self {
        match self {
            Self::Starting(mut process) | Self::Ready(mut process) | Self::Unready(mut process) => {
                process.stop();
                Self::Stopping(process)
            }
            other => other,
        }
    }

    fn with_ping(self, answers: bool) -> Self {
        match self {
            Self::Starting(process) | Self::Unready(process) if answers => Self::Ready(process),
            Self::Ready(process) if !answers => Self::Unready(process),
            other => other,
        }
    }
}

impl LocalPod {
    pub(super) fn new(node: Node, ports: Ports) -> Self {
        let now = Instant::now();
        Self {
            node,
            ports,
            state: State::Waiting {
                until: now,
                why: String::new(),
            },
            since: Timestamp::now(),
            restarts: 0,
            stats: None,
            pulse: Pulse::default(),
            mirror: Companion::new("mirror"),
            drain: None,
            moving: None,
            relocation: Companion::new("relocation"),
            arguments: Vec::new(),
            hash: None,
            publishing: true,
            failures: 0,
            started: now,
        }
    }

    pub(super) fn is_due(&self) -> bool {
        matches!(&self.state, State::Waiting { until, .. } if *until <= Instant::now())
    }

    pub(super) fn run(&mut self, process: Process, arguments: Vec<String>, hash: Option<String>) {
        if !self.arguments.is_empty() {
            self.restarts += 1;
        }
        self.arguments = arguments;
        self.hash = hash;
        self.started = Instant::now();
        self.since = Timestamp::now();
        self.state = State::Starting(process);
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failures += 1;
        self.state = State::Waiting {
            until: Instant::now() + RESTART.delay(self.failures),
            why,
        };
    }

    /// Asks its process to end.
    pub(super) fn stop(&mut self) {
        self.mirror.stop();
        self.relocation.stop();
        self.turn(State::into_stopping);
    }

    /// Replaces the state by what becomes of it.
    fn turn(&mut self, next: impl FnOnce(State) -> State) {
        let nothing = State::Waiting {
            until: Instant::now(),
            why: String::new(),
        };
        let before = std::mem::replace(&mut self.state, nothing);
        let was_ready = matches!(before, State::Ready(_));
        self.state = next(before);
        if was_ready != matches!(self.state, State::Ready(_)) {
            self.since = Timestamp::now();
        }
    }

    /// A process has ended; whether it was this node's present one.
    pub(super) fn on_exit(&mut self, exited: &Exited) -> bool {
        if self.state.process().map(|process| process.pid) != Some(exited.pid) {
            return false;
        }
        let asked = matches!(self.state, State::Stopping(_));
        if asked || self.started.elapsed() >= STEADY {
            self.failures = 0;
        }
        let delay = if asked {
            Duration::ZERO
        } else {
            self.failures += 1;
            RESTART.delay(self.failures)
        };
        self.since = Timestamp::now();
        self.stats = None;
        self.drain = None;
        self.state = State::Waiting {
            until: Instant::now() + delay,
            why: exited.how.clone(),
        };
        true
    }

    /// Asks it how it is.
    pub(super) async fn probe(&mut self, name: &str, client: &Client) {
        name.clone_into(&mut self.pulse.pod);
        if matches!(self.state, State::Stopping(_) | State::Waiting { .. }) {
            self.pulse.heard(None, None, Timestamp::now());
            return;
        }
        if self.node.component == Component::Nsqd {
            let address = self.http_address();
            let pair: Option<PairStatus> = client.nsqd(&address).pair().await.ok();
            let uid = self.started_id();
            self.pulse.heard(Some(&uid), pair, Timestamp::now());
        }
        let address = self.http_address();
        let answers = match self.node.component {
            Component::Nsqd => {
                let query = StatsQuery {
                    include_clients: false,
                    ..StatsQuery::default()
                };
                let nsqd = client.nsqd(&address);
                self.stats = nsqd.stats(query).await.ok();
                self.drain = nsqd.drain_status().await.ok();
                self.stats.is_some() && nsqd.ping().await.is_ok()
            }
            Component::Nsqlookupd => client.nsqlookupd(&address).ping().await.is_ok(),
        };
        self.turn(|state| state.with_ping(answers));
    }

    /// Whether nothing of it runs.
    pub(super) fn is_ended(&self) -> bool {
        let companions = [&self.mirror, &self.relocation];
        self.state.process().is_none() && !companions.iter().any(|companion| companion.is_running())
    }

    /// Whether it has answered since it was last started, or died.
    #[must_use]
    pub fn is_member(&self) -> bool {
        match self.state {
            State::Ready(_) | State::Unready(_) => true,
            State::Waiting { .. } => self.failures > 0,
            State::Starting(_) | State::Stopping(_) => false,
        }
    }

    /// host:port of its HTTP API.
    #[must_use]
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    /// host:port of the NSQ protocol.
    #[must_use]
    pub fn tcp_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.tcp)
    }

    /// Why it is down, if it is.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match &self.state {
            State::Waiting { why, .. } if !why.is_empty() && self.failures > 0 => Some(why),
            _ => None,
        }
    }

    /// As a pod. One that was asked to end and has ended is gone, until its set makes it anew.
    pub(super) fn observed(&self, name: &str) -> Option<PodState> {
        if self.state.process().is_none() && self.failures == 0 {
            return None;
        }
        Some(PodState {
            name: name.to_owned(),
            uid: self.started_id(),
            component: self.node.component,
            ready: matches!(self.state, State::Ready(_)),
            since: self.since,
            terminating: matches!(self.state, State::Stopping(_)),
            template_hash: self.hash.clone(),
            restarted_at: None,
            publishing: self.publishing,
            address: Some(self.http_address()),
            machine: None,
            unplaced: false,
            process: match self.state {
                State::Waiting { .. } => Ran::Ended,
                _ => Ran::Running,
            },
            tls: false,
            problem: self.problem().map(str::to_owned),
        })
    }

    fn started_id(&self) -> String {
        let process = self.state.process();
        process.map_or_else(String::new, |process| process.pid.to_string())
    }
}
