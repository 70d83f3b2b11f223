//! Compression between a connection and its socket: snappy's framing format and deflate, as NSQ's IDENTIFY agrees on
//! them. Both ends of a connection use the same.

#![forbid(unsafe_code)]

mod codec;
mod snappy;

pub use codec::{Codec, Compression};
