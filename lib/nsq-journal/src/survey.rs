//! What lies in a journal's directory, file by file, for people who want to look.

use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::segment::{DIRECTORY, HEADER_BLOCK, SegmentHeader, path, segment_number};
use crate::{JournalError, Lsn};

/// A file of the journal's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What it is.
    pub content: Content,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Records from `first` on.
    Segment {
        /// Of the journal it belongs to.
        incarnation: u64,
        /// The opening of the journal that wrote it.
        run: u64,
        /// Its place among the segments.
        number: u64,
        /// Position of the first record.
        first: Lsn,
    },
    /// The state as of a position.
    Checkpoint {
        /// Of the journal it belongs to.
        incarnation: u64,
        /// Up to where the journal was durable then.
        at: Lsn,
        /// From where records are replayed on top of it.
        keep_from: Lsn,
        /// Bytes of the state.
        state_bytes: u64,
    },
    /// Preallocated for a segment.
    Spare,
    /// A segment or checkpoint that cannot be read, and why.
    Unreadable(String),
    /// Anything else: the identity, the quarantine.
    Other,
}

/// Reads the directory, and of each file as much as tells what it is.
///
/// # Errors
/// When the directory or a file's size cannot be read.
pub fn survey(disk: &dyn Disk) -> Result<Vec<SurveyedFile>, JournalError> {
    let names = disk.list(DIRECTORY);
    let names = names.map_err(|error| JournalError::io("list", DIRECTORY, &error))?;
    let mut files = Vec::new();
    for name in names {
        let path = path(&name);
        let failed = |error: std::io::Error| JournalError::io("read", &path, &error);
        let is_checkpoint = checkpoint::number(&name).is_some();
        let is_segment = segment_number(&name).is_some();
        let known = is_checkpoint || is_segment || name.starts_with("spare-");
        // The quarantine is a directory.
        let Ok(file) = disk.open(&path) else {
            let content = match known {
                true => Content::Unreadable("it cannot be opened".to_owned()),
                false => Content::Other,
            };
            files.push(SurveyedFile {
                name,
                bytes: 0,
                content,
            });
            continue;
        };
        let bytes = file.len().map_err(failed)?;
        let mut head =
            vec![0; bytes.min(if is_checkpoint { bytes } else { HEADER_BLOCK }) as usize];
        let content = match file.pread(0, &mut head) {
            Err(error) => Content::Unreadable(error.to_string()),
            Ok(_) if is_segment => segment(&name, &head),
            Ok(_) if is_checkpoint => checkpoint(&name, &head),
            Ok(_) if known => Content::Spare,
            Ok(_) => Content::Other,
        };
        files.push(SurveyedFile {
            name,
            bytes,
            content,
        });
    }
    Ok(files)
}

fn segment(name: &str, head: &[u8]) -> Content {
    match SegmentHeader::parse(name, head) {
        Ok(Some(header)) => Content::Segment {
            incarnation: header.incarnation,
            run: header.run,
            number: header.number,
            first: header.first,
        },
        Ok(None) => Content::Unreadable("neither copy of its header is whole".to_owned()),
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

fn checkpoint(name: &str, bytes: &[u8]) -> Content {
    match Checkpoint::parse(name, bytes) {
        Ok(checkpoint) => Content::Checkpoint {
            incarnation: checkpoint.incarnation,
            at: checkpoint.at.lsn,
            keep_from: checkpoint.keep_from,
            state_bytes: checkpoint.state.len() as u64,
        },
        Err(error) => Content::Unreadable(error.to_string()),
    }
}
