//! The HTTP APIs of nsqd and nsqlookupd: what their JSON looks like, and a small client for both.
//!
//! The shapes serve both sides. A server fills and serialises them; key names *and key order* are
//! NSQ 1.3's, byte for byte, because dashboards, exporters and autoscalers parse them. A client reads
//! them leniently: a key that an older or newer server leaves out takes its zero value, `null` lists
//! are kept apart from empty ones only where NSQ itself does so, and unknown keys are ignored.
//!
//! - [`stats`]: `/stats?format=json` of nsqd.
//! - [`Info`]: `/info` of nsqd; [`PairStatus`]: its `/pair`; [`DrainStatus`]: its `/drain`.
//! - [`Lookup`], [`Node`], [`Topics`], [`Channels`]: what nsqlookupd answers.
//! - [`AuthClient`]: what nsqd asks auth servers.
//! - [`Client`]: asks either of them, every request bounded in time and size.

mod auth;
mod client;
mod drain;
mod error;
mod go_float;
mod nsqd;
mod nsqlookupd;
mod pair;
pub mod stats;
mod tls;

pub use auth::{AuthAnswer, AuthClient, AuthMethod, AuthQuestion, Authorization};
pub use client::{Client, ClientOptions};
pub use drain::{DrainStatus, DrainingChannel, DrainingTopic};
pub use error::{Error, ErrorKind};
pub use nsqd::{Info, Nsqd, StatsQuery};
pub use nsqlookupd::{Channels, Lookup, LookupInfo, Node, Nodes, Nsqlookupd, Producer, Topics};
pub use pair::{
    AdoptAfterStatus, AdoptOrder, AdoptionStatus, MirrorStatus, PairStatus, WitnessStatus,
};
pub use stats::Stats;
pub use tls::{AnyServer, TlsClient, TlsOptions, TlsSetupError};

use serde::{Deserialize, Serialize};

/// The JSON body of every error answer of every NSQ server: `{"message":"TOPIC_NOT_FOUND"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// NSQ's code, such as `MISSING_ARG_TOPIC`; see the server's documentation for the set.
    pub message: String,
}

/// Reads `null` as the default value, for Go's `nil` slices where we do not tell them from empty ones.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
