//! Where messages lie, sorted with bounded memory: what is too much goes to files in sorted runs, which are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

/// Entries in memory before a run is written.
const RUN_ENTRIES: usize = 1 << 19;
/// Entries of a run that are read at a time.
const READ_ENTRIES: usize = 1024;

/// One copy of a message, in one queue. Ordered by its fields, so copies of the same message stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Whose it is; a number that the caller gave.
    pub topic: u32,
    /// Comes behind the topic's others.
    pub late: bool,
    pub timestamp: i64,
    pub id: [u8; 16],
    /// In which queue; a number that the caller gave.
    pub queue: u32,
    pub attempts: u16,
    /// Number of the file, place and length of the body.
    pub file: u64,
    pub body_at: u64,
    pub body_len: u32,
}

/// Bytes of an entry in a run.
const BYTES: usize = 4 + 1 + 8 + 16 + 4 + 2 + 8 + 8 + 4;

impl Entry {
    /// Copies of one message.
    pub fn is_same_message(&self, other: &Self) -> bool {
        let key = |entry: &Self| (entry.topic, entry.late, entry.timestamp, entry.id);
        key(self) == key(other)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.topic.to_be_bytes());
        out.push(u8::from(self.late));
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.id);
        out.extend(self.queue.to_be_bytes());
        out.extend(self.attempts.to_be_bytes());
        out.extend(self.file.to_be_bytes());
        out.extend(self.body_at.to_be_bytes());
        out.extend(self.body_len.to_be_bytes());
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        fn next<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
            let (first, rest) = bytes.split_first_chunk::<N>()?;
            *bytes = rest;
            Some(*first)
        }
        let bytes = &mut bytes;
        Some(Self {
            topic: u32::from_be_bytes(next(bytes)?),
            late: next::<1>(bytes)? != [0],
            timestamp: i64::from_be_bytes(next(bytes)?),
            id: next(bytes)?,
            queue: u32::from_be_bytes(next(bytes)?),
            attempts: u16::from_be_bytes(next(bytes)?),
            file: u64::from_be_bytes(next(bytes)?),
            body_at: u64::from_be_bytes(next(bytes)?),
            body_len: u32::from_be_bytes(next(bytes)?),
        })
    }
}

/// Takes entries in any order.
pub struct Sorter {
    disk: Arc<dyn Disk>,
    dir: String,
    entries: Vec<Entry>,
    run_entries: usize,
    runs: Vec<Arc<dyn DiskFile>>,
    count: u64,
}

impl Sorter {
    /// Runs go to `dir`, which exists.
    pub fn new(disk: Arc<dyn Disk>, dir: &str) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            entries: Vec::new(),
            run_entries: RUN_ENTRIES,
            runs: Vec::new(),
            count: 0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// # Errors
    /// When a run cannot be written.
    pub fn push(&mut self, entry: Entry) -> io::Result<()> {
        self.entries.push(entry);
        self.count += 1;
        if self.entries.len() >= self.run_entries {
            self.write_run()?;
        }
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.entries.sort_unstable();
        let name = format!("{}/{:06}.run", self.dir, self.runs.len());
        let file = self.disk.create(&name)?;
        let (mut bytes, mut at) = (Vec::with_capacity(READ_ENTRIES * BYTES), 0);
        for entries in self.entries.chunks(READ_ENTRIES) {
            bytes.clear();
            entries.iter().for_each(|entry| entry.put(&mut bytes));
            file.pwrite(at, &bytes)?;
            at += bytes.len() as u64;
        }
        self.entries.clear();
        self.runs.push(file);
        Ok(())
    }

    /// All of them, in order.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub fn finish(mut self) -> io::Result<Merge> {
        self.entries.sort_unstable_by(|a, b| b.cmp(a)); // taken from the end
        let mut merge = Merge {
            runs: Vec::with_capacity(self.runs.len() + 1),
            next: BinaryHeap::new(),
        };
        for file in self.runs {
            merge.runs.push(Run {
                file: Some(file),
                at: 0,
                read: Vec::new(),
            });
        }
        merge.runs.push(Run {
            file: None,
            at: 0,
            read: self.entries,
        });
        for run in 0..merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(merge)
    }
}

/// A sorted run; what was read of it, backwards.
struct Run {
    file: Option<Arc<dyn DiskFile>>,
    at: u64,
    read: Vec<Entry>,
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        if let (true, Some(file)) = (self.read.is_empty(), &self.file) {
            let mut bytes = vec![0; READ_ENTRIES * BYTES];
            let read = file.pread(self.at, &mut bytes)?;
            self.at += read as u64;
            let entries = bytes[..read].chunks_exact(BYTES);
            self.read.extend(entries.filter_map(Entry::take).rev());
        }
        Ok(self.read.pop())
    }
}

/// Goes through all runs at once.
pub struct Merge {
    runs: Vec<Run>,
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Merge {
    fn refill(&mut self, run: usize) -> io::Result<()> {
        if let Some(entry) = self.runs[run].next()? {
            self.next.push(Reverse((entry, run)));
        }
        Ok(())
    }

    /// All copies of the next message; empty at the end.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub fn next_message(&mut self, copies: &mut Vec<Entry>) -> io::Result<()> {
        copies.clear();
        while let Some(Reverse((entry, run))) = self.next.peek().copied() {
            let same = copies
                .first()
                .is_none_or(|first| first.is_same_message(&entry));
            if !same {
                break;
            }
            copies.push(entry);
            self.next.pop();
            self.refill(run)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    #[test]
    fn runs_on_disk_and_in_memory_come_back_as_one() {
        for run_entries in [1, 7, 1_000, 100_000] {
            let disk = SimDisk::new();
            disk.create_dir("sort").unwrap();
            let mut sorter = Sorter::new(disk, "sort");
            sorter.run_entries = run_entries;
            for at in 0..5000u32 {
                let shuffled = at.wrapping_mul(2_654_435_761) % 5000;
                sorter
                    .push(Entry {
                        topic: shuffled % 3,
                        late: shuffled % 2 == 0,
                        timestamp: i64::from(shuffled / 10),
                        id: [b'a' + (shuffled % 5) as u8; 16],
                        queue: at,
                        attempts: 1,
                        file: u64::from(at),
                        body_at: u64::from(at) << 33,
                        body_len: at,
                    })
                    .unwrap();
            }
            assert_eq!(sorter.count(), 5000);
            let mut merge = sorter.finish().unwrap();
            let (mut copies, mut firsts) = (Vec::new(), Vec::new());
            let mut all: Vec<Entry> = Vec::new();
            loop {
                merge.next_message(&mut copies).unwrap();
                let Some(first) = copies.first() else { break };
                assert!(copies.iter().all(|copy| copy.is_same_message(first)));
                assert!(
                    firsts
                        .last()
                        .is_none_or(|last: &Entry| !last.is_same_message(first))
                );
                firsts.push(*first);
                all.extend(&copies);
            }
            assert!(all.is_sorted());
            assert_eq!(all.len(), 5000);
            assert!(all.iter().all(|entry| entry.body_at == entry.file << 33));
        }
    }
}
