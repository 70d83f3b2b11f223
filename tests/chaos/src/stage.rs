//! What all clients of a run share: where the server is, and the auditor with its clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nsq_auditor::{Auditor, Rules};

/// What a run allows.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// A finish that the server took less than this before it died may be forgotten, nanoseconds.
    pub finish_may_be_forgotten: i64,
    /// Two nodes own messages: one can come again after its finish, and be finished elsewhere while it is held.
    pub paired: bool,
    /// Publishes may be refused: publishers send one at a time, and try again.
    pub refusals: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            // The journal hears of finishes every 50 ms; the rest is for cores that are busy with
            // everything else on the machine.
            finish_may_be_forgotten: 500_000_000,
            refusals: false,
            paired: false,
        }
    }
}

/// Every topic and its channels.
pub const TOPICS: &[(&str, &[&str])] = &[
    ("orders", &["archive", "billing"]),
    ("clicks", &["archive", "counts"]),
    ("mails", &["send", "log"]),
    ("events", &["one", "two"]),
];

pub struct Stage {
    pub manners: Manners,
    origin: Instant,
    ledger: Arc<Mutex<Ledger>>,
    server: Mutex<Where>,
    changed: Condvar,
}

/// The auditor, and what was in flight.
pub struct Ledger {
    pub auditor: Auditor,
    /// REQs that were sent.
    pub requeues: u64,
    /// Messages in flight at all kills.
    pub interrupted: u64,
    /// Publishes that were answered with an error, and those that a living server hung up on.
    pub refused: u64,
    pub unanswered: u64,
}

#[derive(Debug, Default)]
struct Where {
    /// Where the server is while there is one.
    address: Option<SocketAddr>,
    /// When the server was killed that has not been replaced yet.
    killed_at: Option<i64>,
    /// Servers so far.
    generation: u64,
    /// Clients that wait for the next server, or have ended.
    parked: usize,
    /// Consumers that have subscribed, over all servers.
    subscribed: usize,
    /// A client has ended with an error.
    failed: bool,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Consumers subscribe.
    #[default]
    Before,
    /// Publishers publish.
    Publish,
    /// Only consumers are left.
    Drain,
    Over,
}

impl Stage {
    pub fn new(manners: Manners) -> Self {
        let channels = TOPICS.iter().map(|(topic, channels)| {
            let channels = channels.iter().map(|&channel| channel.to_owned());
            ((*topic).to_owned(), channels.collect())
        });
        let rules = Rules {
            finish_may_be_forgotten: manners.finish_may_be_forgotten,
            // The message timeout is a minute; a message is kept for milliseconds.
            finish_may_be_late: false,
            paired: manners.paired,
        };
        Self {
            manners,
            origin: Instant::now(),
            ledger: Arc::new(Mutex::new(Ledger {
                auditor: Auditor::new(rules, channels.collect::<BTreeMap<_, _>>()),
                requeues: 0,
                interrupted: 0,
                refused: 0,
                unanswered: 0,
            })),
            server: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Two servers, whose clients are judged together.
    pub fn pair(manners: Manners) -> [Self; 2] {
        let one = Self::new(manners);
        let other = Self {
            manners,
            origin: one.origin,
            ledger: Arc::clone(&one.ledger),
            server: Mutex::default(),
            changed: Condvar::new(),
        };
        [one, other]
    }

    /// Consumers of a server: one for each channel.
    pub fn consumers(&self) -> usize {
        TOPICS.iter().map(|topic| topic.1.len()).sum()
    }

    fn now(&self) -> i64 {
        self.origin.elapsed().as_nanos() as i64
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self) -> MutexGuard<'_, Where> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a finish happens that the server is now known to have taken; after a kill, or if that
    /// is unknown because of it, at the kill.
    pub fn finish_time(&self) -> i64 {
        let now = self.now();
        self.server()
            .killed_at
            .map_or(now, |killed| now.min(killed))
    }

    /// The server is about to be killed.
    pub fn mark_kill(&self) {
        let mut ledger = self.ledger();
        let now = self.now();
        ledger.auditor.crashed(now);
        let mut server = self.server();
        server.killed_at = Some(now);
        server.address = None;
    }

    /// Waits until all of `clients` have noticed the server's end.
    pub fn wait_parked(&self, clients: usize) {
        let server = self.server();
        let waiting = self
            .changed
            .wait_while(server, |server| server.parked < clients);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether this is still the server.
    pub fn is_there(&self, generation: u64) -> bool {
        let server = self.server();
        server.generation == generation && server.address.is_some()
    }

    /// There is a server again.
    pub fn raise(&self, address: SocketAddr) {
        let mut server = self.server();
        server.killed_at = None;
        server.address = Some(address);
        server.generation += 1;
        self.changed.notify_all();
    }

    /// A consumer has subscribed.
    pub fn subscribed(&self) {
        self.server().subscribed += 1;
        self.changed.notify_all();
    }

    /// Waits until so many consumers have subscribed; false if a client failed first.
    pub fn wait_subscribed(&self, consumers: usize) -> bool {
        let server = self.server();
        let waits = |server: &mut Where| server.subscribed < consumers && !server.failed;
        let waiting = self.changed.wait_while(server, waits);
        !waiting.unwrap_or_else(PoisonError::into_inner).failed
    }

    /// A client ends, for good.
    pub fn leave(&self, failed: bool) {
        let mut server = self.server();
        server.parked += 1;
        server.failed |= failed;
        self.changed.notify_all();
    }

    pub fn has_failed(&self) -> bool {
        self.server().failed
    }

    pub fn enter(&self, phase: Phase) {
        self.server().phase = phase;
        self.changed.notify_all();
    }

    pub fn phase(&self) -> Phase {
        self.server().phase
    }

    /// Waits for a server later than the one of generation `seen`, in `from` or a later phase;
    /// `None` once `until` has come.
    pub fn next_server(&self, seen: u64, from: Phase, until: Phase) -> Option<(SocketAddr, u64)> {
        let mut server = self.server();
        server.parked += 1;
        self.changed.notify_all();
        let waits = |server: &mut Where| {
            let there = server.address.is_some() && server.generation > seen;
            server.phase < until && !(there && server.phase >= from)
        };
        let waiting = self.changed.wait_while(server, waits);
        server = waiting.unwrap_or_else(PoisonError::into_inner);
        server.parked -= 1;
        if server.phase >= until {
            return None;
        }
        Some((server.address?, server.generation))
    }
}
