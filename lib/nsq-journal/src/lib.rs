//! One write-ahead journal per nsqd, shared by all its topics, and the spill files beside it.
//!
//! Records are copied once, into the chunk that is both the journal's write buffer and the memory from which
//! messages are delivered. `docs/journal.md` describes the files and the promises.

mod checkpoint;
mod chunk;
mod commit;
mod disk;
pub mod diskqueue;
mod durations;
mod error;
mod journal;
mod log;
mod memory;
mod record;
mod recovery;
mod segment;
mod space;
mod spill;
mod staging;
mod stream;
mod survey;
mod writer;
mod written;

pub use chunk::{CHUNK_BYTES_MAX, Chunk, ChunkPool, ChunkWriter};
pub use commit::{Waiter, WakeAll};
pub use disk::{DirectoryLock, Disk, DiskFile, Overlay, RealDisk, lock_directory, sim};
pub use durations::{BUCKETS, DurationCounts, Durations};
pub use error::JournalError;
pub use journal::{Journal, JournalOptions, JournalStats, PublishHead};
pub use memory::MemoryLog;
pub use record::{
    IdRange, Item, List, Position, Record, Requeued, SliceRecord, StoredBodies, check_slice,
    slice_records,
};
pub use recovery::{Recovery, Replay};
pub use spill::{LoadedBlock, Spill, SpillBlock, SpillEntry, SpillOptions, SpillRef};
pub use staging::{Bodies, Measured, Placed};
pub use stream::{Slice, StreamError, StreamReader};
pub use survey::{Content, SurveyedFile, survey};

/// Byte position in the stream of records. Counts on over runs; a run that begins after a power cut goes on
/// where the last readable record of the previous run ended.
pub type Lsn = u64;
