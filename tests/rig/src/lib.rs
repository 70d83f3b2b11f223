//! What benchmarks and chaos tests stand on: a real nsqd as a process, ours or the Go original,
//! and a small blocking client that speaks to both alike. It shares no code with what it judges.

mod carrier;
mod command;
mod connection;
mod http;
mod process;

pub use carrier::Carrier;
pub use command::{push_dpub, push_fin, push_mpub, push_pub, push_req};
pub use connection::{Connection, Frame};
pub use process::{Program, Server};

/// What a process can be sent.
pub use rustix::process::Signal;
