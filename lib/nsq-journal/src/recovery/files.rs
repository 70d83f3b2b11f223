//! What lies in the journal's directory, and whose it is.

use std::sync::Arc;

use crate::checkpoint::{self, Checkpoint, write_whole};
use crate::disk::{Disk, DiskFile};
use crate::record::wire::{Fields, put_u8, put_u32, put_u64};
use crate::segment::{self, DIRECTORY, HEADER_BLOCK, SegmentHeader, Spare, VERSION, path};
use crate::{JournalError, JournalOptions, Lsn, Position};

use super::quarantine::Quarantine;

const IDENTITY: &str = "identity";
const IDENTITY_MAGIC: &[u8; 8] = b"NSQDIDEN";

/// A segment file with what its header says, if that could be read.
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
    pub(crate) header: Option<SegmentHeader>,
    /// Nothing was ever written to its header block.
    pub(crate) is_blank: bool,
    /// From the header, else from the name; they differ when a power cut undid the header of a recycled file.
    pub(crate) number: u64,
}

/// The directory, sorted and weeded.
pub(crate) struct Found {
    pub(crate) incarnation: u64,
    pub(crate) last_run: u64,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Number and `keep_from` of the readable checkpoints, oldest first.
    pub(crate) checkpoints: Vec<(u64, Lsn)>,
    pub(crate) next_checkpoint: u64,
    /// Own segments by number.
    pub(crate) segments: Vec<SegmentFile>,
    pub(crate) next_number: u64,
    pub(crate) spares: Vec<Spare>,
    pub(crate) next_spare: u64,
}

impl Found {
    /// Reads headers, checkpoints and identity; sets aside what is foreign; makes an incarnation where there is none.
    pub(crate) fn read(
        disk: &dyn Disk,
        options: &JournalOptions,
        quarantine: &mut Quarantine<'_>,
    ) -> Result<Found, JournalError> {
        disk.create_dir(DIRECTORY)
            .map_err(|error| JournalError::io("create", DIRECTORY, &error))?;
        let names = disk
            .list(DIRECTORY)
            .map_err(|error| JournalError::io("list", DIRECTORY, &error))?;
        remove_temporary(disk, &names)?;
        let segments = read_segments(disk, &names)?;
        let next_number = segments
            .iter()
            .map(|s| s.number.max(segment::segment_number(&s.name).unwrap_or(0)) + 1)
            .max();
        let (mut checkpoints, next_checkpoint) = read_checkpoints(disk, &names, quarantine)?;
        let identity = read_identity(disk)?;
        let known = identity
            .filter(|_| !segments.is_empty() || !checkpoints.is_empty())
            .or(checkpoints
                .last()
                .map(|(_, checkpoint)| checkpoint.incarnation))
            .or(segments
                .iter()
                .rev()
                .find_map(|segment| segment.header)
                .map(|header| header.incarnation));
        let incarnation = match known {
            Some(incarnation) => incarnation,
            None => options.incarnation.unwrap_or_else(rand::random),
        };
        if identity != Some(incarnation) {
            write_whole(disk, IDENTITY, &encode_identity(incarnation))?;
        }
        for (number, _) in
            checkpoints.extract_if(.., |(_, foreign)| foreign.incarnation != incarnation)
        {
            quarantine.set_aside(
                &checkpoint::name(number),
                "the checkpoint belongs to another journal",
            )?;
        }
        let segments = own_segments(segments, incarnation, quarantine)?;
        let (spares, next_spare) = read_spares(disk, &names, options.segment_bytes)?;
        let runs = segments
            .iter()
            .filter_map(|segment| segment.header)
            .map(|header| header.run);
        let last_run = runs
            .chain(checkpoints.iter().map(|(_, checkpoint)| checkpoint.at.run))
            .max()
            .unwrap_or(0);
        Ok(Found {
            incarnation,
            last_run,
            checkpoints: checkpoints
                .iter()
                .map(|(number, checkpoint)| (*number, checkpoint.keep_from))
                .collect(),
            checkpoint: checkpoints.pop().map(|(_, checkpoint)| checkpoint),
            next_checkpoint,
            segments,
            next_number: next_number.unwrap_or(1),
            spares,
            next_spare,
        })
    }

    /// Runs with their first positions, as far as checkpoint and segments know them.
    pub(crate) fn runs(&self) -> Vec<Position> {
        let mut runs = self
            .checkpoint
            .as_ref()
            .map(|checkpoint| checkpoint.runs.clone())
            .unwrap_or_default();
        for header in self.segments.iter().filter_map(|segment| segment.header) {
            if runs.last().is_none_or(|last| last.run < header.run) {
                runs.push(Position {
                    run: header.run,
                    lsn: header.first,
                });
            }
        }
        runs
    }
}

fn remove_temporary(disk: &dyn Disk, names: &[String]) -> Result<(), JournalError> {
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = path(name);
        disk.remove(&path)
            .map_err(|error| JournalError::io("remove", &path, &error))?;
    }
    Ok(())
}

