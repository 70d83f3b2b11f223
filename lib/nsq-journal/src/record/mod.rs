//! The records of the journal: what they mean. How they look on disk is next door, in `payload` and `frame`.
//!
//! Topics and channels are numbers here, given out by the owner of the journal and never used again within
//! an incarnation; their names are in the `Create` records. Times are nanoseconds since the Unix epoch.

pub(crate) mod frame;
mod list;
mod payload;
pub(crate) mod slice;
pub(crate) mod wire;

pub use list::{IdRange, Item, List, Requeued};
pub(crate) use payload::{
    FINAL_CODES, MIRROR_CODES, PUBLISH_CODE, PUBLISH_FIXED, put_publish_fixed,
};
pub use slice::{SliceRecord, check_slice, slice_records};

use crate::Lsn;

/// A place in a journal of one incarnation. Positions compare as (run, LSN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which opening of the journal.
    pub run: u64,
    /// Where in the stream of records.
    pub lsn: Lsn,
}

/// One record. Names follow NSQ and the pair protocol (`docs/journal.md` lists codes and layouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The variants are described; their fields bear the names of the terms.
pub enum Record<'a> {
    /// The first record of each run. `node` is the server's stable name.
    Boot {
        incarnation: u64,
        run: u64,
        node: &'a str,
    },
    /// Messages published together: ids `first_id ..`, one timestamp, one due time (0 = at once).
    Publish {
        topic: u32,
        first_id: u64,
        timestamp: i64,
        due: i64,
        bodies: StoredBodies<'a>,
    },
    /// A channel is done with these messages.
    Finish {
        topic: u32,
        channel: u32,
        ranges: List<'a, IdRange>,
    },
    /// Messages a channel put back, with their attempts and due times.
    Requeue {
        topic: u32,
        channel: u32,
        items: List<'a, Requeued>,
    },
    /// A channel handed out every message up to this id at least once.
    Delivered {
        topic: u32,
        channel: u32,
        through_id: u64,
    },
    /// A topic begins.
    TopicCreate { topic: u32, name: &'a str },
    /// A topic ends, with its channels and messages.
    TopicDelete { topic: u32 },
    /// The topic's own backlog up to this id is thrown away.
    TopicEmpty { topic: u32, through_id: u64 },
    /// Messages stop, or go on, flowing from the topic to its channels.
    TopicPause { topic: u32, paused: bool },
    /// A channel begins; it receives messages from `from_id` on.
    ChannelCreate {
        topic: u32,
        channel: u32,
        name: &'a str,
        from_id: u64,
    },
    /// A channel ends.
    ChannelDelete { topic: u32, channel: u32 },
    /// A channel's messages up to this id are thrown away.
    ChannelEmpty {
        topic: u32,
        channel: u32,
        through_id: u64,
    },
    /// A channel's delivery stops or goes on.
    ChannelPause {
        topic: u32,
        channel: u32,
        paused: bool,
    },
    /// A message taken over from elsewhere, identity kept; `finished` are the channels already done with it. `held`: no
    /// channel has got it yet. `body_at`: offset of the body in the chunk; 0 when encoding.
    Import {
        topic: u32,
        id: u64,
        timestamp: i64,
        attempts: u16,
        due: i64,
        held: bool,
        finished: List<'a, u32>,
        body: &'a [u8],
        body_at: u32,
    },
    /// Own messages with a base up to this position are let go; the peer owns them.
    Release { through: Position },
    /// The adoption of another incarnation's messages in `(from, through]` began.
    Adopt {
        incarnation: u64,
        from: Position,
        through: Position,
    },
    /// The adoption up to `through` is complete; `position` is the own position after the last import.
    Adopted {
        incarnation: u64,
        through: Position,
        position: Position,
    },
    /// What was set for a topic, or for a channel of it (`channel` 0: for the topic), as JSON: the whole
    /// of it, in the place of what was set before.
    Settings {
        topic: u32,
        channel: u32,
        json: &'a str,
    },
    /// The state up to this position is in a checkpoint.
    CheckpointMark { lsn: Lsn },
    /// What the peer's journal has in `[from, to)` of one run, but for its own mirror: a slice (see [`slice_records`]).
    /// `at`: offset of the slice in the chunk that holds this record; 0 when encoding.
    Mirror {
        run: u64,
        from: Lsn,
        to: Lsn,
        slice: &'a [u8],
        at: u32,
    },
    /// The mirror is one of this incarnation's journal and goes on at `position`. Another's is dropped. `whole`: nothing
    /// that is unfinished there lies before.
    MirrorFrom {
        incarnation: u64,
        position: Position,
        whole: bool,
        node: &'a str,
    },
    /// The peer has lost what came after this position: it is taken out of the mirror.
    MirrorCut { position: Position },
    /// Every unfinished message was imported again since this position: nothing before it is needed.
    Listed { from: Lsn },
    /// Since when the node takes no messages, nanoseconds since the Unix epoch; 0: it does.
    Drain { since: i64 },
    /// These messages are another node's now: nobody here waits for them any more.
    Moved {
        topic: u32,
        ranges: List<'a, IdRange>,
    },
}

impl Record<'_> {
    /// What `docs/journal.md` calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Record::Boot { .. } => "boot",
            Record::Publish { .. } => "publish",
            Record::Finish { .. } => "finish",
            Record::Requeue { .. } => "requeue",
            Record::Delivered { .. } => "delivered",
            Record::TopicCreate { .. } => "topic create",
            Record::TopicDelete { .. } => "topic delete",
            Record::TopicEmpty { .. } => "topic empty",
            Record::TopicPause { .. } => "topic pause",
            Record::ChannelCreate { .. } => "channel create",
            Record::ChannelDelete { .. } => "channel delete",
            Record::ChannelEmpty { .. } => "channel empty",
            Record::ChannelPause { .. } => "channel pause",
            Record::Import { .. } => "import",
            Record::Release { .. } => "release",
            Record::Adopt { .. } => "adopt",
            Record::Adopted { .. } => "adopted",
            Record::CheckpointMark { .. } => "checkpoint mark",
            Record::Mirror { .. } => "mirror",
            Record::MirrorFrom { .. } => "mirror from",
            Record::MirrorCut { .. } => "mirror cut",
            Record::Listed { .. } => "listed",
            Record::Settings { .. } => "settings",
            Record::Drain { .. } => "drain",
            Record::Moved { .. } => "moved",
        }
    }
}

/// The bodies of a stored publish record: for each a `u32` length, big-endian as on the wire, and its
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBodies<'a> {
    /// Number of bodies.
    pub count: u32,
    /// Lengths and bodies.
    pub area: &'a [u8],
    /// Offset of `area` in the chunk that holds the record; 0 when encoding.
    pub bodies_at: u32,
}

impl<'a> StoredBodies<'a> {
    /// Offset in the chunk and bytes of each body, in order. Ends early where the area contradicts itself,
    /// which a decoded record never does.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let mut fields = wire::Fields::new(self.area);
        let mut at = self.bodies_at;
        std::iter::from_fn(move || {
            let len = fields.u32_be()?;
            let body = fields.bytes(len as usize)?;
            let offset = at + 4;
            at = offset + len;
            Some((offset, body))
        })
    }
}
