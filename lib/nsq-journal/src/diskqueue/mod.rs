//! The backlog files of the Go nsqd ("diskqueue"): read, with whatever can be saved of damaged ones, and written.
//!
//! Each topic and each channel has its own queue: files `NAME.diskqueue.000000.dat` and so on, read from the front and
//! written at the back, and `NAME.diskqueue.meta.dat` with the two places. NAME is `topic` or `topic:channel`. A file is
//! nothing but records: u32 length, i64 timestamp, u16 attempts, 16 bytes of id, body. There is no checksum.

mod directory;
mod message;
mod meta;
mod scan;
mod sort;
mod writer;

pub use directory::{Listing, QueueFiles, QueueName, file_name, meta_name};
pub use message::{HEAD_BYTES, Head};
pub use meta::Meta;
pub use scan::{Found, MESSAGE_BYTES_MAX, Scanner, read_body};
pub use sort::{Entry, Merge, Sorter};
pub use writer::{QueueWriter, Written};
