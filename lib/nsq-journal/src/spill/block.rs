//! A block of spilled messages on disk.
//!
//! ```text
//! 0   u32  magic "SPL1"
//! 4   u32  topic
//! 8   u32  file
//! 12  u32  number of messages
//! 16  u64  offset of the block in its file
//! 24  u64  id of the first message
//! 32  u64  place of the first message in its topic's backlog
//! 40  u32  bytes of bodies
//! 44  u32  CRC-32C of bytes 0..44 and everything after 48
//! 48  per message: i64 timestamp, i64 due, u32 length
//! ..  the bodies, one after the other
//! ```
//! Topic, file and offset are part of what is summed: a block read from the wrong place is no block.

use std::sync::Arc;

use crate::chunk::Chunk;
use crate::record::wire::{Fields, put_i64, put_u32, put_u64};

use super::{SpillBlock, SpillEntry, SpillRef};

const MAGIC: u32 = u32::from_le_bytes(*b"SPL1");
const HEADER: usize = 48;
const SUM_AT: usize = 44;
const ENTRY: usize = 20;

/// Encodes a block for the given place; `None` when entries and bodies do not match.
pub(super) fn encode<'a>(
    topic: u32,
    file: u32,
    offset: u64,
    block: &SpillBlock<'_>,
    bodies: impl Iterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    let bodies_bytes: u64 = block.entries.iter().map(|entry| u64::from(entry.len)).sum();
    let count = u32::try_from(block.entries.len()).ok()?;
    let mut out = Vec::with_capacity(
        HEADER + block.entries.len() * ENTRY + usize::try_from(bodies_bytes).ok()?,
    );
    for word in [MAGIC, topic, file, count] {
        put_u32(&mut out, word);
    }
    for word in [offset, block.first_id, block.first_pos] {
        put_u64(&mut out, word);
    }
    put_u32(&mut out, u32::try_from(bodies_bytes).ok()?);
    put_u32(&mut out, 0);
    for entry in block.entries {
        put_i64(&mut out, entry.timestamp);
        put_u64(&mut out, entry.base);
        put_u32(&mut out, entry.len);
    }
    let mut entries = block.entries.iter();
    for body in bodies {
        if entries.next()?.len as usize != body.len() {
            return None;
        }
        out.extend_from_slice(body);
    }
    if entries.next().is_some() {
        return None;
    }
    let sum = sum(&out);
    out[SUM_AT..HEADER].copy_from_slice(&sum.to_le_bytes());
    Some(out)
}

fn sum(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..SUM_AT]), &block[HEADER..])
}

/// A block read back.
#[derive(Debug, Clone)]
pub struct LoadedBlock {
    /// Id of the first message.
    pub first_id: u64,
    /// Place of the first message in its topic's backlog.
    pub first_pos: u64,
    /// The messages, in order.
    pub entries: Vec<SpillEntry>,
    /// Where each body begins in `chunk`.
    pub offsets: Vec<u32>,
    /// Holds the bodies, and nothing but this block.
    pub chunk: Arc<Chunk>,
}

/// Decodes the block that fills `chunk`; `None` when it is not the one that was written at `place`.
pub(super) fn decode(place: &SpillRef, chunk: &Arc<Chunk>) -> Option<LoadedBlock> {
    let block = chunk.bytes(0, chunk.len());
    let mut from = Fields::new(block.get(..HEADER)?);
    let head = [from.u32()?, from.u32()?, from.u32()?];
    let (count, offset) = (from.u32()?, from.u64()?);
    let (first_id, first_pos) = (from.u64()?, from.u64()?);
    let (bodies_bytes, stored_sum) = (from.u32()?, from.u32()?);
    if head != [MAGIC, place.topic, place.file]
        || offset != place.offset
        || stored_sum != sum(block)
    {
        return None;
    }
    let bodies_at = (count as usize).checked_mul(ENTRY)?.checked_add(HEADER)?;
    if bodies_at.checked_add(bodies_bytes as usize)? != block.len() {
        return None;
    }
    let mut from = Fields::new(&block[HEADER..bodies_at]);
    let (mut entries, mut offsets) = (
        Vec::with_capacity(count as usize),
        Vec::with_capacity(count as usize),
    );
    let mut at = bodies_at as u32;
    for _ in 0..count {
        let entry = SpillEntry {
            timestamp: from.i64()?,
            base: from.u64()?,
            len: from.u32()?,
        };
        offsets.push(at);
        at = at.checked_add(entry.len)?;
        entries.push(entry);
    }
    (at as usize == block.len()).then(|| LoadedBlock {
        first_id,
        first_pos,
        entries,
        offsets,
        chunk: Arc::clone(chunk),
    })
}
