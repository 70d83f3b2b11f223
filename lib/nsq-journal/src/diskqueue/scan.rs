//! Reads a data file from front to back. The Go nsqd gives a file up at the first length that cannot be; here the rest
//! of it is looked through for where the next record begins.

use std::io;

use super::message::{HEAD_BYTES, Head};
use crate::disk::DiskFile;

/// No message is longer than this: a length above it is damage.
pub const MESSAGE_BYTES_MAX: u64 = 256 << 20;

/// Bytes of a record before its body.
const START: u64 = 4 + HEAD_BYTES as u64;
/// How much is read at a time.
const WINDOW: usize = 256 << 10;
/// What cannot be read is passed over in pieces of this size.
const PAGE: usize = 4096;

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Message {
        head: Head,
        /// Where the body lies.
        body_at: u64,
        body_len: u32,
        /// The length was wrong: the body ends where the next record begins.
        mended: bool,
    },
    /// Nothing that can be read lies in between.
    Damage { from: u64, to: u64 },
}

/// Walks through the records of a file.
pub struct Scanner<'a> {
    file: &'a dyn DiskFile,
    pos: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// From where a search found what: it is not repeated.
    searched: Option<(u64, Option<u64>)>,
}

impl<'a> Scanner<'a> {
    /// Begins at `from`.
    ///
    /// # Errors
    /// When the file's length cannot be had.
    pub fn new(file: &'a dyn DiskFile, from: u64) -> io::Result<Self> {
        let end = file.len()?;
        Ok(Self {
            file,
            pos: from.min(end),
            end,
            window: Vec::new(),
            window_at: 0,
            searched: None,
        })
    }

    /// How far it is.
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// What can be told of the record at `at`: its length, and its head if it can be one.
    fn start(&mut self, at: u64) -> Option<(u64, Option<Head>)> {
        let bytes = self.bytes(at, START as usize);
        let (length, head) = bytes.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        // A negative length is too long as well.
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        Some((length, Head::parse(head)))
    }

    /// A record that can be one, and where it ends.
    fn record(&mut self, at: u64) -> Option<(Head, u64)> {
        let (length, head) = self.start(at)?;
        let fits = length >= HEAD_BYTES as u64 && length <= MESSAGE_BYTES_MAX;
        let end = at.checked_add(4)?.checked_add(length)?;
        (fits && end <= self.end).then_some((head?, end))
    }

    /// Whether a record, whole or cut off, or the end of the file is here.
    fn may_begin(&mut self, at: u64) -> bool {
        if at + START > self.end {
            return true;
        }
        let start = self.start(at);
        start.is_some_and(|(length, head)| length >= HEAD_BYTES as u64 && head.is_some())
    }

    /// The first place from `from` on where a record is that another follows.
    fn search(&mut self, from: u64) -> Option<u64> {
        if let Some((searched, found)) = self.searched
            && from >= searched
            && found.is_none_or(|found| from <= found)
        {
            return found;
        }
        let last = self.end.saturating_sub(START);
        let found = (from..=last).find(|&at| match self.record(at) {
            Some((_, end)) => self.may_begin(end),
            None => false,
        });
        self.searched = Some((from, found));
        found
    }

    fn message(&mut self, head: Head, to: u64, mended: bool) -> Found {
        let body_at = self.pos + START;
        self.pos = to;
        Found::Message {
            head,
            body_at,
            body_len: (to - body_at) as u32,
            mended,
        }
    }

    /// A part of the file, shorter than asked for at its end; what cannot be read is zeros.
    fn bytes(&mut self, at: u64, len: usize) -> &[u8] {
        let within =
            at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !within {
            let wanted = (self.end.saturating_sub(at)).min(WINDOW as u64) as usize;
            self.window_at = at;
            self.window.clear();
            self.window.resize(wanted, 0);
            if !matches!(self.file.pread(at, &mut self.window), Ok(read) if read == wanted) {
                self.window.fill(0);
                for (index, page) in self.window.chunks_mut(PAGE).enumerate() {
                    let read = self.file.pread(at + (index * PAGE) as u64, page);
                    if read.is_err() {
                        page.fill(0);
                    }
                }
            }
        }
        let from = ((at - self.window_at) as usize).min(self.window.len());
        let to = (from + len).min(self.window.len());
        &self.window[from..to]
    }
}

