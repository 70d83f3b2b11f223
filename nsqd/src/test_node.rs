//! A node without threads and sockets, for unit tests.

use std::path::Path;
use std::sync::Arc;

use nsq_journal::{Disk, JournalOptions, RealDisk};

use crate::clock::Clock;
use crate::nsqd::Nsqd;
use crate::options::Options;
use crate::pager::Housekeeping;
use crate::recovery::open_on;

/// On that data path; with other segments than usual, if they are to be many.
pub fn open(data: &Path, segment_bytes: Option<u64>) -> Arc<Nsqd> {
    open_disk(RealDisk::new(data), segment_bytes)
}

/// On that disk.
pub fn open_disk(disk: Arc<dyn Disk>, segment_bytes: Option<u64>) -> Arc<Nsqd> {
    let defaults = JournalOptions::default();
    let journal = JournalOptions {
        segment_bytes: segment_bytes.unwrap_or(defaults.segment_bytes),
        threads: false,
        ..defaults
    };
    let options = Options::command("n").defaults();
    let (clock, house) = (Clock::start(), Housekeeping::on_volume(1 << 30, 0));
    open_on(disk, journal, options, clock, house).unwrap()
}
