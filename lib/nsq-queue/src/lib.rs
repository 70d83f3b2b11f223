//! What a topic and its channels do, as a value: publish, pull, finish, requeue, touch, time
//! out, pause, empty. No I/O, no clock, no lock, no async: time is an argument (nanoseconds
//! since 1970), bodies are handles, and what must happen outside is told by [`Effects`].
//!
//! A body is stored once, however many channels there are. A channel is a cursor into the
//! topic's messages plus its exceptions: in flight, requeued, deferred. Everything below the
//! cursor that is no exception is finished. Messages lie in blocks, which the host may page
//! out to disk and back.

#![forbid(unsafe_code)]

mod bases;
mod block;
mod channel;
mod channels;
mod consumer;
mod deliver;
mod image;
mod import;
mod in_flight;
mod inspect;
mod journal_log;
mod lane;
mod latency;
mod moving;
mod paging;
mod parking;
mod release;
mod restore;
mod rules;
mod settings;
mod settle;
mod stats;
mod topic;
mod unfinished;

pub use bases::Rebased;
pub use channel::Channel;
pub use consumer::{ConsumerId, ConsumerSpec, Locality};
pub use deliver::{Delivery, Pulled};
pub use image::{BlockImage, ChannelImage, ExceptionImage, TopicImage};
pub use import::Import;
pub use inspect::{DeferredMessage, Peeked};
pub use journal_log::{ChannelLog, Requeued};
pub use lane::LaneKind;
pub use latency::LatencySummary;
pub use moving::Here;
pub use paging::{PageOut, Paged};
pub use release::Unmirrored;
pub use rules::{DeadLetter, Full};
pub use settings::{Overflow, Settings};
pub use settle::{Finished, SettleError};
pub use stats::{ChannelStats, ConsumerStats, TopicStats};
pub use topic::{Effects, Run, SubscribeError, Topic, TopicOptions};
pub use unfinished::{Pending, Unfinished, UnfinishedBatch};

/// What the surroundings give to a topic: handles it stores and hands back, never looks into.
pub trait Host {
    /// Memory that holds bodies; equal handles mean the same memory.
    type Chunk: Clone + PartialEq;
    /// Where a paged-out block lies on disk.
    type Page: Clone;
    /// Wakes a consumer's connection.
    type Waker: Clone;
}
