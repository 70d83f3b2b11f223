//! What the rest of nsqd knows of a connection: how to wake it, and what `/stats` shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::task::AtomicWaker;
use nsq_journal::Waiter;
use parking_lot::Mutex;

use crate::connection::TlsSession;

/// The shared half of a connection.
#[derive(Debug)]
pub struct Client {
    /// Rises with each connection.
    pub id: u64,
    /// `host:port`, `@` on a unix socket.
    pub remote_address: String,
    /// Seconds since 1970.
    pub connected_at: i64,
    pub identity: Mutex<Identity>,
    /// Messages published per topic.
    pub publishes: Mutex<BTreeMap<String, u64>>,
    pub subscribed: AtomicBool,
    waits: [AtomicUsize; 3],
    woken: AtomicBool,
    hung_up: AtomicBool,
    task: AtomicWaker,
}

/// What IDENTIFY told, and what it led to.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    pub client_id: String,
    pub hostname: String,
    pub user_agent: String,
    pub topology_region: String,
    pub topology_zone: String,
    pub sample_rate: i64,
    pub tls: Option<TlsSession>,
    pub snappy: bool,
    pub deflate: bool,
    /// The auth server knows it, and as whom.
    pub authed: bool,
    pub auth_identity: String,
    pub auth_identity_url: String,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// That the client takes these.
    pub output_bytes: usize,
    /// That the journal keeps what these acknowledge.
    pub answers: usize,
    /// The rest of a command of which these are there.
    pub input_bytes: usize,
}

impl Client {
    pub fn new(id: u64, remote_address: String, connected_at: i64) -> Arc<Self> {
        let host = remote_address.rsplit_once(':').map_or("", |(host, _)| host);
        let identity = Identity {
            client_id: host.to_owned(),
            hostname: host.to_owned(),
            ..Identity::default()
        };
        Arc::new(Self {
            id,
            identity: Mutex::new(identity),
            remote_address,
            connected_at,
            publishes: Mutex::new(BTreeMap::new()),
            subscribed: AtomicBool::new(false),
            waits: Default::default(),
            woken: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            task: AtomicWaker::new(),
        })
    }

    /// Has the connection look again at its subscription and its replies. Wake-ups that come
    /// before it looked are one.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Notes what the connection waits for, for people who look.
    pub fn note_waits(&self, waits: Waits) {
        let all = [waits.output_bytes, waits.answers, waits.input_bytes];
        for (noted, now) in self.waits.iter().zip(all) {
            noted.store(now, Ordering::Relaxed);
        }
    }

    pub fn waits(&self) -> Waits {
        let [output_bytes, answers, input_bytes] = &self.waits;
        Waits {
            output_bytes: output_bytes.load(Ordering::Relaxed),
            answers: answers.load(Ordering::Relaxed),
            input_bytes: input_bytes.load(Ordering::Relaxed),
        }
    }

    /// Ends the connection.
    pub fn hang_up(&self) {
        self.hung_up.store(true, Ordering::Release);
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }

    pub fn is_hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Acquire)
    }

    /// Registers the connection's task; wake-ups from here on reach it.
    pub fn listen(&self, task: &std::task::Waker) {
        self.task.register(task);
    }

    /// Whether there was a wake-up since the last call.
    pub fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    pub fn count_publishes(&self, topic: &str, messages: u64) {
        let mut publishes = self.publishes.lock();
        match publishes.get_mut(topic) {
            Some(count) => *count += messages,
            None => drop(publishes.insert(topic.to_owned(), messages)),
        }
    }
}

impl Waiter for Client {
    fn wake(self: Arc<Self>) {
        Client::wake(&self);
    }
}