impl Iterator for Scanner<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let pos = self.pos;
        if pos >= self.end {
            return None;
        }
        if let Some((head, to)) = self.record(pos) {
            if self.may_begin(to) {
                return Some(self.message(head, to, false));
            }
            // The length may be wrong. If another record begins within this one, that is where it ends.
            return Some(match self.search(pos + START) {
                Some(next) if next < to => self.message(head, next, true),
                _ => self.message(head, to, false),
            });
        }
        let head = self.start(pos).and_then(|(_, head)| head);
        if let Some(head) = head {
            let next = self.search(pos + START);
            if let Some(next) = next.filter(|next| next - pos <= MESSAGE_BYTES_MAX) {
                return Some(self.message(head, next, true));
            }
        }
        let to = self.search(pos + 1).unwrap_or(self.end);
        self.pos = to;
        Some(Found::Damage { from: pos, to })
    }
}

/// A message's body.
///
/// # Errors
/// When it cannot be read, or the file has become shorter.
pub fn read_body(file: &dyn DiskFile, at: u64, len: u32, body: &mut Vec<u8>) -> io::Result<()> {
    body.clear();
    body.resize(len as usize, 0);
    match file.pread(at, body)? {
        read if read == body.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::Disk;
    use crate::sim::SimDisk;

    fn record(number: u8, body: &[u8]) -> Vec<u8> {
        let head = Head {
            timestamp: 1_700_000_000_000_000_000 + i64::from(number),
            attempts: u16::from(number),
            id: *b"18a2c425a4007000",
        };
        let mut bytes = ((HEAD_BYTES + body.len()) as u32).to_be_bytes().to_vec();
        bytes.extend(head.to_bytes());
        bytes.extend(body);
        bytes
    }

    fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = SimDisk::new().create("f").unwrap();
        file.pwrite(0, bytes).unwrap();
        file
    }

    /// Bodies, with `+` where a length was mended, and `!` for damage.
    fn told(bytes: &[u8]) -> Vec<String> {
        let file = file(bytes);
        let mut body = Vec::new();
        let told = Scanner::new(&*file, 0).unwrap().map(|found| match found {
            Found::Damage { from, to } => format!("!{}", to - from),
            Found::Message {
                body_at,
                body_len,
                mended,
                ..
            } => {
                read_body(&*file, body_at, body_len, &mut body).unwrap();
                let mark = if mended { "+" } else { "" };
                format!("{mark}{}", String::from_utf8_lossy(&body))
            }
        });
        told.collect()
    }

    fn three() -> Vec<u8> {
        [record(1, b"one"), record(2, b"twotwo"), record(3, b"three")].concat()
    }

    #[test]
    fn whole_files_are_read_from_anywhere_between_records() {
        assert_eq!(told(&three()), ["one", "twotwo", "three"]);
        let whole = file(&three());
        assert_eq!(Scanner::new(&*whole, 33).unwrap().count(), 2);
        assert_eq!(Scanner::new(&*whole, 1 << 40).unwrap().count(), 0);
        assert!(told(b"").is_empty());
    }

    #[test]
    fn a_wrong_length_is_mended_by_where_the_next_record_begins() {
        for length in [0u32, 5, 25, 26, 27, 40, 60, 1 << 20, u32::MAX] {
            let mut bytes = three();
            bytes[..4].copy_from_slice(&length.to_be_bytes());
            let told = told(&bytes);
            let end = &told[told.len() - 2..];
            assert_eq!(end, ["twotwo", "three"], "{length}: {told:?}");
            // A shorter length that can be one is believed; what is left of the body is no record.
            let first = ["+one", "", "o"].contains(&told[0].as_str());
            assert!(first, "{length}: {told:?}");
        }
    }

    #[test]
    fn a_destroyed_head_costs_its_own_message_only() {
        let mut bytes = three();
        bytes[33..33 + 30].fill(0);
        assert_eq!(told(&bytes), ["one", "!36", "three"]);
    }

    #[test]
    fn a_torn_end_is_told() {
        let bytes = three();
        for cut in 70..bytes.len() {
            let told = told(&bytes[..cut]);
            assert_eq!(told[..2], ["one", "twotwo"]);
            assert_eq!(told[2], format!("!{}", cut - 69), "{cut}");
        }
        let zeros = [three(), vec![0; 1 << 20]].concat();
        assert_eq!(told(&zeros)[2..], ["three", "!1048576"]);
    }

    #[test]
    fn nothing_but_rubbish_ends() {
        let rubbish: Vec<u8> = (0..100_000u32).map(|at| ((at * 7919) >> 3) as u8).collect();
        assert_eq!(told(&rubbish), ["!100000"]);
        // Heads without end, none of which is followed by another.
        let heads: Vec<u8> = (0..3000)
            .flat_map(|_| record(1, b"x")[4..].to_vec())
            .collect();
        assert!(told(&heads).len() <= 3000);
    }
}
