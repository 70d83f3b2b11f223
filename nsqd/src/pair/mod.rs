//! Replication pairs: this node's journal is copied to its peer, and the peer's to this node. `docs/pairs.md` explains
//! the protocol; its rules are named R1 to R18 where they live.
//!
//! `runs`, `holder`, `origin`, `gate`, `finishes`, `adopt_after` decide, as values; `mirror` is the copy; the rest carries out.

mod adopt_after;
mod adoption;
mod finishes;
mod gate;
mod handover;
mod holder;
mod lag;
mod link;
mod listing;
mod mirror;
mod origin;
mod receive;
mod runs;
pub mod simulated;
mod state;
mod status;
mod waiting;
mod witnesses;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nsq_journal::{IdRange, JournalError, Lsn};
use nsq_queue::TopicOptions;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::nsqd::Nsqd;
use crate::options::{Durability, MirrorAck, Options};
use finishes::Finishes;
use gate::Gate;
use lag::Lag;
use origin::{Adopted, Copy};
use runs::Runs;
use waiting::Waiting;
use witnesses::Alone;

pub use adoption::run as run_adoption;
pub(crate) use adoption::{AdoptError, Order};
pub(crate) use gate::PeerLost;
pub use handover::run as run_watch;
pub(crate) use holder::Adoption;
pub(crate) use link::{End, HEARTBEAT, LinkNews, OUTBOX, Side, serve};
pub(crate) use mirror::{Mirror, News};
pub(crate) use state::{PairImage, Remembered};
pub use witnesses::run as run_adopt_after;

/// What was finished in a topic, by channel.
type FinishedIn = BTreeMap<u32, Vec<IdRange>>;

/// This node's half of a pair. Every node has one; without a peer it does nothing.
pub struct Pair {
    /// Name of this node.
    pub(crate) node: String,
    /// Name of the other; empty without.
    pub(crate) peer: String,
    /// Level at which the peer's records are kept, and acknowledged, here.
    level: Durability,
    awaited: bool,
    /// Taken before any topic's lock. What is recorded under it is applied under it.
    shared: Mutex<Shared>,
    gate: Mutex<Waiting>,
    /// Everything before this may be acknowledged; follows the gate.
    passable: AtomicU64,
    /// What lies before this is in a list that the peer does not have whole: it is not acknowledged however far the
    /// peer is. 0: there is no such list.
    unlisted: AtomicU64,
    refuses: AtomicBool,
    finishes: Mutex<Finishes>,
    /// They are kept also without a peer: messages have come in from elsewhere.
    remembers: AtomicBool,
    /// The holder's link has something to look at: an adoption is done.
    pub(crate) holder_news: LinkNews,
    /// The origin's link has something to look at.
    pub(crate) origin_news: LinkNews,
    /// Something the watch has to look at.
    pub(crate) watch: Notify,
    pub(crate) adopt: Notify,
    alone: Mutex<Option<Alone>>,
    counters: Counters,
}

/// Behind the pair's lock.
pub(crate) struct Shared {
    pub(crate) mirror: Option<Mirror>,
    pub(crate) adoption: Option<Adoption>,
    /// The peer's copy of this journal.
    pub(crate) copy: Copy,
    /// What the peer adopted of it.
    pub(crate) adopted: Option<Adopted>,
    /// Topics are held back since this moment: after a start, or for a hand-over.
    pub(crate) held_back: Option<i64>,
    /// Numbers of the links that count: an older one is void.
    pub(crate) origin_link: u64,
    pub(crate) holder_link: u64,
    pub(crate) origin_up: bool,
    pub(crate) holder_up: bool,
    /// Ends in the own journal of what was mirrored, with the peer's positions.
    pub(crate) unkept: std::collections::VecDeque<(Lsn, nsq_journal::Position)>,
    /// Mirrored and kept through here.
    pub(crate) kept: Option<nsq_journal::Position>,
    /// The own journal cannot be read before this.
    pub(crate) unreadable: Lsn,
    /// A stretch with records that were lost, while later ones were not; until the peer gets a list.
    pub(crate) lost: Option<(Lsn, Lsn)>,
    pub(crate) listing: bool,
    pub(crate) lag: Lag,
    /// The latest run of the mirrored incarnation that said HELLO.
    pub(crate) heard_run: Option<u64>,
    /// When the peer was last heard of over a link, as far as somebody looked.
    heard: i64,
}

/// Totals since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) adoptions: AtomicU64,
    pub(crate) imported: AtomicU64,
    pub(crate) duplicates_expected: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) listings: AtomicU64,
    pub(crate) losses: AtomicU64,
}

/// What recovery found.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) mirror: Option<Mirror>,
    pub(crate) adoption: Option<Adoption>,
    pub(crate) finishes: Finishes,
    /// Messages have come in from elsewhere.
    pub(crate) imports: bool,
    /// From the first record that could not be read to the last.
    pub(crate) lost: Option<(Lsn, Lsn)>,
    /// Own messages up to here were let go of, since the checkpoint.
    pub(crate) released: Lsn,
}

/// Options of mirrored topics: what happens to them is journalled by the peer.
pub(crate) fn topic_options(options: &Options, name: &str) -> TopicOptions {
    TopicOptions {
        journalled: false,
        ..crate::nsqd::topic_options(options, name, options.durability)
    }
}

