//! The journal read while it is being written, for the peer that keeps a copy of it.
//!
//! What was written is read from the files, which are in the page cache; publishers do not notice. A record's header
//! names its place, so a segment that is recycled under the reader's hands is seen to be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::Waiter;
use crate::disk::DiskFile;
use crate::log::Log;
use crate::record::frame::{self, HEADER, Seed};
use crate::record::slice::Builder;
use crate::segment::{HEADER_BLOCK, SegmentHeader, path};
use crate::{Journal, JournalError, Lsn, Placed, Record};

/// Consecutive records of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The run that wrote them.
    pub run: u64,
    /// Where they begin.
    pub from: Lsn,
    /// Where they end.
    pub to: Lsn,
    /// The records, but for those about the peer's mirror; see [`crate::slice_records`].
    pub bytes: Vec<u8>,
    /// The record at `to` was not read, because it is not durable yet and cannot be undone elsewhere.
    pub waits_for_sync: bool,
}

/// Why there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The journal begins later than where reading was to go on: its front was recycled, or is damaged.
    #[error("the journal begins at {oldest}")]
    Gone {
        /// Where reading can go on.
        oldest: Lsn,
    },
    /// The files could not be read.
    #[error("{0}")]
    Failed(String),
}

/// Reads a journal's records in order. Keeps the segment it reads open.
pub struct StreamReader {
    log: Arc<Log>,
    open: Option<Open>,
}

struct Open {
    name: String,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
}

impl StreamReader {
    pub(crate) fn new(log: Arc<Log>) -> StreamReader {
        StreamReader { log, open: None }
    }

    /// Whole records from `from` on, about `most` bytes of them, as far as they are written. `None`: there are none yet.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn read(&mut self, from: Lsn, most: usize) -> Result<Option<Slice>, StreamError> {
        let written = self.log.written.load(Ordering::Acquire);
        if from >= written {
            return Ok(None);
        }
        // Never before the boot record of this run.
        if from >= self.log.streamed.load(Ordering::Acquire) {
            return Ok(Some(Slice {
                run: self.log.run,
                from,
                to: written,
                bytes: Vec::new(),
                waits_for_sync: false,
            }));
        }
        let limit = self.segment(from)?.min(written);
        let Some(open) = &self.open else {
            return Ok(None);
        };
        if from >= limit {
            // A segment that ends here, and no later one: what follows is not written.
            return Ok(None);
        }
        let header = open.header;
        let mut buffer = Vec::new();
        read(
            &*open.file,
            &header,
            from,
            most.min(span(from, limit)),
            &mut buffer,
        )?;
        let seed = Seed::new(header.incarnation, header.run);
        if let Some(first) = frame::parse(seed, from, &buffer)
            && first.framed() > buffer.len()
            && first.framed() <= span(from, limit)
        {
            read(&*open.file, &header, from, first.framed(), &mut buffer)?;
        }
        let slice = self.slice(seed, header.run, from, &buffer);
        if slice.to == from && !slice.waits_for_sync {
            self.open = None;
            return Err(StreamError::Gone {
                oldest: self.resume(from),
            });
        }
        Ok(Some(slice))
    }

    /// The whole records at the front of what was read.
    fn slice(&self, seed: Seed, run: u64, from: Lsn, buffer: &[u8]) -> Slice {
        let durable = self.log.durable.load(Ordering::Acquire);
        let (mut builder, mut at, mut waits_for_sync) = (Builder::default(), from, false);
        while let Some(rest) = buffer
            .get((at - from) as usize..)
            .filter(|rest| rest.len() >= HEADER)
        {
            let Some(header) = frame::parse(seed, at, rest) else {
                break;
            };
            let Some(framed) = rest.get(..header.framed()) else {
                break;
            };
            let end = at + framed.len() as u64;
            if end > durable && crate::record::FINAL_CODES.contains(&header.code) {
                waits_for_sync = true;
                break;
            }
            builder.push(header.code, at, framed);
            at = end;
        }
        Slice {
            run,
            from,
            to: at,
            bytes: builder.finish(),
            waits_for_sync,
        }
    }

    /// Opens the segment that holds `from`; returns where its records end at the latest.
    fn segment(&mut self, from: Lsn) -> Result<Lsn, StreamError> {
        let (name, first, limit) = {
            let catalog = self.log.catalog.lock();
            let after = catalog
                .segments
                .partition_point(|segment| segment.first <= from);
            let oldest = catalog.segments.front().map_or(0, |segment| segment.first);
            let Some(at) = after.checked_sub(1) else {
                return Err(StreamError::Gone { oldest });
            };
            let segment = &catalog.segments[at];
            let next = catalog.segments.get(after);
            let limit = next.map_or(Lsn::MAX, |next| next.first);
            (segment.name.clone(), segment.first, limit)
        };
        if self.open.as_ref().is_some_and(|open| open.name == name) {
            return Ok(limit);
        }
        let path = path(&name);
        let failed = |error: std::io::Error| StreamError::Failed(format!("{path}: {error}"));
        let file = self.log.disk.open(&path).map_err(failed)?;
        let mut block = vec![0; HEADER_BLOCK as usize];
        let count = file.pread(0, &mut block).map_err(failed)?;
        let header = SegmentHeader::parse(&path, &block[..count]);
        let header = header.map_err(|error| StreamError::Failed(error.to_string()))?;
        let Some(header) = header.filter(|header| header.first == first) else {
            return Err(StreamError::Failed(format!("{path}: it was recycled")));
        };
        self.open = Some(Open { name, file, header });
        Ok(limit)
    }

    /// Where reading can go on behind what cannot be read at `from`: with the next segment, or with what is not written
    /// yet.
    fn resume(&self, from: Lsn) -> Lsn {
        let catalog = self.log.catalog.lock();
        let after = catalog
            .segments
            .partition_point(|segment| segment.first <= from);
        let next = catalog.segments.get(after).map(|segment| segment.first);
        next.unwrap_or_else(|| self.log.tail.load(Ordering::Acquire))
    }
}

