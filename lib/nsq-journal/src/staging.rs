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

/// Bodies whose size is known, and perhaps their checksum.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    pub(crate) bodies: Bodies<'a>,
    /// Of the bodies area.
    pub(crate) bytes: u64,
    crc: Option<u32>,
}

impl Measured<'_> {
    /// Checksum of the bodies area.
    pub(crate) fn crc(&self) -> Result<u32, JournalError> {
        match self.crc {
            Some(crc) => Ok(crc),
            None => Ok(self.bodies.sum()?.crc.unwrap_or_default()),
        }
    }
}

const OUTSIDE: JournalError = JournalError::Invalid("a body lies outside its buffer");

impl<'a> Bodies<'a> {
    /// Calls `take` with the bodies area, for each body its length and its bytes, piece by piece. Where bodies
    /// stand in the buffer as they do in the area, which is how PUB and MPUB bring them, a piece is as long as they
    /// follow each other: summing and copying then costs little more than for one large body.
    fn pieces(&self, mut take: impl FnMut(&[u8])) -> Result<(), JournalError> {
        let mut piece: Option<(usize, usize)> = None;
        for &(offset, len) in self.ranges {
            let (from, length) = (offset as usize, len.to_be_bytes());
            let to = from + len as usize;
            let body = self.buffer.get(from..to).ok_or(OUTSIDE)?;
            match from.checked_sub(length.len()) {
                Some(start) if self.buffer[start..from] == length => match &mut piece {
                    Some((_, end)) if *end == start => *end = to,
                    _ => {
                        if let Some((first, end)) = piece.replace((start, to)) {
                            take(&self.buffer[first..end]);
                        }
                    }
                },
                _ => {
                    if let Some((first, end)) = piece.take() {
                        take(&self.buffer[first..end]);
                    }
                    take(&length);
                    take(body);
                }
            }
        }
        if let Some((first, end)) = piece {
            take(&self.buffer[first..end]);
        }
        Ok(())
    }

    /// What has to be known of the bodies before they are given a place, found out before any lock is taken.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] when a range is not in the buffer.
    pub fn measure(self) -> Result<Measured<'a>, JournalError> {
        let mut bytes = 0;
        self.pieces(|piece| bytes += piece.len() as u64)?;
        Ok(Measured {
            bodies: self,
            bytes,
            crc: None,
        })
    }

    /// [`Bodies::measure`], for a journal: with their checksum.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] when a range is not in the buffer.
    pub fn sum(self) -> Result<Measured<'a>, JournalError> {
        let (mut bytes, mut crc) = (0, 0);
        self.pieces(|piece| {
            crc = crc32c::crc32c_append(crc, piece);
            bytes += piece.len() as u64;
        })?;
        Ok(Measured {
            bodies: self,
            bytes,
            crc: Some(crc),
        })
    }

    /// Writes the area, which has the size that was measured.
    pub(crate) fn copy_to(&self, area: &mut [u8]) {
        let mut at = 0;
        // Ranges outside the buffer were refused when the area was measured.
        let _ = self.pieces(|piece| {
            area[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of 3 and one of 2 bytes, as in `MPUB`, then one behind something else, then a part of the first.
    const BUFFER: &[u8] = b"\0\0\0\x03abc\0\0\0\x02deMPUBx";
    const RANGES: &[(u32, u32)] = &[(4, 3), (11, 2), (17, 1), (5, 1), (0, 0)];

    #[test]
    fn the_area_is_the_same_whether_bodies_bring_their_lengths_or_not() {
        let bodies = Bodies {
            buffer: BUFFER,
            ranges: RANGES,
        };
        let wanted = b"\0\0\0\x03abc\0\0\0\x02de\0\0\0\x01x\0\0\0\x01b\0\0\0\0";
        for measured in [bodies.measure().unwrap(), bodies.sum().unwrap()] {
            assert_eq!(measured.bytes, wanted.len() as u64);
            assert_eq!(measured.crc().unwrap(), crc32c::crc32c(wanted));
        }
        let mut area = vec![0xff; wanted.len()];
        bodies.copy_to(&mut area);
        assert_eq!(area, wanted);
        let mut pieces = 0;
        bodies.pieces(|_| pieces += 1).unwrap();
        assert_eq!(pieces, 7, "two bodies in one, the others and their lengths");
    }

    #[test]
    fn what_lies_outside_the_buffer_is_refused() {
        for range in [(18, 1), (0, 19), (u32::MAX, u32::MAX)] {
            let ranges = &[(4, 3), range];
            let buffer = BUFFER;
            let bodies = Bodies { buffer, ranges };
            assert!(bodies.measure().is_err() && bodies.sum().is_err());
        }
    }
}