impl Pair {
    pub(crate) fn new(options: &Options, recovered: Recovered, now: i64) -> Self {
        let patience = options.peer_loss_timeout.as_nanos() as i64;
        let kept = recovered.mirror.as_ref().map(|mirror| mirror.end);
        Self {
            node: options.pair_name().to_owned(),
            peer: options.pair_with.clone(),
            level: options.durability,
            awaited: options.mirror_ack == MirrorAck::Peer,
            shared: Mutex::new(Shared {
                mirror: recovered.mirror,
                adoption: recovered.adoption,
                copy: Copy::default(),
                adopted: None,
                held_back: None,
                origin_link: 0,
                holder_link: 0,
                origin_up: false,
                holder_up: false,
                unkept: Default::default(),
                kept,
                unreadable: recovered.lost.map_or(0, |lost| lost.1),
                lost: recovered.lost,
                listing: false,
                lag: Lag::new(now),
                heard_run: None,
                heard: now,
            }),
            gate: Mutex::new(Waiting {
                gate: Gate::new(options.on_peer_loss, patience),
                level_at: Lsn::MAX,
                clients: Vec::new(),
                others: Vec::new(),
            }),
            passable: AtomicU64::new(0),
            unlisted: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            finishes: Mutex::new(recovered.finishes),
            remembers: AtomicBool::new(recovered.imports),
            holder_news: LinkNews::default(),
            origin_news: LinkNews::default(),
            watch: Notify::new(),
            adopt: Notify::new(),
            alone: Mutex::new(Alone::new(options.adopt_after)),
            counters: Counters::default(),
        }
    }

    /// This node has a peer.
    pub(crate) fn is_configured(&self) -> bool {
        !self.peer.is_empty()
    }

    /// Publishers wait for the peer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Whether what was journalled before `at` may be acknowledged.
    pub(crate) fn passes(&self, at: Lsn) -> bool {
        match self.passable.load(Ordering::Acquire) {
            Lsn::MAX => true, // without the peer
            passable => at <= passable && at > self.unlisted(),
        }
    }

    /// What lies before this waits for a list, too.
    pub(crate) fn unlisted(&self) -> Lsn {
        self.unlisted.load(Ordering::Acquire)
    }

    /// Publishing is refused.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Acquire)
    }

    /// R16: these were finished by the record before `end`.
    pub(crate) fn note_finish(&self, topic: u32, channel: u32, range: (u64, u64), end: Lsn) {
        if self.is_configured() || self.remembers.load(Ordering::Relaxed) {
            self.finishes
                .lock()
                .note(topic, channel, range.0, range.1, end);
        }
    }

    /// From now on finishes are remembered.
    pub(crate) fn remember_finishes(&self) {
        self.remembers.store(true, Ordering::Relaxed);
    }

    /// Whether the message was finished here, as far as is remembered.
    pub(crate) fn has_finished(&self, topic: u32, channel: u32, id: u64) -> bool {
        self.finishes.lock().contains(topic, channel, id)
    }

    /// What checkpoints remember. After the images of all topics: what is journalled later is replayed.
    pub(crate) fn remembered(&self) -> Remembered {
        Remembered {
            lost: self.shared.lock().lost,
            finishes: self.finishes.lock().all().collect(),
        }
    }

    /// What was finished, by topic and channel, the oldest first.
    fn finished(&self) -> BTreeMap<u32, FinishedIn> {
        let mut by_topic: BTreeMap<u32, FinishedIn> = BTreeMap::new();
        for one in self.finishes.lock().all() {
            let (first_id, count) = (one.first_id, one.count);
            let channels = by_topic.entry(one.topic).or_default();
            let ranges = channels.entry(one.channel).or_default();
            ranges.push(IdRange { first_id, count });
        }
        by_topic
    }

    /// Where the journal has to begin for the peer to go on reading.
    pub(crate) fn wanted_from(&self, nsqd: &Nsqd) -> Lsn {
        if !self.is_configured() {
            return Lsn::MAX;
        }
        let acked = self.shared.lock().copy.acked;
        let tail = nsqd.journal.tail();
        acked.max(tail.saturating_sub(nsqd.pager.kept_for_peer()))
    }

    /// This journal's runs.
    fn runs(&self, nsqd: &Nsqd) -> Runs {
        Runs {
            runs: nsqd.journal.runs(),
            end: nsqd.journal.tail(),
        }
    }

    /// The mirror for a checkpoint, and where replay has to begin for its sake.
    ///
    /// # Errors
    /// None of its own; the journal's.
    pub(crate) fn image(&self, nsqd: &Nsqd) -> Result<(Lsn, Option<PairImage>), JournalError> {
        nsqd.journal.health()?;
        let shared = self.shared.lock();
        let tail = nsqd.journal.tail();
        let mut keep_from = tail;
        for topic in shared.mirror.iter().flat_map(Mirror::topics) {
            let oldest = topic.live.read(|queue| {
                let chunks = queue.unpaged_chunks();
                chunks.map(|chunk| chunk.0.base()).min()
            });
            keep_from = oldest.map_or(keep_from, |oldest| keep_from.min(oldest));
        }
        Ok((keep_from, PairImage::of(&shared, tail)))
    }

    /// Topics of the mirror, for whoever pages out.
    pub(crate) fn mirrored_topics(&self) -> Vec<Arc<crate::LiveTopic>> {
        let shared = self.shared.lock();
        let topics = shared.mirror.iter().flat_map(Mirror::topics);
        topics.map(|topic| Arc::clone(&topic.live)).collect()
    }
}