fn span(from: Lsn, to: Lsn) -> usize {
    usize::try_from(to - from).unwrap_or(usize::MAX)
}

fn read(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    from: Lsn,
    len: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), StreamError> {
    buffer.resize(len, 0);
    let count = file
        .pread(HEADER_BLOCK + (from - header.first), buffer)
        .map_err(|error| StreamError::Failed(error.to_string()))?;
    buffer.truncate(count);
    Ok(())
}

impl Journal {
    /// As [`Journal::append`], for a record whose bytes are to be read from the chunk: `bodies_at` is where its payload
    /// begins.
    ///
    /// # Errors
    /// As [`Journal::append`], and [`JournalError::DiskFull`] already below the floor.
    pub fn place(&self, record: &Record<'_>) -> Result<Placed, JournalError> {
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let bytes = payload.len() as u64;
        self.log
            .space
            .admit(bytes, self.log.options.segment_bytes)?;
        let spot = crate::journal::stage(&self.log, record.code(), &payload)?;
        Ok(Placed {
            lsn: spot.lsn,
            end: spot.end,
            bodies_at: spot.at + frame::HEADER as u32,
            chunk: spot.chunk,
        })
    }

    /// Has `watcher` woken whenever more was written that a peer is sent. For as long as the journal lives, or until
    /// [`Journal::unwatch`].
    pub fn watch(&self, watcher: Arc<dyn Waiter>) {
        self.log.watchers.lock().push(watcher);
        self.log.watched.store(true, Ordering::Release);
    }

    /// Ends [`Journal::watch`].
    pub fn unwatch(&self, watcher: &Arc<dyn Waiter>) {
        let mut watchers = self.log.watchers.lock();
        watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        self.log
            .watched
            .store(!watchers.is_empty(), Ordering::Release);
    }

    /// Reads the journal from its files, for somebody who keeps a copy.
    pub fn reader(&self) -> StreamReader {
        StreamReader::new(Arc::clone(&self.log))
    }

    /// Position of the oldest record that is still in the files.
    pub fn oldest(&self) -> Lsn {
        let catalog = self.log.catalog.lock();
        let oldest = catalog.segments.front().map(|segment| segment.first);
        oldest.unwrap_or_else(|| self.tail())
    }
}

