//! The node: its topics, its journal, and what they share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nsq_daemon::tls::TlsAcceptor;
use nsq_journal::{Durations, Journal, JournalError, Lsn, MemoryLog, Record, Spill};
use nsq_protocol::{IdentifyLimits, is_ephemeral};
use nsq_queue::{Topic, TopicOptions};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::announce::{Announcer, Change};
use crate::auth::AuthServers;
use crate::client::Client;
use crate::clock::Clock;
use crate::connection::LastServed;
use crate::drain::Drain;
use crate::live_topic::{Kept, LiveTopic};
use crate::options::{Durability, Options};
use crate::pager::{Housekeeping, Pager};
use crate::pair::{self, Pair};
use crate::relocation::Relocation;
use crate::timers::Timers;

pub struct Nsqd {
    pub options: Options,
    pub clock: Clock,
    pub journal: Arc<Journal>,
    pub spill: Spill,
    pub memory: MemoryLog,
    pub(crate) times: Times,
    pub timers: Timers,
    pub(crate) pager: Pager,
    pub pair: Pair,
    pub(crate) drain: Drain,
    pub(crate) relocation: Relocation,
    topics: RwLock<HashMap<String, Arc<LiveTopic>>>,
    next_topic_number: AtomicU32,
    pub(crate) next_sequence: AtomicU64,
    next_client: AtomicU64,
    pub(crate) last_served: LastServed,
    clients: Mutex<HashMap<u64, Arc<Client>>>,
    /// Topics with finishes and requeues that are not in the journal yet.
    unlogged: Mutex<Vec<Arc<LiveTopic>>>,
    pub(crate) unlogged_some: Notify,
    exiting: AtomicBool,
    failed: OnceLock<JournalError>,
    announcer: OnceLock<Arc<dyn Announcer>>,
    tls: OnceLock<TlsAcceptor>,
    auth: OnceLock<AuthServers>,
}

/// How long things took, of all topics together.
#[derive(Default)]
pub(crate) struct Times {
    /// From reading a publish to letting go its OK.
    pub publish: Durations,
    /// From handing a message to a consumer's connection to its FIN.
    pub processing: Durations,
}

/// What recovery found, for [`Nsqd::new`].
pub struct Recovered {
    pub topics: Vec<Topic<crate::host::NsqHost>>,
    pub next_topic_number: u32,
    pub next_sequence: u64,
    pub(crate) pair: pair::Recovered,
    /// Draining since then, nanoseconds since 1970; 0: not.
    pub(crate) draining: i64,
}

impl Nsqd {
    pub fn new(
        options: Options,
        journal: Arc<Journal>,
        spill: Spill,
        recovered: Recovered,
        clock: Clock,
        housekeeping: Housekeeping,
    ) -> Arc<Self> {
        let level = options.durability;
        let topics = recovered.topics.into_iter();
        let topics = topics.map(|mut queue| {
            let asked = crate::settings::durability(queue.settings());
            let level = level_of(&queue.name, asked.unwrap_or(level));
            queue.set_journalled(level != Durability::Memory);
            (queue.name.clone(), LiveTopic::new(queue, level))
        });
        // What was replayed came after the last checkpoint: a node that dies again and again would
        // otherwise never take one, and replay more each time.
        let replayed = journal.stats().recovery.bytes;
        let last_checkpoint = journal.tail().saturating_sub(replayed);
        let released = recovered.pair.released;
        let nsqd = Arc::new(Self {
            times: Times::default(),
            memory: MemoryLog::new(Arc::clone(journal.pool())),
            pager: Pager::new(housekeeping, last_checkpoint),
            topics: RwLock::new(topics.collect()),
            next_topic_number: AtomicU32::new(recovered.next_topic_number),
            next_sequence: AtomicU64::new(recovered.next_sequence),
            next_client: AtomicU64::new(1),
            last_served: LastServed::default(),
            clients: Mutex::default(),
            unlogged: Mutex::default(),
            unlogged_some: Notify::new(),
            relocation: Relocation::default(),
            drain: Drain::new(recovered.draining),
            pair: Pair::new(&options, recovered.pair, clock.now()),
            exiting: AtomicBool::new(false),
            failed: OnceLock::new(),
            announcer: OnceLock::new(),
            tls: OnceLock::new(),
            auth: OnceLock::new(),
            timers: Timers::default(),
            options,
            clock,
            journal,
            spill,
        });
        for topic in nsqd.topics() {
            topic.change_now(&nsqd, |_, _| ()); // arms its timers
        }
        nsqd.pair.finish_releases(&nsqd, released);
        nsqd.pair.hold_back(&nsqd);
        nsqd.pair.ensure_names(&nsqd);
        nsqd
    }

