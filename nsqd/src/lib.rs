//! nsqd: queues and delivers messages.
//!
//! A publish goes: connection -> decoder -> topic (under its lock: journal's memory, queue) ->
//! commit -> OK and wake-ups. A delivery is a pull by the consumer's own connection. See
//! ARCHITECTURE.md for the whole way.

mod announce;
mod auth;
mod channels;
mod checkpoint;
mod client;
mod clock;
mod connection;
mod drain;
pub mod from_go;
mod host;
mod http;
mod import;
mod input_budget;
mod journal_log;
pub mod journal_tool;
mod keep;
mod limits;
mod live_topic;
pub mod lookup;
mod memory_budget;
mod metrics;
mod nsqd;
pub mod options;
mod page_in;
mod page_out;
mod pager;
mod pair;
mod recovery;
mod relocation;
mod replay;
mod server;
mod settings;
mod stats;
mod statsd;
#[cfg(test)]
mod test_node;
mod timers;
pub mod to_go;
mod wake_up;

/// The parts of a node, for simulations that drive them by hand.
pub mod engine {
    pub use crate::checkpoint::take as take_checkpoint;
    pub use crate::connection::serve;
    pub use crate::journal_log::{log_all, run as run_journal_log};
    pub use crate::memory_budget::MemoryBudget;
    pub use crate::pager::{Housekeeping, Pager};
    pub use crate::pair::simulated as pair;
    pub use crate::pair::{run_adoption, run_watch};
    pub use crate::recovery::open_on;
    pub use crate::timers::Timers;

    /// A channel's numbers, with its consumers' connections.
    pub type ChannelStats = nsq_queue::ChannelStats<std::sync::Arc<crate::Client>>;
}

pub use announce::{Announcer, Change};
pub use channels::NoSuchChannel;
pub use client::{Client, Identity};
pub use clock::Clock;
pub use connection::TlsSession;
pub use live_topic::{Kept, LiveTopic, PublishError};
pub use nsqd::Nsqd;
pub use server::{ServeError, Server};
pub use settings::SetError;