impl Log {
    /// Something was written: of use to a watcher unless it is all a mirror's.
    pub(crate) fn tell_watchers(&self) {
        if !self.watched.load(Ordering::Acquire) {
            return;
        }
        let written = self.written.load(Ordering::Acquire);
        let new = self.streamed.load(Ordering::Acquire).min(written);
        if self.told.fetch_max(new, Ordering::AcqRel) >= new {
            return;
        }
        let watchers: Vec<Arc<dyn Waiter>> = self.watchers.lock().clone();
        watchers.into_iter().for_each(Waiter::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::{
        Bodies, Chunk, Journal, JournalOptions, PublishHead, Record, Replay, check_slice,
        slice_records,
    };

    struct Nobody;
    impl Replay for Nobody {
        fn checkpoint(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
        fn record(&mut self, _: Lsn, _: Lsn, _: Record<'_>, _: &Arc<Chunk>) -> Result<(), String> {
            Ok(())
        }
        fn quarantined(&mut self, _: Lsn, _: Lsn, _: &str) {}
    }

    fn open(disk: &Arc<SimDisk>) -> Arc<Journal> {
        let options = JournalOptions {
            segment_bytes: 16 << 10,
            chunk_bytes: 4096,
            free_floor: 0,
            threads: false,
            ..JournalOptions::default()
        };
        Journal::open(disk.clone(), options, &mut Nobody).unwrap()
    }

    fn publish(journal: &Journal, id: u64, len: usize) {
        let head = PublishHead {
            topic: 1,
            first_id: id,
            timestamp: 2,
            due: 0,
        };
        let bodies = Bodies {
            buffer: &vec![id as u8; len],
            ranges: &[(0, len as u32)],
        };
        journal.publish(&head, &bodies.sum().unwrap()).unwrap();
    }

    /// Everything there is, checked on the way: the ids of publishes, and where it ends.
    fn copy(journal: &Journal, from: Lsn) -> (Vec<u64>, Lsn) {
        let (mut reader, mut at, mut ids) = (journal.reader(), from, Vec::new());
        while let Some(slice) = reader.read(at, 3000).unwrap() {
            assert_eq!(slice.from, at);
            if slice.waits_for_sync && slice.to == at {
                break;
            }
            let incarnation = journal.incarnation();
            assert!(check_slice(
                incarnation,
                slice.run,
                slice.from,
                slice.to,
                &slice.bytes
            ));
            assert!(
                !check_slice(
                    incarnation,
                    slice.run + 1,
                    slice.from,
                    slice.to,
                    &slice.bytes
                ) || slice.bytes.is_empty()
            );
            for found in slice_records(&slice.bytes, 0) {
                if let Record::Publish { first_id, .. } = found.record {
                    ids.push(first_id);
                }
                assert!(!matches!(found.record, Record::Mirror { .. }));
            }
            at = slice.to;
        }
        (ids, at)
    }

    #[test]
    fn what_is_written_is_read_over_segments_and_runs_without_the_mirror() {
        let disk = SimDisk::new();
        let mut expected = Vec::new();
        for run in 1..4 {
            let journal = open(&disk);
            for id in run * 100..run * 100 + 60 {
                publish(&journal, id, if id % 50 == 7 { 20_000 } else { 300 });
                expected.push(id);
                let mirror = Record::Mirror {
                    run: 1,
                    from: 0,
                    to: 9,
                    slice: &[],
                    at: 0,
                };
                journal.append(&mirror).unwrap();
            }
            assert_eq!(
                copy(&journal, journal.oldest()).0.len() as u64,
                60 * (run - 1),
                "not written yet"
            );
            journal.write(journal.tail()).unwrap();
            let (ids, end) = copy(&journal, 0);
            assert_eq!((ids, end), (expected.clone(), journal.tail()));
        }
    }

    #[derive(Default)]
    struct Told(std::sync::atomic::AtomicUsize);
    impl Waiter for Told {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_no_news_for_the_peer_wakes_nobody_and_is_not_read() {
        let journal = open(&SimDisk::new());
        let told = Arc::new(Told::default());
        journal.watch(told.clone());
        let mirror = |slice: &[u8]| {
            let mirror = Record::Mirror {
                run: 1,
                from: 0,
                to: 9,
                slice,
                at: 0,
            };
            journal.append(&mirror).unwrap();
            journal.write(journal.tail()).unwrap();
            told.0.load(Ordering::Relaxed)
        };
        publish(&journal, 1, 10);
        assert_eq!(mirror(b"1"), 1, "the message is written with it");
        let from = journal.tail();
        assert_eq!((mirror(b"2"), mirror(b"3")), (1, 1));
        let mut reader = journal.reader();
        let slice = reader.read(from, 3000).unwrap().unwrap();
        assert_eq!((slice.bytes.len(), slice.to), (0, journal.tail()));
        assert!(reader.open.is_none(), "no file was looked at");
        assert_eq!(reader.read(slice.to, 3000), Ok(None));
        publish(&journal, 2, 10);
        assert_eq!(mirror(b"4"), 2);
        assert_eq!(copy(&journal, from), (vec![2], journal.tail()));
    }

    #[test]
    fn what_cannot_be_undone_waits_for_the_disk() {
        let journal = open(&SimDisk::new());
        publish(&journal, 1, 10);
        let end = journal.tail();
        journal.append(&Record::TopicDelete { topic: 1 }).unwrap();
        publish(&journal, 2, 10);
        journal.write(journal.tail()).unwrap();
        assert_eq!(copy(&journal, 0), (vec![1], end));
        journal.sync().unwrap();
        assert_eq!(copy(&journal, 0), (vec![1, 2], journal.tail()));
    }

    #[test]
    fn a_journal_whose_front_is_gone_says_where_it_begins() {
        let journal = open(&SimDisk::new());
        for round in 0..3 {
            for id in 0..80 {
                publish(&journal, round * 100 + id, 300);
            }
            journal.checkpoint(b"", journal.tail()).unwrap();
        }
        let oldest = journal.oldest();
        assert!(oldest > 0);
        assert_eq!(
            journal.reader().read(0, 100),
            Err(StreamError::Gone { oldest })
        );
        assert_eq!(copy(&journal, oldest).1, journal.tail());
    }
}
