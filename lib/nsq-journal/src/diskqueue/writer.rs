//! Writes a queue as the Go nsqd reads it.

use std::io;

use super::directory::{QueueName, file_name, meta_name};
use super::message::{HEAD_BYTES, Head};
use super::meta::Meta;
use crate::disk::Disk;

/// What a queue's files hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub messages: u64,
    pub bytes: u64,
    /// The longest body.
    pub longest: u32,
}

/// A queue under way. Holds no file open: there may be many thousands of channels.
pub struct QueueWriter {
    name: QueueName,
    file_bytes: u64,
    number: u64,
    /// Bytes of the current file, buffered ones included.
    size: u64,
    buffer: Vec<u8>,
    written: Written,
}

impl QueueWriter {
    /// A file is closed before it grows beyond `file_bytes`, unless a single message is longer.
    pub fn new(name: QueueName, file_bytes: u64) -> Self {
        Self {
            name,
            file_bytes,
            number: 0,
            size: 0,
            buffer: Vec::new(),
            written: Written::default(),
        }
    }

    /// Bytes that wait for [`QueueWriter::flush`].
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a message; it is in a file after the next flush.
    ///
    /// # Errors
    /// When a full file cannot be written.
    pub fn push(&mut self, disk: &dyn Disk, head: &Head, body: &[u8]) -> io::Result<()> {
        let length = HEAD_BYTES + body.len();
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let prefix = u32::try_from(length).map_err(too_long)?;
        let bytes = 4 + length as u64;
        if self.size > 0 && self.size + bytes > self.file_bytes {
            self.flush(disk)?;
            self.sync(disk)?;
            self.number += 1;
            self.size = 0;
        }
        self.buffer.extend(prefix.to_be_bytes());
        self.buffer.extend(head.to_bytes());
        self.buffer.extend(body);
        self.size += bytes;
        self.written.messages += 1;
        self.written.bytes += bytes;
        self.written.longest = self.written.longest.max(body.len() as u32);
        Ok(())
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let name = file_name(&self.name, self.number);
        let at = self.size - self.buffer.len() as u64;
        let file = match at {
            0 => disk.create(&name)?,
            _ => disk.open(&name)?,
        };
        file.pwrite(at, &self.buffer)?;
        self.buffer = Vec::new();
        Ok(())
    }

    fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.open(&file_name(&self.name, self.number))?.sync_data()
    }

    /// Writes the rest and the meta file, and makes their content durable. A queue of no messages has no files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self, disk: &dyn Disk) -> io::Result<Written> {
        if self.written.messages == 0 {
            return Ok(self.written);
        }
        self.flush(disk)?;
        self.sync(disk)?;
        let meta = Meta {
            depth: i64::try_from(self.written.messages).unwrap_or(i64::MAX),
            read: (0, 0),
            write: (self.number, self.size),
        };
        let file = disk.create(&meta_name(&self.name))?;
        file.pwrite(0, meta.to_string().as_bytes())?;
        file.sync_data()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diskqueue::{Found, Scanner};
    use crate::sim::SimDisk;

    #[test]
    fn files_roll_as_in_go_and_are_read_back() {
        let disk = SimDisk::new();
        let name = QueueName {
            topic: "dq".to_owned(),
            channel: Some("ch".to_owned()),
        };
        let mut queue = QueueWriter::new(name, 400);
        for at in 0..23i64 {
            let head = Head {
                timestamp: 1 + at,
                attempts: at as u16,
                id: *b"18a2c425a4007000",
            };
            queue.push(&*disk, &head, b"message-00").unwrap();
            if at % 3 == 0 {
                queue.flush(&*disk).unwrap();
            }
        }
        let written = queue.finish(&*disk).unwrap();
        assert_eq!(
            (written.messages, written.bytes, written.longest),
            (23, 920, 10)
        );
        let meta = disk.open("dq:ch.diskqueue.meta.dat").unwrap();
        let mut text = vec![0; meta.len().unwrap() as usize];
        meta.pread(0, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "23\n0,0\n2,120\n");
        let mut seen = Vec::new();
        for (number, bytes) in [(0, 400), (1, 400), (2, 120)] {
            let file = disk
                .open(&format!("dq:ch.diskqueue.{number:06}.dat"))
                .unwrap();
            assert_eq!(file.len().unwrap(), bytes);
            for found in Scanner::new(&*file, 0).unwrap() {
                match found {
                    Found::Message { head, .. } => seen.push(head.timestamp),
                    Found::Damage { .. } => panic!("{found:?}"),
                }
            }
        }
        assert_eq!(seen, (1..=23).collect::<Vec<_>>());
    }
}