fn read_segments(disk: &dyn Disk, names: &[String]) -> Result<Vec<SegmentFile>, JournalError> {
    let mut segments = Vec::new();
    for name in names {
        let Some(number) = segment::segment_number(name) else {
            continue;
        };
        let path = path(name);
        let file = disk
            .open(&path)
            .map_err(|error| JournalError::io("open", &path, &error))?;
        let bytes = file
            .len()
            .map_err(|error| JournalError::io("stat", &path, &error))?;
        let mut block = vec![0; HEADER_BLOCK as usize];
        // An unreadable header block is like a damaged one.
        let read = file.pread(0, &mut block).unwrap_or_else(|_| {
            block.fill(0xff);
            0
        });
        let header = SegmentHeader::parse(&path, &block[..read])?;
        let is_blank = block.iter().all(|byte| *byte == 0);
        let number = header.map_or(number, |header| header.number);
        segments.push(SegmentFile {
            name: name.clone(),
            file,
            bytes,
            header,
            is_blank,
            number,
        });
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// Sets aside segments of other journals and second copies.
fn own_segments(
    segments: Vec<SegmentFile>,
    incarnation: u64,
    quarantine: &mut Quarantine<'_>,
) -> Result<Vec<SegmentFile>, JournalError> {
    let mut own: Vec<SegmentFile> = Vec::new();
    for segment in segments {
        if segment
            .header
            .is_some_and(|header| header.incarnation != incarnation)
        {
            quarantine.set_aside(&segment.name, "the segment belongs to another journal")?;
        } else if own.last().is_some_and(|last| last.number == segment.number) {
            quarantine.set_aside(&segment.name, "another file has the same segment")?;
        } else {
            own.push(segment);
        }
    }
    Ok(own)
}

/// The readable checkpoints, oldest first, and the number for the next one.
fn read_checkpoints(
    disk: &dyn Disk,
    names: &[String],
    quarantine: &mut Quarantine<'_>,
) -> Result<(Vec<(u64, Checkpoint)>, u64), JournalError> {
    let (mut readable, mut next) = (Vec::new(), 1);
    for name in names {
        let Some(number) = checkpoint::number(name) else {
            continue;
        };
        next = number + 1;
        match read_whole(disk, name).and_then(|bytes| Checkpoint::parse(&path(name), &bytes)) {
            Ok(checkpoint) => readable.push((number, checkpoint)),
            Err(error @ JournalError::Version { .. }) => return Err(error),
            Err(_) => quarantine.set_aside(name, "the checkpoint is damaged")?,
        }
    }
    Ok((readable, next))
}

fn read_whole(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, JournalError> {
    let path = path(name);
    let read = disk.open(&path).and_then(|file| {
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
        let count = file.pread(0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    });
    read.map_err(|error| JournalError::io("read", &path, &error))
}

fn encode_identity(incarnation: u64) -> Vec<u8> {
    let mut out = IDENTITY_MAGIC.to_vec();
    put_u8(&mut out, VERSION);
    put_u64(&mut out, incarnation);
    let sum = crc32c::crc32c(&out);
    put_u32(&mut out, sum);
    out
}

/// The incarnation in the identity file; `None` when there is none or it is damaged.
fn read_identity(disk: &dyn Disk) -> Result<Option<u64>, JournalError> {
    let Ok(bytes) = read_whole(disk, IDENTITY) else {
        return Ok(None);
    };
    let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
        return Ok(None);
    };
    if crc32c::crc32c(content).to_le_bytes() != *sum || !content.starts_with(IDENTITY_MAGIC) {
        return Ok(None);
    }
    let mut from = Fields::new(&content[IDENTITY_MAGIC.len()..]);
    match from.u8() {
        Some(VERSION) => Ok(from.u64()),
        Some(found) => Err(JournalError::Version {
            path: path(IDENTITY),
            found,
            known: VERSION,
        }),
        None => Ok(None),
    }
}

/// Spares of the right size, and the number of the last one seen; others are removed.
fn read_spares(
    disk: &dyn Disk,
    names: &[String],
    bytes: u64,
) -> Result<(Vec<Spare>, u64), JournalError> {
    let (mut spares, mut last) = (Vec::new(), 0);
    for name in names {
        let Some(digits) = name.strip_prefix("spare-") else {
            continue;
        };
        last = u64::from_str_radix(digits, 16).unwrap_or(0).max(last);
        let path = path(name);
        let file = disk
            .open(&path)
            .map_err(|error| JournalError::io("open", &path, &error))?;
        if file
            .len()
            .map_err(|error| JournalError::io("stat", &path, &error))?
            == bytes
        {
            spares.push(Spare {
                name: name.clone(),
                file,
                bytes,
                warm: false,
            });
        } else {
            disk.remove(&path)
                .map_err(|error| JournalError::io("remove", &path, &error))?;
        }
    }
    Ok((spares, last))
}