    pub fn set_announcer(&self, announcer: Arc<dyn Announcer>) {
        // Set once, by the process that runs this node.
        let _ = self.announcer.set(announcer);
    }

    pub(crate) fn announcer(&self) -> Option<&Arc<dyn Announcer>> {
        self.announcer.get()
    }

    pub(crate) fn announce(&self, change: Change) {
        let created = match &change {
            Change::TopicCreated(topic) | Change::ChannelCreated(topic, _) => Some(topic),
            _ => None,
        };
        if created.is_some_and(|topic| self.drain.hides(topic)) {
            return;
        }
        if let Some(announcer) = self.announcer.get() {
            announcer.announce(change);
        }
    }

    pub(crate) fn topic_options(&self, name: &str, level: Durability) -> TopicOptions {
        topic_options(&self.options, name, level)
    }

    pub(crate) fn take_sequences(&self, count: u64) -> u64 {
        self.next_sequence.fetch_add(count, Ordering::Relaxed)
    }

    /// Where the sequence of message ids stands, for checkpoints.
    pub(crate) fn sequence(&self) -> u64 {
        self.next_sequence.load(Ordering::Relaxed)
    }

    pub(crate) fn next_topic_number(&self) -> u32 {
        self.next_topic_number.load(Ordering::Relaxed)
    }

    /// Lets clients negotiate TLS. Only the first counts.
    pub fn set_tls(&self, acceptor: TlsAcceptor) {
        let _ = self.tls.set(acceptor);
    }

