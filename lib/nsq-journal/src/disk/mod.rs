//! Files as the journal needs them, behind a trait so that tests can pull the plug.

mod overlay;
mod real;
pub mod sim;

pub use overlay::Overlay;
pub use real::{DirectoryLock, RealDisk, lock_directory};

use std::io;
use std::sync::Arc;

/// A directory tree. Paths are relative to its root and use `/`.
pub trait Disk: Send + Sync {
    /// Creates a directory and its parents; no error when it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Creates an empty file for reading and writing, truncating an existing one.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Names in a directory, sorted; empty when there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Bytes that can still be written by this process.
    fn free_space(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes all of `data` at `offset`.
    fn pwrite(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes were read.
    fn pread(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Reserves space for `[0, len)` and makes the file at least that long.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the content written so far durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True for a file of no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
