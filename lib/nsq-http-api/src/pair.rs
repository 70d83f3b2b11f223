//! `/pair` of nsqd, from the asking side: how a replication pair stands.

use serde::{Deserialize, Serialize};

/// How one node of a pair stands. Positions are bytes of the respective journal; without a peer all is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairStatus {
    /// Name of the node, and of its peer; no peer is an empty name.
    pub node: String,
    pub peer: String,
    /// 16 hex digits; another one on every new volume.
    pub incarnation: String,
    /// Starts of nsqd on this volume.
    pub run: u64,
    /// The peer has all of this node's messages, both links are up, nothing is being imported.
    pub mirrored: bool,
    /// The peer reads this node's journal.
    pub origin_link: bool,
    /// This node reads the peer's.
    pub holder_link: bool,
    /// Publishing goes on alone, or is refused.
    pub peer_lost: bool,
    pub unmirrored_messages: u64,
    pub unmirrored_bytes: u64,
    /// Nanoseconds since 1970; 0 if there is none.
    pub unmirrored_oldest: i64,
    /// Bytes of journal that the peer has not acknowledged.
    pub lag_bytes: u64,
    /// The peer is sent a list of everything.
    pub listing: bool,
    /// The copy of the peer's journal.
    pub mirror: Option<PairMirror>,
    /// The last adoption of it.
    pub adoption: Option<PairAdoption>,
    /// Adoptions since the start, and messages imported by them.
    pub adoptions: u64,
    pub imported: u64,
}

/// What a node has of its peer's journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairMirror {
    pub node: String,
    pub incarnation: String,
    pub run: u64,
    pub end: u64,
    /// Nothing unfinished of the peer's is missing.
    pub whole: bool,
}

/// What a node took over of its peer's messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairAdoption {
    pub incarnation: String,
    pub run: u64,
    pub through: u64,
    pub done: bool,
}

/// An order to adopt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptOrder<'a> {
    /// Name of the node whose messages are taken over.
    pub node: &'a str,
    /// As they were last seen of that node: an order that comes too late is refused.
    pub incarnation: &'a str,
    pub run: u64,
}
