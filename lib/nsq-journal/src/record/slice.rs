//! A stretch of a journal's records outside of that journal: on its way to the peer, and within a mirror record.
//!
//! ```text
//! per piece:
//! 0   u64  LSN of the first record
//! 8   u32  bytes of records
//! 12  u32  zero
//! 16       the records, as they stand in the journal
//! ```
//! Between pieces lies what a peer is not sent: its own records, which the journal has as a mirror.

use super::Record;
use super::frame::{self, HEADER, Header, Seed};
use super::payload::MIRROR_CODES;
use super::wire::{Fields, put_u32, put_u64};
use crate::Lsn;

/// Bytes before the records of a piece.
const PIECE: usize = 16;

/// A record within a slice.
#[derive(Debug, Clone, Copy)]
pub struct SliceRecord<'a> {
    /// Where it begins in the journal it was written to.
    pub lsn: Lsn,
    /// Where it ends there.
    pub end: Lsn,
    /// What it says.
    pub record: Record<'a>,
    /// Where its payload begins in the chunk.
    pub payload_at: u32,
}

/// A record's header, its LSN and payload, and where the payload begins in the slice.
type Found<'a> = (Header, Lsn, &'a [u8], usize);

/// Goes through the records; ends early where the bytes are no slice.
struct Walk<'a> {
    slice: &'a [u8],
    offset: usize,
    piece_end: usize,
    lsn: Lsn,
    read: fn(Option<Seed>, Lsn, &[u8]) -> Option<Header>,
    seed: Option<Seed>,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Option<Found<'a>> {
        if self.offset == self.piece_end {
            let mut fields = Fields::new(self.slice.get(self.offset..)?);
            let (lsn, len) = (fields.u64()?, fields.u32()?);
            fields.u32()?;
            self.offset += PIECE;
            self.piece_end = self.offset.checked_add(len as usize)?;
            self.lsn = lsn;
        }
        let records = self.slice.get(self.offset..self.piece_end)?;
        let header = (self.read)(self.seed, self.lsn, records)?;
        let payload = records.get(HEADER..HEADER + header.len as usize)?;
        records.get(..header.framed())?;
        let found = (header, self.lsn, payload, self.offset + HEADER);
        self.offset += header.framed();
        self.lsn += header.framed() as u64;
        Some(found)
    }
}

/// The records of a slice that lies at `at` in its chunk. Places and checksums are believed: see [`check_slice`].
pub fn slice_records(slice: &[u8], at: u32) -> impl Iterator<Item = SliceRecord<'_>> {
    let mut walk = Walk {
        slice,
        offset: 0,
        piece_end: 0,
        lsn: 0,
        read: |_, _, records| frame::read(records),
        seed: None,
    };
    std::iter::from_fn(move || {
        loop {
            let (header, lsn, payload, offset) = walk.next()?;
            let payload_at = at + offset as u32;
            // What was checked decodes; what does not comes from a later version and is passed over.
            if let Some(record) = Record::decode(header.code, payload, payload_at) {
                return Some(SliceRecord {
                    lsn,
                    end: lsn + header.framed() as u64,
                    record,
                    payload_at,
                });
            }
        }
    })
}

/// Whether a slice consists of whole, unaltered records that this run of this incarnation wrote within `[from, to)`, in
/// order.
pub fn check_slice(incarnation: u64, run: u64, from: Lsn, to: Lsn, slice: &[u8]) -> bool {
    let mut walk = Walk {
        slice,
        offset: 0,
        piece_end: 0,
        lsn: 0,
        read: |seed, lsn, records| frame::parse(seed?, lsn, records),
        seed: Some(Seed::new(incarnation, run)),
    };
    let mut at = from;
    while walk.offset < slice.len() {
        let Some((header, lsn, payload, _)) = walk.next() else {
            return false;
        };
        let whole = header.matches(payload) && Record::decode(header.code, payload, 0).is_some();
        if !whole || lsn < at || MIRROR_CODES.contains(&header.code) {
            return false;
        }
        at = lsn + header.framed() as u64;
    }
    at <= to
}

/// Builds a slice of consecutive records.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    slice: Vec<u8>,
    /// Where the last piece begins, and the LSN behind it.
    piece: Option<(usize, Lsn)>,
}

impl Builder {
    /// Adds a whole framed record; one that belongs to a mirror is left out.
    pub(crate) fn push(&mut self, code: u8, lsn: Lsn, framed: &[u8]) {
        if MIRROR_CODES.contains(&code) {
            return;
        }
        let end = lsn + framed.len() as u64;
        let at = match self.piece {
            Some((at, piece_end)) if piece_end == lsn => at,
            _ => {
                let at = self.slice.len();
                put_u64(&mut self.slice, lsn);
                put_u32(&mut self.slice, 0);
                put_u32(&mut self.slice, 0);
                at
            }
        };
        self.piece = Some((at, end));
        self.slice.extend_from_slice(framed);
        let len = (self.slice.len() - at - PIECE) as u32;
        self.slice[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.slice
    }
}
