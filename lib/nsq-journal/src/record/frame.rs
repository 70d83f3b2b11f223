//! The frame around a payload: 16 bytes of header, the payload, zeros up to a multiple of 8.
//!
//! ```text
//! 0   u32  payload length in bytes
//! 4   u8   record code
//! 5   u8*3 zero
//! 8   u32  CRC-32C of the payload
//! 12  u32  CRC-32C of incarnation, run, LSN of this record, and bytes 0..12
//! ```
//! The header's sum starts from the place the record was written for. Old bytes in a recycled segment, the tail
//! of a run that a power cut undid, another volume's file: all fail the sum though their own bytes are whole.

use super::payload::CODE_MAX;
use crate::Lsn;

/// Bytes before the payload.
pub(crate) const HEADER: usize = 16;
/// Records begin at multiples of this, in the stream and, since segments' headers are multiples too, in files.
pub(crate) const ALIGN: usize = 8;

/// The part of the header's sum that is the same for all records of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(incarnation: u64, run: u64) -> Seed {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&incarnation.to_le_bytes());
        bytes[8..].copy_from_slice(&run.to_le_bytes());
        Seed(crc32c::crc32c(&bytes))
    }

    fn sum(self, lsn: Lsn, head: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &lsn.to_le_bytes()), head)
    }
}

/// Size of a whole record with a payload of `payload` bytes.
pub(crate) const fn framed(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Makes the header for a record at `lsn`. `len` is the payload's length, which fits in `u32`.
pub(crate) fn header(seed: Seed, lsn: Lsn, code: u8, len: u32, payload_crc: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0..4].copy_from_slice(&len.to_le_bytes());
    header[4] = code;
    header[8..12].copy_from_slice(&payload_crc.to_le_bytes());
    let sum = seed.sum(lsn, &header[..12]);
    header[12..16].copy_from_slice(&sum.to_le_bytes());
    header
}

/// A header that passed its sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) code: u8,
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
}

impl Header {
    /// Size of the whole record.
    pub(crate) fn framed(&self) -> usize {
        framed(self.len as usize)
    }

    /// True when the payload is the one that was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && crc32c::crc32c(payload) == self.payload_crc
    }
}

/// Reads the header of a record that was written at `lsn` by a run with this seed, if it is one.
pub(crate) fn parse(seed: Seed, lsn: Lsn, bytes: &[u8]) -> Option<Header> {
    let header = bytes.first_chunk::<HEADER>()?;
    let found = read(bytes)?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    (word(12) == seed.sum(lsn, &header[..12])).then_some(found)
}

/// Reads a header whose sum was checked before.
pub(crate) fn read(bytes: &[u8]) -> Option<Header> {
    let header = bytes.first_chunk::<HEADER>()?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let code = header[4];
    let known = (1..=CODE_MAX).contains(&code) && header[5..8] == [0; 3];
    known.then(|| Header {
        code,
        len: word(0),
        payload_crc: word(8),
    })
}
