//! Segment files: names, the header block, and the list of those that exist.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::record::wire::{Fields, put_u8, put_u32, put_u64};
use crate::{JournalError, Lsn};

/// Directory of segments and checkpoints below the data path.
pub(crate) const DIRECTORY: &str = "journal";
/// Bytes before the first record; one page, so that records' writes stay aligned to the file's pages.
pub(crate) const HEADER_BLOCK: u64 = 4096;
/// The header is kept twice, in different sectors: a bad sector must not hide 64 MiB of good records.
pub(crate) const HEADER_COPIES: [usize; 2] = [0, 2048];
/// Newest format this program reads and the one it writes.
pub(crate) const VERSION: u8 = 1;

const MAGIC: &[u8; 8] = b"NSQDJRNL";
const HEADER_BYTES: usize = 8 + 1 + 7 + 4 * 8 + 4;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) incarnation: u64,
    pub(crate) run: u64,
    /// Rising from segment to segment; also the file's name.
    pub(crate) number: u64,
    /// Position of the first record.
    pub(crate) first: Lsn,
}

impl SegmentHeader {
    /// The whole header block, with both copies.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        put_u8(&mut header, VERSION);
        header.extend_from_slice(&[0; 7]);
        for field in [self.incarnation, self.run, self.number, self.first] {
            put_u64(&mut header, field);
        }
        let sum = crc32c::crc32c(&header);
        put_u32(&mut header, sum);
        let mut block = vec![0; HEADER_BLOCK as usize];
        for at in HEADER_COPIES {
            block[at..at + HEADER_BYTES].copy_from_slice(&header);
        }
        block
    }

    /// Reads the header from its block; `None` when neither copy is whole.
    ///
    /// # Errors
    /// [`JournalError::Version`] when the segment was written by a later version.
    pub(crate) fn parse(path: &str, block: &[u8]) -> Result<Option<SegmentHeader>, JournalError> {
        for at in HEADER_COPIES {
            let Some(header) = block.get(at..at + HEADER_BYTES) else {
                continue;
            };
            let (fields, sum) = header.split_at(HEADER_BYTES - 4);
            if &fields[..8] != MAGIC || crc32c::crc32c(fields).to_le_bytes() != sum {
                continue;
            }
            if fields[8] != VERSION {
                return Err(JournalError::Version {
                    path: path.to_owned(),
                    found: fields[8],
                    known: VERSION,
                });
            }
            let mut from = Fields::new(&fields[16..]);
            let mut next = || from.u64().unwrap_or(0);
            let (incarnation, run, number, first) = (next(), next(), next(), next());
            return Ok(Some(SegmentHeader {
                incarnation,
                run,
                number,
                first,
            }));
        }
        Ok(None)
    }
}

/// Path of a file in the journal's directory.
pub(crate) fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

/// Name of a segment in use.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}.log")
}

/// Name of an empty segment kept for later.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:016x}")
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A segment file with records.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) first: Lsn,
    /// Size of the file.
    pub(crate) bytes: u64,
}

/// A preallocated file without records.
#[derive(Clone)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
    /// Was written lately: its blocks are on the disk, its pages probably in memory.
    pub(crate) warm: bool,
}

/// The files of the journal. Segments are in the order of the stream, the last is the one being written.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) spares: Vec<Spare>,
    pub(crate) next_spare: u64,
}

impl Catalog {
    /// Takes out the segments whose records all lie before `keep_from`.
    pub(crate) fn retire(&mut self, keep_from: Lsn) -> Vec<Segment> {
        let mut retired = Vec::new();
        while self
            .segments
            .get(1)
            .is_some_and(|next| next.first <= keep_from)
        {
            retired.extend(self.segments.pop_front());
        }
        retired
    }

    /// Takes out a spare of at least `bytes`, a warm one if there is any.
    pub(crate) fn take_spare(&mut self, bytes: u64) -> Option<Spare> {
        let fitting = self.spares.iter().enumerate();
        let fitting = fitting.filter(|(_, spare)| spare.bytes >= bytes);
        let (at, _) = fitting.max_by_key(|(_, spare)| spare.warm)?;
        Some(self.spares.swap_remove(at))
    }

    /// Size of all files in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.bytes)
            .sum::<u64>()
            + self.spares.iter().map(|spare| spare.bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_loss_of_either_copy_and_no_more() {
        let header = SegmentHeader {
            incarnation: 0xfeed,
            run: 3,
            number: 17,
            first: 4096,
        };
        let whole = header.block();
        assert_eq!(whole.len() as u64, HEADER_BLOCK);
        for at in HEADER_COPIES {
            let mut block = whole.clone();
            block[at + 20] ^= 1;
            assert_eq!(SegmentHeader::parse("s", &block).unwrap(), Some(header));
        }
        let mut block = whole;
        HEADER_COPIES.iter().for_each(|at| block[at + 20] ^= 1);
        assert_eq!(SegmentHeader::parse("s", &block).unwrap(), None);
        assert_eq!(SegmentHeader::parse("s", &[0; 10]).unwrap(), None);
    }

    #[test]
    fn names_carry_numbers() {
        assert_eq!(segment_name(255), "00000000000000ff.log");
        assert_eq!(segment_number("00000000000000ff.log"), Some(255));
        for name in [
            "ff.log",
            "spare-00000000000000ff",
            "checkpoint-1",
            "zz000000000000ff.log",
        ] {
            assert_eq!(segment_number(name), None);
        }
    }
}
