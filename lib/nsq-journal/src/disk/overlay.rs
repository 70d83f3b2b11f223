//! A disk that is only read: whatever is written to it stays in memory.
//!
//! Opening a journal on it tells what a server would find and do there, and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// What is changed is kept in pieces of this size.
const PIECE: u64 = 4096;

/// Lies over another disk, see the module's documentation.
pub struct Overlay {
    below: Arc<dyn Disk>,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// Files that were created, opened or renamed here.
    here: BTreeMap<String, Arc<OverlayFile>>,
    /// Names of the disk below that mean nothing any more.
    gone: BTreeSet<String>,
}

impl Overlay {
    /// Nothing is changed yet.
    pub fn over(below: Arc<dyn Disk>) -> Arc<Overlay> {
        Arc::new(Overlay {
            below,
            names: Mutex::default(),
        })
    }

    fn file(&self, names: &mut Names, path: &str) -> io::Result<Arc<OverlayFile>> {
        if let Some(file) = names.here.get(path) {
            return Ok(Arc::clone(file));
        }
        if names.gone.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = OverlayFile::over(Some(self.below.open(path)?))?;
        names.here.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for Overlay {
    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OverlayFile::over(None)?;
        let mut names = self.names.lock();
        names.gone.insert(path.to_owned());
        names.here.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(&mut self.names.lock(), path)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let prefix = match dir {
            "" => String::new(),
            dir => format!("{dir}/"),
        };
        let names = self.names.lock();
        let here = names
            .here
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix));
        let here = here.filter(|name| !name.contains('/')).map(str::to_owned);
        let mut listed: BTreeSet<String> = here.collect();
        for name in self.below.list(dir)? {
            if !names.gone.contains(&format!("{prefix}{name}")) {
                listed.insert(name);
            }
        }
        Ok(listed.into_iter().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        let file = self.file(&mut names, from)?;
        names.here.remove(from);
        names.gone.insert(from.to_owned());
        names.gone.insert(to.to_owned());
        names.here.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        self.file(&mut names, path)?;
        names.here.remove(path);
        names.gone.insert(path.to_owned());
        Ok(())
    }

    fn remove_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct OverlayFile {
    below: Option<Arc<dyn DiskFile>>,
    changed: Mutex<Changed>,
}

struct Changed {
    len: u64,
    /// Of the file below, what is beyond this was cut off.
    below_len: u64,
    pieces: HashMap<u64, Vec<u8>>,
}

impl OverlayFile {
    fn over(below: Option<Arc<dyn DiskFile>>) -> io::Result<Arc<OverlayFile>> {
        let len = match &below {
            Some(below) => below.len()?,
            None => 0,
        };
        Ok(Arc::new(OverlayFile {
            below,
            changed: Mutex::new(Changed {
                len,
                below_len: len,
                pieces: HashMap::new(),
            }),
        }))
    }

    /// Reads from the file below; zeros where it has nothing.
    fn read_below(&self, below_len: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        let Some(below) = &self.below else {
            return Ok(());
        };
        let there = below_len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        below.pread(offset, &mut buffer[..there]).map(|_| ())
    }
}

impl DiskFile for OverlayFile {
    fn pwrite(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock();
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PIECE, (at % PIECE) as usize);
            let len = (PIECE as usize - within).min(data.len() - done);
            if !changed.pieces.contains_key(&number) {
                let mut piece = vec![0; PIECE as usize];
                self.read_below(changed.below_len, number * PIECE, &mut piece)?;
                changed.pieces.insert(number, piece);
            }
            if let Some(piece) = changed.pieces.get_mut(&number) {
                piece[within..within + len].copy_from_slice(&data[done..done + len]);
            }
            done += len;
        }
        changed.len = changed.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn pread(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let changed = self.changed.lock();
        let len = changed.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..len];
        self.read_below(changed.below_len, offset, buffer)?;
        if changed.pieces.is_empty() {
            return Ok(len);
        }
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (number, within) = (at / PIECE, (at % PIECE) as usize);
            let count = (PIECE as usize - within).min(len - done);
            if let Some(piece) = changed.pieces.get(&number) {
                buffer[done..done + count].copy_from_slice(&piece[within..within + count]);
            }
            done += count;
        }
        Ok(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        changed.len = changed.len.max(len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        if len < changed.len {
            changed.below_len = changed.below_len.min(len);
            changed.pieces.retain(|number, _| number * PIECE < len);
            if let Some(last) = changed.pieces.get_mut(&(len / PIECE)) {
                last[(len % PIECE) as usize..].fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use proptest::prelude::*;

    /// The same is done to an overlay and to a real copy of what lies below it.
    #[derive(Debug, Clone)]
    enum Change {
        Write(u64, Vec<u8>),
        Cut(u64),
        Read(u64, usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..5000);
        prop_oneof![
            (0..20_000u64, bytes).prop_map(|(at, bytes)| Change::Write(at, bytes)),
            (0..20_000u64).prop_map(Change::Cut),
            (0..20_000u64, 0..9000usize).prop_map(|(at, len)| Change::Read(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn it_reads_like_a_file_that_was_changed(changes in proptest::collection::vec(change(), 1..20)) {
            let dir = tempfile::tempdir().unwrap();
            let disk = RealDisk::new(dir.path());
            let content: Vec<u8> = (0..15_000u32).map(|at| (at * 7) as u8).collect();
            for name in ["below", "real"] {
                disk.create(name).unwrap().pwrite(0, &content).unwrap();
            }
            let overlay = Overlay::over(Arc::clone(&disk) as _);
            let (over, real) = (overlay.open("below").unwrap(), disk.open("real").unwrap());
            for change in changes {
                match change {
                    Change::Write(at, bytes) => [&over, &real].map(|file| file.pwrite(at, &bytes).unwrap()),
                    Change::Cut(len) => [&over, &real].map(|file| file.set_len(len).unwrap()),
                    Change::Read(at, len) => {
                        let read = [&over, &real].map(|file| {
                            let mut buffer = vec![1; len];
                            let count = file.pread(at, &mut buffer).unwrap();
                            buffer.truncate(count);
                            buffer
                        });
                        prop_assert_eq!(&read[0], &read[1]);
                        [(), ()]
                    }
                };
                prop_assert_eq!(over.len().unwrap(), real.len().unwrap());
            }
            prop_assert_eq!(std::fs::read(dir.path().join("below")).unwrap(), content);
        }
    }

    #[test]
    fn names_change_here_only() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(dir.path());
        disk.create_dir("d").unwrap();
        for name in ["d/a", "d/b", "d/c"] {
            disk.create(name).unwrap();
        }
        let overlay = Overlay::over(Arc::clone(&disk) as _);
        overlay.rename("d/a", "d/x").unwrap();
        overlay.remove("d/b").unwrap();
        overlay.create("d/new").unwrap();
        assert_eq!(overlay.list("d").unwrap(), ["c", "new", "x"]);
        assert!(overlay.open("d/a").is_err() && overlay.remove("d/b").is_err());
        assert_eq!(disk.list("d").unwrap(), ["a", "b", "c"]);
    }
}
