//! The kernel's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};

use super::{Disk, DiskFile};
use crate::JournalError;

/// A directory of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// All paths are taken relative to `root`, which must exist.
    pub fn new(root: impl Into<PathBuf>) -> Arc<RealDisk> {
        Arc::new(RealDisk { root: root.into() })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Size of the whole file system, in bytes.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn volume_bytes(&self) -> Result<u64, JournalError> {
        let told = rustix::fs::statvfs(&self.root)
            .map_err(|error| JournalError::io("statfs", ".", &error.into()))?;
        Ok(told.f_blocks.saturating_mul(told.f_frsize))
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(path))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(path))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    fn free_space(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.root)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn pwrite(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn pread(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                // A file system without reservation: the free-space floor is all the protection there is.
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    return if self.len()? < len {
                        self.file.set_len(len)
                    } else {
                        Ok(())
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Holds a directory's lock until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: OwnedFd,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing would do, but for a child of this process that has not come to its exec yet: it has the descriptor too.
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }
}

/// Takes the exclusive `flock` on a directory that keeps two servers off one data path, as NSQ does.
///
/// # Errors
/// `WouldBlock` when another process holds it; otherwise what opening or locking said.
pub fn lock_directory(path: &Path) -> io::Result<DirectoryLock> {
    let directory = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(DirectoryLock { directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_can_be_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_directory(dir.path()).unwrap();
        assert_eq!(
            lock_directory(dir.path()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(lock);
        lock_directory(dir.path()).unwrap();
    }

    #[test]
    fn files_are_written_read_listed_and_moved() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(dir.path());
        disk.create_dir("a/b").unwrap();
        let file = disk.create("a/b/one").unwrap();
        file.allocate(10_000).unwrap();
        file.pwrite(4, b"four").unwrap();
        file.sync_data().unwrap();
        disk.rename("a/b/one", "a/b/two").unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), ["two"]);
        assert_eq!(disk.list("nowhere").unwrap(), [""; 0]);
        let mut buffer = [9u8; 16];
        assert_eq!(
            disk.open("a/b/two")
                .unwrap()
                .pread(9_990, &mut buffer)
                .unwrap(),
            10
        );
        assert_eq!(file.pread(4, &mut buffer[..4]).unwrap(), 4);
        assert_eq!(&buffer[..4], b"four");
        assert!(disk.free_space().unwrap() > 0);
    }
}
