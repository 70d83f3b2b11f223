//! Words on the wire: names, message ids, commands, frames, IDENTIFY and errors of NSQ's TCP
//! protocol V2. No I/O, no clock; bytes in, values out, and back.

#![forbid(unsafe_code)]

mod command;
mod error;
mod fields;
mod frame;
mod gate;
mod identify;
pub mod lookup;
mod message_id;
mod names;
mod pair;
mod parts;
mod relocation;

pub use command::{Command, Decoder, Step};
pub use error::ProtocolError;
pub use frame::{
    FRAME_ERROR, FRAME_MESSAGE, FRAME_RESPONSE, HEARTBEAT, MESSAGE_HEADER, push_error,
    push_message, push_response,
};
pub use gate::{Gate, Limits, State};
pub use identify::{IdentifyLimits, IdentifyRequest, Negotiated, Topology};
pub use message_id::{MessageId, NODE_BITS, SEQUENCE_BITS};
pub use names::{is_ephemeral, is_valid_name};
pub use pair::{
    PAIR_FRAME_MAX, PAIR_HEADER, PairAdoption, PairError, PairMessage, PairMirror, PairPosition,
    PairRole,
};

/// What a V2 client sends first.
pub const MAGIC_V2: &[u8; 4] = b"  V2";

/// The NSQ version whose protocol and HTTP API we speak, reported wherever NSQ reports its own.
pub const NSQ_VERSION: &str = "1.3.0";
pub use relocation::{Move, MovedMessage, RELOCATION_VERSION};
