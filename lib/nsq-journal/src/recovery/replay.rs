//! Going through the segments in order and handing out their records.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunk::{ChunkPool, ChunkWriter};
use crate::disk::Disk;
use crate::record::frame::{self, HEADER, Header, Seed};
use crate::segment::{DIRECTORY, HEADER_BLOCK, Segment, SegmentHeader, path};
use crate::{JournalError, Lsn, Record};

use super::files::{Found, SegmentFile};
use super::quarantine::Quarantine;
use super::scan::Span;

/// Replays checkpoint and segments; returns the segments to keep and the end of the stream.
pub(crate) fn run(
    pool: &Arc<ChunkPool>,
    found: &Found,
    quarantine: &mut Quarantine<'_>,
) -> Result<(VecDeque<Segment>, Lsn), JournalError> {
    let mut at = 0;
    if let Some(checkpoint) = &found.checkpoint {
        let refused = |why| JournalError::Replay { lsn: 0, why };
        quarantine
            .replay
            .checkpoint(&checkpoint.state)
            .map_err(refused)?;
        quarantine.recovery.from_checkpoint = true;
        at = checkpoint.keep_from;
    }
    let mut kept: VecDeque<Segment> = VecDeque::new();
    let mut run = 0;
    for (index, segment) in found.segments.iter().enumerate() {
        let Some(header) = place(segment, found.incarnation, run, at) else {
            discard(segment, quarantine)?;
            continue;
        };
        if segment.header.is_none() {
            restore(segment, &header)?;
        }
        run = header.run;
        let room = segment.bytes.saturating_sub(HEADER_BLOCK);
        let next = found.segments[index + 1..]
            .iter()
            .find_map(|later| later.header)
            .map(|later| later.first);
        let capacity_end = header.first + room;
        let limit = next.map_or(capacity_end, |next| next.clamp(header.first, capacity_end));
        kept.push_back(Segment {
            name: segment.name.clone(),
            first: header.first,
            bytes: segment.bytes,
        });
        if limit <= at && next.is_some() {
            continue;
        }
        if header.first > at {
            quarantine.report(at, header.first, "a segment is missing");
            at = header.first;
        }
        let span = Span {
            file: &*segment.file,
            seed: Seed::new(found.incarnation, run),
            first: header.first,
            limit,
        };
        // Where the following segment is missing, this one may have ended anywhere.
        let is_open_ended = next.is_none_or(|next| next > capacity_end);
        at = Reader {
            pool,
            segment,
            span,
            quarantine,
            piece: pool.standard(),
        }
        .records(at.min(limit), is_open_ended)?;
        if next.is_none() {
            cut(segment, &span, at, quarantine, &mut kept)?;
        }
    }
    Ok((kept, at))
}

/// Makes what was replayed durable. After a mere crash of the process some of it is in the kernel only; the new run
/// will never sync these files again, yet builds on them.
pub(crate) fn settle(disk: &dyn Disk, found: &Found) -> Result<(), JournalError> {
    for segment in &found.segments {
        segment
            .file
            .sync_data()
            .map_err(|error| JournalError::io("sync", &path(&segment.name), &error))?;
    }
    disk.sync_dir(DIRECTORY)
        .map_err(|error| JournalError::io("sync", DIRECTORY, &error))
}

/// The segment's header; without one, what it must have been if its first record is readable.
fn place(segment: &SegmentFile, incarnation: u64, run: u64, at: Lsn) -> Option<SegmentHeader> {
    if segment.header.is_some() {
        return segment.header;
    }
    let limit = at + segment.bytes.saturating_sub(HEADER_BLOCK);
    let guess = |run| {
        let span = Span {
            file: &*segment.file,
            seed: Seed::new(incarnation, run),
            first: at,
            limit,
        };
        let mut head = [0; HEADER];
        let read = span.read(at, &mut head);
        let header = SegmentHeader {
            incarnation,
            run,
            number: segment.number,
            first: at,
        };
        frame::parse(span.seed, at, &head[..read]).map(|_| header)
    };
    guess(run).or_else(|| guess(run + 1))
}

/// Writes a header that was worked out: what it was worked out from may be gone next time.
fn restore(segment: &SegmentFile, header: &SegmentHeader) -> Result<(), JournalError> {
    let written = segment.file.pwrite(0, &header.block());
    written.map_err(|error| JournalError::io("write to", &path(&segment.name), &error))
}

/// Takes away a segment of which nothing can be read. One whose header block is blank was begun just before the
/// power failed: header and records become durable together, so nothing promised is in it.
fn discard(segment: &SegmentFile, quarantine: &mut Quarantine<'_>) -> Result<(), JournalError> {
    if !segment.is_blank {
        let why = "neither header nor records of the segment are readable";
        return quarantine.set_aside(&segment.name, why);
    }
    let path = path(&segment.name);
    quarantine
        .disk
        .remove(&path)
        .map_err(|error| JournalError::io("remove", &path, &error))
}

