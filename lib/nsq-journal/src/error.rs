//! What can go wrong, in words for the person who has to act on it.

use std::io;

/// An error of the journal or of a spill file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// A write or sync failed earlier. What the kernel kept is unknown from then on, so nothing is retried
    /// and nothing accepted: the process has to be restarted, and recovery reads what the disk really holds.
    #[error("journal stopped after a disk error, restart needed: {0}")]
    Poisoned(String),
    /// Not enough free space; publishing resumes by itself once there is.
    #[error("disk is full: {0}")]
    DiskFull(String),
    /// A file operation failed where nothing was lost by it.
    #[error("{action} {path}: {error}")]
    Io {
        /// What was attempted, for example `create`.
        action: &'static str,
        /// The file, relative to the data path.
        path: String,
        /// What the system said.
        error: String,
    },
    /// A record or block is larger than the format allows.
    #[error("{bytes} bytes are too large for one record, at most {max} are possible")]
    TooLarge {
        /// Size asked for.
        bytes: u64,
        /// Largest size.
        max: u64,
    },
    /// The caller's arguments contradict each other.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// Stored bytes are not what was written.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file, relative to the data path.
        path: String,
        /// What did not fit.
        why: String,
    },
    /// The files were written by a later version of this software.
    #[error("{path} has format version {found}, this program reads up to {known}")]
    Version {
        /// The file, relative to the data path.
        path: String,
        /// Version in the file.
        found: u8,
        /// Newest version known here.
        known: u8,
    },
    /// The receiver of the replay gave up.
    #[error("replay refused at {lsn}: {why}")]
    Replay {
        /// Position of the record; 0 for the checkpoint.
        lsn: u64,
        /// The receiver's reason.
        why: String,
    },
}

impl JournalError {
    /// Wraps an I/O error with what was attempted on which file; a full disk becomes [`JournalError::DiskFull`].
    pub(crate) fn io(action: &'static str, path: &str, error: &io::Error) -> JournalError {
        if error.kind() == io::ErrorKind::StorageFull
            || error.kind() == io::ErrorKind::QuotaExceeded
        {
            JournalError::DiskFull(format!("{action} {path}: {error}"))
        } else {
            JournalError::Io {
                action,
                path: path.to_owned(),
                error: error.to_string(),
            }
        }
    }
}
