//! Reading segments that may be damaged.

use crate::Lsn;
use crate::disk::DiskFile;
use crate::record::frame::{self, ALIGN, HEADER, Seed};
use crate::segment::HEADER_BLOCK;

/// Bytes looked at in one go when searching.
const WINDOW: usize = 64 << 10;

/// Where in its file a segment's part of the stream lies.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) seed: Seed,
    /// Position of the first record.
    pub(crate) first: Lsn,
    /// Where the segment's records end at the latest.
    pub(crate) limit: Lsn,
}

impl Span<'_> {
    /// Offset in the file of a position.
    pub(crate) fn offset(&self, at: Lsn) -> u64 {
        HEADER_BLOCK + (at - self.first)
    }

    /// Reads from a position on; returns how much there was.
    pub(crate) fn read(&self, at: Lsn, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.limit - at).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        read(self.file, self.offset(at), &mut buffer[..len])
    }

    /// The first position after `damaged` where a whole record lies.
    pub(crate) fn next_record(&self, damaged: Lsn) -> Option<Lsn> {
        let mut window = vec![0; WINDOW + HEADER];
        let mut base = damaged + ALIGN as u64;
        while base + (HEADER as u64) <= self.limit {
            let read = self.read(base, &mut window);
            if read < HEADER {
                return None;
            }
            for at in (0..=(read - HEADER).min(WINDOW - ALIGN)).step_by(ALIGN) {
                let lsn = base + at as u64;
                if let Some(header) = frame::parse(self.seed, lsn, &window[at..])
                    && self.is_whole(lsn, &header)
                {
                    return Some(lsn);
                }
            }
            base += WINDOW as u64;
        }
        None
    }

    fn is_whole(&self, lsn: Lsn, header: &frame::Header) -> bool {
        if header.framed() as u64 > self.limit - lsn {
            return false;
        }
        let mut payload = vec![0; header.len as usize];
        let read = self.read(lsn + HEADER as u64, &mut payload);
        read == payload.len() && header.matches(&payload)
    }
}

/// Reads what can be read. Where the disk gives an error, zeros stand in for the page: the checksums tell.
pub(crate) fn read(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> usize {
    if let Ok(count) = file.pread(offset, buffer) {
        return count;
    }
    let end = file.len().unwrap_or(0);
    let len = buffer
        .len()
        .min(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX));
    for (number, page) in buffer[..len].chunks_mut(4096).enumerate() {
        if file.pread(offset + number as u64 * 4096, page).is_err() {
            page.fill(0);
        }
    }
    len
}
