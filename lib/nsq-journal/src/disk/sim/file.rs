//! A file of the simulated disk: what is durable, and the changes since.

use std::io;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use super::{SimDisk, State};
use crate::disk::DiskFile;

/// Power cuts keep or lose whole pages of this size, unless they tear.
const PAGE: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    durable: Vec<u8>,
    content: Vec<u8>,
    changes: Vec<Change>,
    allocated: u64,
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => {
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            if content.len() < to {
                content.resize(to, 0);
            }
            content[from..to].copy_from_slice(data);
        }
        Change::SetLen(len) => content.resize(*len as usize, 0),
    }
}

impl Inode {
    /// Bytes of the disk that the file takes up.
    pub(super) fn space(&self) -> u64 {
        self.allocated.max(self.content.len() as u64)
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.content, &change);
        self.changes.push(change);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.allocated = self.allocated.min(len);
        self.change(Change::SetLen(len));
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.durable, &change);
        }
    }

    /// A failed sync: the kernel takes the pages for clean, a later sync does not write them.
    fn fail_sync(&mut self) {
        self.changes.clear();
    }

    pub(super) fn settled(&self) -> Inode {
        Inode {
            durable: self.content.clone(),
            changes: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn corrupt(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.content);
        *self = self.settled();
    }

    pub(super) fn power_cut(&mut self, random: &mut StdRng) {
        let changes = std::mem::take(&mut self.changes);
        match random.random_range(0..4) {
            0 => {}
            1 => changes
                .iter()
                .for_each(|change| apply(&mut self.durable, change)),
            2 => self.keep_prefix(&changes, random),
            _ => self.keep_pages(&changes, random),
        }
        self.content.clone_from(&self.durable);
    }

    fn keep_prefix(&mut self, changes: &[Change], random: &mut StdRng) {
        let whole = random.random_range(0..=changes.len());
        changes[..whole]
            .iter()
            .for_each(|change| apply(&mut self.durable, change));
        if let Some(Change::Write { offset, data }) = changes.get(whole) {
            let torn = data[..random.random_range(0..=data.len())].to_vec();
            apply(
                &mut self.durable,
                &Change::Write {
                    offset: *offset,
                    data: torn,
                },
            );
        }
    }

    fn keep_pages(&mut self, changes: &[Change], random: &mut StdRng) {
        for change in changes {
            let Change::Write { offset, data } = change else {
                // Length is metadata and ordered.
                apply(&mut self.durable, change);
                continue;
            };
            let mut at = 0;
            while at < data.len() {
                let page_end = (*offset as usize + at) / PAGE * PAGE + PAGE;
                let to = data.len().min(page_end - *offset as usize);
                if random.random_bool(0.5) {
                    let page = Change::Write {
                        offset: offset + at as u64,
                        data: data[at..to].to_vec(),
                    };
                    apply(&mut self.durable, &page);
                }
                at = to;
            }
        }
    }
}

struct SimFile {
    disk: Arc<SimDisk>,
    inode: u64,
    generation: u64,
}

impl SimDisk {
    pub(super) fn handle(&self, inode: u64) -> io::Result<Arc<dyn DiskFile>> {
        let disk = self
            .myself
            .upgrade()
            .ok_or_else(|| io::Error::other("the disk is gone"))?;
        let generation = self.state.lock().generation;
        Ok(Arc::new(SimFile {
            disk,
            inode,
            generation,
        }))
    }
}

impl SimFile {
    fn operate<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.operate(|state| {
            if state.generation != self.generation {
                return Err(io::Error::other("the file was opened before the outage"));
            }
            act(state)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        self.operate(|state| {
            let inode = state
                .inodes
                .get_mut(&self.inode)
                .ok_or_else(|| io::Error::other("the file is gone"))?;
            Ok(act(inode))
        })
    }

    /// Fails when the file cannot grow to `len`.
    fn grow(&self, state: &State, len: u64) -> io::Result<()> {
        let space = state.inodes.get(&self.inode).map_or(0, Inode::space);
        state.reserve(len.saturating_sub(space))
    }
}

impl DiskFile for SimFile {
    fn pwrite(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|state| {
            state.writes += 1;
            let fails = state.faults.write_fails_after == Some(state.writes);
            self.grow(state, offset + data.len() as u64)?;
            let inode = state
                .inodes
                .get_mut(&self.inode)
                .ok_or_else(|| io::Error::other("the file is gone"))?;
            let len = if fails { data.len() / 2 } else { data.len() };
            inode.change(Change::Write {
                offset,
                data: data[..len].to_vec(),
            });
            if fails {
                Err(io::Error::other("simulated write error"))
            } else {
                Ok(())
            }
        })
    }

    fn pread(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|inode| {
            let rest = inode.content.get(offset as usize..).unwrap_or(&[]);
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            len
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.operate(|state| self.grow(state, len))?;
        self.with(|inode| {
            inode.allocated = inode.allocated.max(len);
            if (inode.content.len() as u64) < len {
                inode.change(Change::SetLen(len));
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|inode| inode.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|state| {
            state.syncs += 1;
            let fails = state.faults.sync_fails_after == Some(state.syncs);
            let inode = state
                .inodes
                .get_mut(&self.inode)
                .ok_or_else(|| io::Error::other("the file is gone"))?;
            if fails {
                inode.fail_sync();
                return Err(io::Error::other("simulated sync error"));
            }
            inode.sync();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|inode| inode.content.len() as u64)
    }
}
