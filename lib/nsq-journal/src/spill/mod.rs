//! Spill files: a backlog that does not fit in memory, in sequential files per topic.
//!
//! The journal keeps what is new, the spill files what waits. A block is written once, read back with one read,
//! and its file removed when all its blocks are released. Nothing here is durable before [`Spill::sync`], and
//! nothing needs to be: until a checkpoint names a block, the journal still has its messages.

mod block;
mod files;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::JournalError;
use crate::chunk::{CHUNK_BYTES_MAX, ChunkPool};
use crate::disk::Disk;

pub use block::LoadedBlock;
use files::{TopicFiles, directory, file_name};

/// Directory of the spill files below the data path.
const DIRECTORY: &str = "spill";

/// How spill files are kept.
#[derive(Debug, Clone, Copy)]
pub struct SpillOptions {
    /// A file that has reached this size is followed by another. Space is given back file by file.
    pub file_bytes: u64,
}

impl Default for SpillOptions {
    fn default() -> SpillOptions {
        SpillOptions {
            file_bytes: 32 << 20,
        }
    }
}

/// One spilled message. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpillEntry {
    /// When it was published.
    pub timestamp: i64,
    /// Position in the journal behind the record it came with.
    pub base: u64,
    /// Bytes of its body.
    pub len: u32,
}

/// Consecutive messages of one topic, without their bodies.
#[derive(Debug, Clone, Copy)]
pub struct SpillBlock<'a> {
    /// Id of the first message.
    pub first_id: u64,
    /// Place of the first message in its topic's backlog; kept for the owner, without meaning here.
    pub first_pos: u64,
    /// The messages, in order.
    pub entries: &'a [SpillEntry],
}

/// Names a block; plain data for the owner's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpillRef {
    /// The topic's number.
    pub topic: u32,
    /// The file's number within the topic.
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
    /// Bytes of the block.
    pub len: u32,
}

/// All spill files of one nsqd.
pub struct Spill {
    disk: Arc<dyn Disk>,
    pool: Arc<ChunkPool>,
    options: SpillOptions,
    topics: Mutex<BTreeMap<u32, Arc<Mutex<TopicFiles>>>>,
}

