//! `/pair` of nsqd: how a replication pair stands. `/stats?format=json` has the same under `pair`, where there is a peer.

use serde::{Deserialize, Serialize};

/// The whole answer. Positions are bytes of the respective journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct PairStatus {
    pub node: String,
    /// Empty without one.
    pub peer: String,
    /// 16 hexadecimal digits.
    pub incarnation: String,
    pub run: u64,
    /// The peer has all of this node's messages that were acknowledged or taken over, this node is connected to it both ways, and nothing is being
    /// imported. When both nodes say so, either disk may be lost.
    pub mirrored: bool,
    /// The peer reads this journal.
    pub origin_link: bool,
    /// This node reads the peer's.
    pub holder_link: bool,
    /// OKs do not wait for the peer, or are refused: it has not acknowledged for too long.
    pub peer_lost: bool,
    /// Messages, and bytes of them, that only this node has as far as it knows: lost with its disk.
    pub unmirrored_messages: u64,
    pub unmirrored_bytes: u64,
    /// When the oldest of them was published, nanoseconds since 1970; 0 if there is none.
    pub unmirrored_oldest: i64,
    /// Messages the peer has not acknowledged. Differs from `unmirrored_messages` while a list is sent.
    pub lag_messages: u64,
    /// Bytes of journal the peer has not acknowledged.
    pub lag_bytes: u64,
    /// How long ago the peer had everything, at most.
    pub lag_seconds: f64,
    /// The peer is sent a list of everything.
    pub listing: bool,
    pub mirror: Option<MirrorStatus>,
    pub adoption: Option<AdoptionStatus>,
    /// With `--adopt-after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt_after: Option<AdoptAfterStatus>,
    /// Totals since the start, as all that follow.
    pub records_sent: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub adoptions: u64,
    /// Messages taken over by adoptions.
    pub imported: u64,
    /// Deliveries that adoptions may have repeated: messages taken over that the peer had delivered before, on each
    /// channel.
    pub duplicates_expected: u64,
    /// Hand-overs: times that messages were let go because the peer owns them.
    pub released: u64,
    pub listings: u64,
    /// Times that the peer was given up for lost.
    pub losses: u64,
}

/// The copy of the peer's journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct MirrorStatus {
    /// Whose.
    pub node: String,
    pub incarnation: String,
    /// How far it goes.
    pub run: u64,
    pub end: u64,
    /// Nothing unfinished of the peer's is missing.
    pub whole: bool,
}

/// The last adoption.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct AdoptionStatus {
    /// Of which incarnation of the peer.
    pub incarnation: String,
    /// Up to where.
    pub run: u64,
    pub through: u64,
    /// Every message was taken over.
    pub done: bool,
}

/// How far a node with `--adopt-after` is from adopting its peer by itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct AdoptAfterStatus {
    /// As configured.
    pub seconds: f64,
    /// For how long the peer has not been heard of over a link; 0 while one is up.
    pub silent_seconds: f64,
    /// Why it does not adopt now, in words.
    pub waits_for: String,
    /// Adoptions that nobody ordered, since the start.
    pub adoptions: u64,
    /// The nsqlookupds, which are asked whether they have heard of the peer.
    pub witnesses: Vec<WitnessStatus>,
}

/// What an nsqlookupd said about the peer when it was last asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct WitnessStatus {
    /// TCP address.
    pub address: String,
    /// `heard`: within the time, so nobody adopts. `silent`: not within the time. What follows counts for nothing.
    /// `unanswered`; `young`: this node is not connected to it for long enough; `stranger`: it did not know the peer
    /// while that was linked.
    pub says: String,
    /// How long ago it may have heard of the peer for the last time; not longer than it has been asked.
    pub heard_seconds: Option<f64>,
    /// For how long this node has been connected to it.
    pub connected_seconds: Option<f64>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
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
