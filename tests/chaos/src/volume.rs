//! A file system of its own, small or with a power switch.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::machine::run;

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from now on nothing reaches the disk,
/// and what had not is gone, as in a power cut. Python has ioctls, and is everywhere.
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

enum Kind {
    /// In a file, mounted by a loop device.
    Ext4(PathBuf),
    Tmpfs(u64),
}

/// Mounted until it is dropped.
pub struct Volume {
    kind: Kind,
    mounted: bool,
    directory: TempDir,
}

impl Volume {
    /// An ext4 of so many bytes, in a file below `within`.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub fn ext4(bytes: u64, within: &Path) -> Result<Self> {
        let directory = temporary(within)?;
        let image = directory.path().join("image");
        File::create(&image)?.set_len(bytes)?;
        let image_name = image.display().to_string();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image_name])?;
        Self::new(Kind::Ext4(image), directory)
    }

    /// Memory as a file system of so many bytes.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn tmpfs(bytes: u64) -> Result<Self> {
        Self::new(Kind::Tmpfs(bytes), temporary(&std::env::temp_dir())?)
    }

    fn new(kind: Kind, directory: TempDir) -> Result<Self> {
        std::fs::create_dir(directory.path().join("mounted"))?;
        let mut volume = Self {
            kind,
            mounted: false,
            directory,
        };
        volume.mount()?;
        Ok(volume)
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn mount(&mut self) -> Result<()> {
        let to = self.path().display().to_string();
        match &self.kind {
            Kind::Ext4(image) => {
                run("mount", &["-o", "loop", &image.display().to_string(), &to])?;
            }
            Kind::Tmpfs(bytes) => {
                let size = format!("size={bytes}");
                run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &to])?;
            }
        }
        self.mounted = true;
        Ok(())
    }

    /// Cuts the power of an ext4.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut_power(&self) -> Result<()> {
        run("python3", &["-c", CUT, &self.path().display().to_string()])
    }

    /// Power again: the file system recovers what it had.
    ///
    /// # Errors
    /// When somebody still uses it, or it cannot be mounted.
    pub fn power_up(&mut self) -> Result<()> {
        run("umount", &[&self.path().display().to_string()])?;
        self.mounted = false;
        self.mount()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            // What stays mounted goes with the namespace.
            let _ = run("umount", &["-l", &self.path().display().to_string()]);
        }
    }
}

/// A directory that goes with its owner.
///
/// # Errors
/// When it cannot be made.
pub fn temporary(within: &Path) -> Result<TempDir> {
    let made = tempfile::Builder::new()
        .prefix("nsq-chaos-")
        .tempdir_in(within);
    made.with_context(|| within.display().to_string())
}

/// Where files are in memory, if there is such a place.
pub fn in_memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    match shared.is_dir() {
        true => shared.to_owned(),
        false => std::env::temp_dir(),
    }
}
