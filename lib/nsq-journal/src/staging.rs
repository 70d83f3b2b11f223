//! Where records get their place in the stream. Everything here happens under the staging lock and is
//! short: reserve, copy, count. No I/O, and no allocation while the chunk pool has a spare.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunk::{CHUNK_BYTES_MAX, Chunk, ChunkPool, ChunkWriter};
use crate::record::frame;
use crate::{JournalError, Lsn};

/// Largest payload of a record.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = (CHUNK_BYTES_MAX - frame::HEADER - frame::ALIGN) as u64;

/// Bytes of one chunk that are to be written next.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Set when a new segment with room for this many bytes of records begins here.
    pub(crate) begins: Option<u64>,
}

impl Slice {
    /// Position of the first byte.
    pub(crate) fn lsn(&self) -> Lsn {
        self.chunk.base() + u64::from(self.from)
    }
}

/// The end of the stream and what of it was not yet taken for writing.
pub(crate) struct Staging {
    pool: Arc<ChunkPool>,
    tail: Lsn,
    writer: Option<ChunkWriter>,
    /// Bytes of records that still fit in the segment of the tail.
    segment_left: u64,
    /// Bytes of records in an ordinary segment.
    segment_room: u64,
    /// Room of the segment that the next record opens, if one was prepared at start.
    first_room: Option<u64>,
    pending: VecDeque<Slice>,
}

/// Where a record went.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) lsn: Lsn,
    pub(crate) end: Lsn,
    pub(crate) chunk: Arc<Chunk>,
    /// Offset of the record's header in the chunk.
    pub(crate) at: u32,
}

impl Staging {
    /// Goes on at `tail`; the first record opens a segment with room for `first_room` bytes.
    pub(crate) fn new(
        pool: Arc<ChunkPool>,
        tail: Lsn,
        segment_room: u64,
        first_room: u64,
    ) -> Staging {
        Staging {
            pool,
            tail,
            writer: None,
            segment_left: 0,
            segment_room,
            first_room: Some(first_room),
            pending: VecDeque::new(),
        }
    }

    /// Gives a record of `size` bytes (framed) its place and lets `fill` write it there.
    pub(crate) fn place(&mut self, size: usize, fill: impl FnOnce(Lsn, &mut [u8])) -> Spot {
        let mut begins = None;
        if size as u64 > self.segment_left {
            // A record never spans segments; one that fits in none gets one of its own.
            let room = self
                .first_room
                .take()
                .unwrap_or(self.segment_room)
                .max(size as u64);
            self.segment_left = room;
            begins = Some(room);
        }
        let writer = match self.writer.take() {
            Some(writer) if begins.is_none() && writer.room() >= size => writer,
            _ => self.pool.chunk(self.tail, size),
        };
        let writer = self.writer.insert(writer);
        let (lsn, at) = (self.tail, writer.filled());
        fill(lsn, &mut writer.unfilled()[..size]);
        writer.advance(size);
        self.tail += size as u64;
        self.segment_left -= size as u64;
        let chunk = Arc::clone(writer.chunk());
        let to = at + size as u32;
        match self.pending.back_mut() {
            Some(last) if last.to == at && Arc::ptr_eq(&last.chunk, &chunk) => last.to = to,
            _ => self.pending.push_back(Slice {
                chunk: Arc::clone(&chunk),
                from: at,
                to,
                begins,
            }),
        }
        Spot {
            lsn,
            end: self.tail,
            chunk,
            at,
        }
    }

    /// End of the stream.
    pub(crate) fn tail(&self) -> Lsn {
        self.tail
    }

    /// Moves what waits to be written to the end of `into`.
    pub(crate) fn take(&mut self, into: &mut VecDeque<Slice>) {
        into.append(&mut self.pending);
    }
}

/// The bodies of a publish, each a range of one buffer: usually a connection's read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Bodies<'a> {
    /// What was read.
    pub buffer: &'a [u8],
    /// Offset and length of each body in `buffer`.
    pub ranges: &'a [(u32, u32)],
}

const OUTSIDE: JournalError = JournalError::Invalid("a body lies outside its buffer");

impl<'a> Bodies<'a> {
    fn get(&self, range: (u32, u32)) -> Option<&'a [u8]> {
        self.buffer.get(range.0 as usize..)?.get(..range.1 as usize)
    }

    /// Bytes of the bodies area.
    pub(crate) fn area_bytes(&self) -> Result<u64, JournalError> {
        let mut bytes = 0u64;
        for &range in self.ranges {
            self.get(range).ok_or(OUTSIDE)?;
            bytes += 4 + u64::from(range.1);
        }
        Ok(bytes)
    }

    /// Bytes of the bodies area and its checksum continued from `crc`.
    pub(crate) fn measure(&self, mut crc: u32) -> Result<(u64, u32), JournalError> {
        let mut bytes = 0u64;
        for &range in self.ranges {
            let body = self.get(range).ok_or(OUTSIDE)?;
            crc = crc32c::crc32c_append(crc, &range.1.to_le_bytes());
            crc = crc32c::crc32c_append(crc, body);
            bytes += 4 + body.len() as u64;
        }
        Ok((bytes, crc))
    }

    /// Writes the area: for each body its length and its bytes. `measure` has checked the ranges.
    pub(crate) fn copy_to(&self, mut area: &mut [u8]) {
        for &range in self.ranges {
            let Some(body) = self.get(range) else { return };
            let (head, rest) = area.split_at_mut(4 + body.len());
            head[..4].copy_from_slice(&range.1.to_le_bytes());
            head[4..].copy_from_slice(body);
            area = rest;
        }
    }
}

/// Where published bodies lie.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Position of the record; 0 outside a journal.
    pub lsn: Lsn,
    /// Position after it: the record is written or durable once that has reached this.
    pub end: Lsn,
    /// Holds the bodies.
    pub chunk: Arc<Chunk>,
    /// Offset in the chunk of the first body's `u32` length; its bytes follow, then the next length.
    pub bodies_at: u32,
}