    pub(crate) fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.get()
    }

    /// Whom connections ask. Only the first counts.
    pub(crate) fn set_auth(&self, servers: AuthServers) {
        let _ = self.auth.set(servers);
    }

    pub(crate) fn auth(&self) -> Option<&AuthServers> {
        self.auth.get()
    }

    pub(crate) fn identify_limits(&self) -> IdentifyLimits {
        self.options.identify_limits(self.tls.get().is_some())
    }

    pub fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }

    /// No more connections, and those that are there hang up.
    pub fn begin_exit(&self) {
        self.exiting.store(true, Ordering::Release);
        for client in self.clients() {
            client.hang_up();
        }
    }

    /// What NSQ's `/ping` answers: whether messages can be kept.
    pub fn health(&self) -> Result<(), JournalError> {
        match self.failed.get() {
            Some(error) => Err(error.clone()),
            None => self.journal.health(),
        }
    }

    /// The disk failed where the journal does not notice: the node has to end as well.
    pub(crate) fn fail(&self, error: JournalError) {
        // The first failure is the one to tell of.
        let _ = self.failed.set(error);
    }

    pub fn topics(&self) -> Vec<Arc<LiveTopic>> {
        let mut topics: Vec<_> = self.topics.read().values().cloned().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    pub fn find_topic(&self, name: &str) -> Option<Arc<LiveTopic>> {
        self.topics.read().get(name).cloned()
    }

    /// The topic of that name, made if there is none. A new one holds its messages until the
    /// nsqlookupds have said which channels it has elsewhere.
    ///
    /// # Errors
    /// The journal's, if a new topic cannot be recorded.
    pub fn topic(self: &Arc<Self>, name: &str) -> Result<Arc<LiveTopic>, JournalError> {
        if let Some(topic) = self.find_topic(name) {
            return Ok(topic);
        }
        let mut topics = self.topics.write();
        if let Some(topic) = topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        let level = self.options.durability;
        let number = self.next_topic_number.fetch_add(1, Ordering::Relaxed);
        let mut queue = Topic::new(name, number, self.topic_options(name, level));
        let hold = self
            .announcer
            .get()
            .is_some_and(|announcer| announcer.knows_others());
        queue.hold(hold, &mut Default::default());
        if !is_ephemeral(name) {
            let created = Record::TopicCreate {
                topic: number,
                name,
            };
            self.append_twice(&created)?;
            // The first pause record of a topic says whether it was held at first.
            let held = Record::TopicPause {
                topic: number,
                paused: hold,
            };
            self.journal.append(&held)?;
        }
        let topic = LiveTopic::new(queue, level_of(name, level));
        topics.insert(name.to_owned(), Arc::clone(&topic));
        drop(topics);
        // A topic is written down also where its messages are not. On a full disk this comes
        // with the next write that succeeds.
        if topic.level() == Durability::Memory
            && let Err(error) = self.journal.write(self.journal.tail())
        {
            tracing::warn!("TOPIC({name}): not written down yet - {error}");
        }
        tracing::info!("TOPIC({name}): created");
        self.announce(Change::TopicCreated(name.to_owned()));
        if hold {
            tokio::spawn(crate::announce::learn_channels(
                Arc::clone(self),
                Arc::clone(&topic),
            ));
        }
        Ok(topic)
    }

    /// Journals a record that all messages of a topic or channel depend on: until there is a
    /// checkpoint, one damaged record must not cost all of them. Replay takes the second as the
    /// first.
    pub(crate) fn append_twice(&self, record: &Record<'_>) -> Result<Lsn, JournalError> {
        let once = self.journal.append(record)?;
        Ok(self.journal.append(record).unwrap_or(once))
    }

    /// Removes a topic with its channels and messages. False if there is none of that name.
    ///
    /// # Errors
    /// The journal's: then it is still there.
    pub fn delete_topic(self: &Arc<Self>, name: &str) -> Result<Option<Kept>, JournalError> {
        let mut topics = self.topics.write();
        let Some(topic) = topics.get(name).cloned() else {
            return Ok(None);
        };
        let topic_number = topic.number;
        let at = match is_ephemeral(name) {
            true => 0,
            false => self.journal.append(&Record::TopicDelete {
                topic: topic_number,
            })?,
        };
        topics.remove(name);
        topic.mark_deleted();
        drop(topics);
        let channels: Vec<String> = topic.change_now(self, |queue, effects| {
            let names: Vec<String> = queue
                .channels()
                .map(|channel| channel.name.clone())
                .collect();
            for channel in &names {
                queue.delete_channel(channel, effects);
            }
            queue.empty();
            names
        });
        self.spill.delete_topic(topic_number);
        for channel in channels {
            self.announce(Change::ChannelDeleted(name.to_owned(), channel));
        }
        tracing::info!("TOPIC({name}): deleting");
        self.announce(Change::TopicDeleted(name.to_owned()));
        Ok(Some(Kept::here(topic.level(), at)))
    }

    /// An ephemeral channel went with its last client; an ephemeral topic goes with its last
    /// channel.
    pub(crate) fn channel_gone(self: &Arc<Self>, topic: &Arc<LiveTopic>, channel: &str) {
        self.announce(Change::ChannelDeleted(
            topic.name.clone(),
            channel.to_owned(),
        ));
        let empty = topic.read(|queue| queue.channels().next().is_none());
        if empty && is_ephemeral(&topic.name) {
            // An ephemeral topic is not journalled: nothing can fail.
            let _ = self.delete_topic(&topic.name);
        }
    }

    pub fn new_client(&self, remote_address: String) -> Arc<Client> {
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.wall() / 1_000_000_000;
        let client = Client::new(id, remote_address, now);
        self.clients.lock().insert(id, Arc::clone(&client));
        client
    }

    pub fn client_gone(&self, client: &Client) {
        self.clients.lock().remove(&client.id);
    }

    /// All connections, oldest first.
    pub fn clients(&self) -> Vec<Arc<Client>> {
        let mut clients: Vec<_> = self.clients.lock().values().cloned().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    pub(crate) fn log_soon(&self, topic: &Arc<LiveTopic>) {
        let mut unlogged = self.unlogged.lock();
        unlogged.push(Arc::clone(topic));
        if unlogged.len() == 1 {
            self.unlogged_some.notify_one();
        }
    }

    pub(crate) fn take_unlogged(&self) -> Vec<Arc<LiveTopic>> {
        std::mem::take(&mut *self.unlogged.lock())
    }

    pub(crate) fn page_soon(&self, topic: &Arc<LiveTopic>) {
        self.pager.wake(topic);
    }
}

/// Ephemeral topics are never journalled.
pub(crate) fn level_of(name: &str, level: Durability) -> Durability {
    match is_ephemeral(name) {
        true => Durability::Memory,
        false => level,
    }
}

pub(crate) fn topic_options(options: &Options, name: &str, level: Durability) -> TopicOptions {
    TopicOptions {
        journalled: level_of(name, level) != Durability::Memory,
        mem_queue_size: options.mem_queue_size,
        max_msg_timeout: options.max_msg_timeout.as_nanos() as i64,
        latency_window: match options.e2e_percentiles.is_empty() {
            true => 0,
            false => options.e2e_window_time.as_nanos() as i64,
        },
    }
}
