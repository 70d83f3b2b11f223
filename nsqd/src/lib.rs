//! nsqd: queues and delivers messages.
//!
//! A publish goes: connection -> decoder -> topic (under its lock: journal's memory, queue) ->
//! commit -> OK and wake-ups. A delivery is a pull by the consumer's own connection. See
//! ARCHITECTURE.md for the whole way.

mod announce;
mod channels;
mod checkpoint;
mod client;
mod clock;
mod connection;
mod host;
mod journal_log;
mod limits;
mod live_topic;
pub mod lookup;
mod memory_budget;
mod nsqd;
pub mod options;
mod pager;
mod recovery;
mod server;
mod timers;

pub use announce::{Announcer, Change};
pub use channels::NoSuchChannel;
pub use client::{Client, Identity};
pub use clock::Clock;
pub use live_topic::{Kept, LiveTopic};
pub use nsqd::Nsqd;
pub use server::{ServeError, Server};