/// Ends the last segment where its records end. What was torn there is copied first if it was a record of ours.
fn cut(
    segment: &SegmentFile,
    span: &Span<'_>,
    end: Lsn,
    quarantine: &mut Quarantine<'_>,
    kept: &mut VecDeque<Segment>,
) -> Result<(), JournalError> {
    let mut head = [0; HEADER];
    let read = span.read(end, &mut head);
    if let Some(header) = frame::parse(span.seed, end, &head[..read]) {
        let torn = (header.framed() as u64).min(span.limit - end);
        quarantine.recovery.torn_tail_bytes += torn;
        quarantine.copy(span, end, end + torn)?;
    }
    let bytes = span.offset(end);
    let path = path(&segment.name);
    segment
        .file
        .set_len(bytes)
        .map_err(|error| JournalError::io("cut", &path, &error))?;
    if let Some(last) = kept.back_mut() {
        last.bytes = bytes;
    }
    Ok(())
}

struct Reader<'r, 'q> {
    pool: &'r Arc<ChunkPool>,
    segment: &'r SegmentFile,
    span: Span<'r>,
    quarantine: &'r mut Quarantine<'q>,
    /// How much is read into the next chunk. Little behind damage: where there is much of it each chunk holds few
    /// records, and a message of one keeps all of its memory.
    piece: usize,
}

/// What is read first behind damage.
const PIECE_MIN: usize = 4096;

impl Reader<'_, '_> {
    /// Hands out the records from `at` on; returns where they end. Bytes after the last record are damage, unless
    /// nothing says where the segment ended: then they may be the torn tail, or were never used.
    fn records(&mut self, mut at: Lsn, is_open_ended: bool) -> Result<Lsn, JournalError> {
        while at < self.span.limit {
            let (next, damaged) = self.chunk(at)?;
            at = next;
            if !damaged {
                self.piece = (2 * self.piece).min(self.pool.standard());
                continue;
            }
            self.piece = PIECE_MIN.min(self.pool.standard());
            let resume = match self.span.next_record(at) {
                Some(resume) => resume,
                None if is_open_ended => return Ok(at),
                None => self.span.limit,
            };
            self.quarantine
                .damaged(self.segment, &self.span, at, resume)?;
            at = resume;
        }
        Ok(at)
    }

    /// Reads one chunk and hands out its whole records. Returns where they end, and whether what follows is damaged.
    fn chunk(&mut self, at: Lsn) -> Result<(Lsn, bool), JournalError> {
        let mut writer = self.pool.exact(at, self.piece);
        let mut read = self.span.read(at, &mut writer.unfilled()[..self.piece]);
        let mut found = self.whole_records(at, &writer.unfilled()[..read]);
        if let (0, Ending::Beyond(size)) = (found.bytes, found.ending) {
            writer = self.pool.chunk(at, size);
            read = self.span.read(at, &mut writer.unfilled()[..size]);
            found = self.whole_records(at, &writer.unfilled()[..read]);
        }
        writer.advance(found.bytes);
        self.hand_out(at, &writer, &found.records)?;
        let damaged = match found.ending {
            Ending::Clean => read == 0,
            Ending::Damaged => true,
            // Cannot be longer than what is left: that counts as damaged.
            Ending::Beyond(_) => found.bytes == 0,
        };
        Ok((at + found.bytes as u64, damaged))
    }

    fn whole_records(&self, base: Lsn, data: &[u8]) -> Whole {
        let mut whole = Whole {
            records: Vec::new(),
            bytes: 0,
            ending: Ending::Clean,
        };
        while whole.bytes < data.len() {
            let lsn = base + whole.bytes as u64;
            let rest = &data[whole.bytes..];
            let fits = |size: usize| size as u64 <= self.span.limit - lsn;
            let Some(header) = frame::parse(self.span.seed, lsn, rest) else {
                let is_cut = rest.len() < HEADER && fits(HEADER) && whole.bytes > 0;
                whole.ending = if is_cut {
                    Ending::Beyond(HEADER)
                } else {
                    Ending::Damaged
                };
                break;
            };
            let size = header.framed();
            if size > rest.len() {
                whole.ending = if fits(size) {
                    Ending::Beyond(size)
                } else {
                    Ending::Damaged
                };
                break;
            }
            let payload = &rest[HEADER..HEADER + header.len as usize];
            if !header.matches(payload) || Record::decode(header.code, payload, 0).is_none() {
                whole.ending = Ending::Damaged;
                break;
            }
            whole.records.push((whole.bytes as u32, header));
            whole.bytes += size;
        }
        whole
    }

    fn hand_out(
        &mut self,
        base: Lsn,
        writer: &ChunkWriter,
        records: &[(u32, Header)],
    ) -> Result<(), JournalError> {
        let chunk = writer.chunk();
        for &(offset, header) in records {
            let at = offset + HEADER as u32;
            let Some(record) = Record::decode(header.code, chunk.bytes(at, header.len), at) else {
                continue;
            };
            let lsn = base + u64::from(offset);
            let end = lsn + header.framed() as u64;
            let refused = |why| JournalError::Replay { lsn, why };
            self.quarantine
                .replay
                .record(lsn, end, record, chunk)
                .map_err(refused)?;
            self.quarantine.recovery.records += 1;
            self.quarantine.recovery.bytes += end - lsn;
        }
        Ok(())
    }
}

/// The whole records at the front of a buffer.
struct Whole {
    records: Vec<(u32, Header)>,
    bytes: usize,
    ending: Ending,
}

#[derive(Clone, Copy)]
enum Ending {
    /// The buffer ended with a record.
    Clean,
    /// What follows is no record.
    Damaged,
    /// A record of this size begins at the end of the buffer and goes on beyond it.
    Beyond(usize),
}