impl Spill {
    /// Looks at what is on `disk`. Call [`Spill::adopt`] next.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(
        disk: Arc<dyn Disk>,
        pool: Arc<ChunkPool>,
        options: SpillOptions,
    ) -> Result<Spill, JournalError> {
        disk.create_dir(DIRECTORY)
            .map_err(|error| JournalError::io("create", DIRECTORY, &error))?;
        let mut topics = BTreeMap::new();
        for name in disk
            .list(DIRECTORY)
            .map_err(|error| JournalError::io("list", DIRECTORY, &error))?
        {
            let Ok(topic) = name.parse::<u32>() else {
                continue;
            };
            topics.insert(
                topic,
                Arc::new(Mutex::new(TopicFiles::read(&*disk, topic)?)),
            );
        }
        Ok(Spill {
            disk,
            pool,
            options,
            topics: Mutex::new(topics),
        })
    }

    /// Tells which blocks the recovered state names; files without any are removed by later sweeps. Returns the
    /// blocks whose files do not exist: their unfinished messages are lost, which is to be reported.
    pub fn adopt(&self, live: &[SpillRef]) -> Vec<SpillRef> {
        let mut missing = Vec::new();
        for block in live {
            if !self.topic(block.topic).lock().adopt(block) {
                missing.push(*block);
            }
        }
        missing
    }

    /// Writes a block; `bodies` yields one slice per entry.
    ///
    /// # Errors
    /// [`JournalError::DiskFull`], other I/O errors (nothing was written then that anybody will see),
    /// [`JournalError::Invalid`] when bodies and entries differ, [`JournalError::TooLarge`] above a gibibyte.
    pub fn write_block<'a>(
        &self,
        topic: u32,
        block: &SpillBlock<'_>,
        bodies: impl Iterator<Item = &'a [u8]>,
    ) -> Result<SpillRef, JournalError> {
        let files = self.topic(topic);
        let mut files = files.lock();
        let (file, offset) = files.place(&*self.disk, self.options.file_bytes)?;
        let bytes = block::encode(topic, file, offset, block, bodies).ok_or(
            JournalError::Invalid("bodies and entries of a spill block differ"),
        )?;
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(JournalError::TooLarge {
                bytes: bytes.len() as u64,
                max: CHUNK_BYTES_MAX as u64,
            });
        }
        files.append(&bytes)?;
        Ok(SpillRef {
            topic,
            file,
            offset,
            len: bytes.len() as u32,
        })
    }

    /// Makes the topic's blocks durable; needed before a checkpoint names them.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`] from the first failed sync on: what the disk kept is unknown then, no
    /// checkpoint may name these blocks, and the process has to be restarted.
    pub fn sync(&self, topic: u32) -> Result<(), JournalError> {
        self.topic(topic).lock().sync(&*self.disk)
    }

    /// Reads a block into a chunk of its own.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it is not what was written, or what the disk said.
    pub fn read_block(&self, place: &SpillRef) -> Result<LoadedBlock, JournalError> {
        let path = file_name(place.topic, place.file);
        let damaged = |why: &str| JournalError::Damaged {
            path: path.clone(),
            why: why.to_owned(),
        };
        let len = place.len as usize;
        if len > CHUNK_BYTES_MAX {
            return Err(damaged("the reference is no block's"));
        }
        let file = self
            .disk
            .open(&path)
            .map_err(|error| JournalError::io("open", &path, &error))?;
        let mut writer = self.pool.chunk(0, len);
        let read = file.pread(place.offset, &mut writer.unfilled()[..len]);
        let read = read.map_err(|error| JournalError::io("read", &path, &error))?;
        if read < len {
            return Err(damaged("the file ends within the block"));
        }
        writer.advance(len);
        block::decode(place, writer.chunk()).ok_or_else(|| damaged("a block fails its checksum"))
    }

    /// Says that a block is no longer needed.
    pub fn release(&self, place: &SpillRef) {
        self.topic(place.topic).lock().release(place.file);
    }

    /// Says that none of a topic's blocks are needed any more.
    pub fn delete_topic(&self, topic: u32) {
        self.topic(topic).lock().release_all();
    }

    /// Removes files none of whose blocks are needed. To be called after each checkpoint: a file goes with the
    /// second sweep after its last block was released, when neither of the two checkpoints kept names it.
    ///
    /// # Errors
    /// When a file cannot be removed; the next sweep tries again.
    pub fn sweep(&self) -> Result<(), JournalError> {
        let topics: Vec<_> = self
            .topics
            .lock()
            .iter()
            .map(|(topic, files)| (*topic, Arc::clone(files)))
            .collect();
        for (topic, files) in topics {
            if files.lock().sweep(&*self.disk)? {
                // A directory that got a new file meanwhile is not empty and stays.
                let mut topics = self.topics.lock();
                if Arc::strong_count(&files) == 2 && self.disk.remove_dir(&directory(topic)).is_ok()
                {
                    topics.remove(&topic);
                }
            }
        }
        Ok(())
    }

    /// Bytes in spill files.
    pub fn disk_bytes(&self) -> u64 {
        let topics: Vec<_> = self.topics.lock().values().map(Arc::clone).collect();
        topics.iter().map(|files| files.lock().bytes()).sum()
    }

    fn topic(&self, topic: u32) -> Arc<Mutex<TopicFiles>> {
        let mut topics = self.topics.lock();
        Arc::clone(
            topics
                .entry(topic)
                .or_insert_with(|| Arc::new(Mutex::new(TopicFiles::new(topic)))),
        )
    }
}

#[cfg(test)]
mod tests;
