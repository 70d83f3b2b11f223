//! Coming from Go: a data path that the Go nsqd has left becomes ours before the node serves.
//!
//! Go keeps a copy of each message per channel; here a message is one, and waits in channels. So all copies are found
//! first, sorted by topic and time, and each message is taken in once ([`intake`]). What an interrupted import has done
//! is seen by the ids it gave ([`state`]). Go's files are moved aside at the end, never deleted.

mod intake;
pub(crate) mod metadata;
mod progress;
mod report;
pub(crate) mod state;
mod survey;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nsq_journal::diskqueue::Listing;
use nsq_journal::{Disk, JournalError};
use nsq_protocol::MessageId;

use crate::journal_log;
use crate::nsqd::Nsqd;
use intake::Intake;
pub use report::Report;
use state::State;

/// Why a Go nsqd's data could not be taken over. Nothing of it was changed, and the next start goes on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("import of the Go nsqd's data: {0}")]
    Io(#[from] io::Error),
    #[error("import of the Go nsqd's data: {0}")]
    Journal(#[from] JournalError),
    #[error(
        "import of the Go nsqd's data needs {needed} bytes of free disk, its files stay where they are; there are {free}"
    )]
    NoSpace { needed: u64, free: u64 },
    #[error("import of the Go nsqd's data was stopped: the next start goes on with it")]
    Stopped,
}

/// Imports what a Go nsqd left on the disk, if anything. The node does not serve yet. Ends early once `stop` is set.
///
/// # Errors
/// [`ImportError`].
pub fn import(
    nsqd: &Arc<Nsqd>,
    disk: &Arc<dyn Disk>,
    stop: &AtomicBool,
) -> Result<Option<Report>, ImportError> {
    let known = state::read(&**disk)?;
    let listing = Listing::of(&disk.list("")?);
    if let Some(aside) = known.as_ref().and_then(|state| state.aside.as_deref()) {
        put_aside(&**disk, &listing, aside)?;
        return Ok(None);
    }
    if listing.is_empty() {
        state::clear(&**disk)?;
        return Ok(None);
    }
    tracing::info!("GO: importing the data of a Go nsqd");
    disk.create_dir(state::DIRECTORY)?;
    let fingerprint = fingerprint(&**disk, &listing)?;
    let mut report = Report {
        bad_files: listing.bad.len() as u64,
        ..Report::default()
    };
    let survey = survey::survey(disk, &listing, stop, &mut report)?;
    let count = survey.sorter.count();
    check_space(&**disk, survey.least_bytes())?;
    let again = known.filter(|state| state.fingerprint == fingerprint);
    intake::make(nsqd, &survey.topics, again.is_none())?;
    let state = match again {
        Some(state) => {
            tracing::info!("GO: going on with an import that was interrupted");
            state
        }
        None => State {
            fingerprint,
            first_id: MessageId::new(nsqd.options.node(), nsqd.take_sequences(count)).0,
            aside: None,
        },
    };
    state::write(&**disk, &state)?;
    nsqd.note_id(state.first_id + count);
    Intake::new(nsqd, disk, &survey.topics, &survey.queues, state.first_id).run(
        survey.sorter,
        stop,
        &mut report,
    )?;
    journal_log::log_all(nsqd);
    nsqd.journal.sync()?;
    let aside = state::free_name(&**disk)?;
    let state = State {
        aside: Some(aside.clone()),
        ..state
    };
    state::write(&**disk, &state)?;
    put_aside(&**disk, &listing, &aside)?;
    report.topics = survey.topics.len() as u64;
    report.aside = aside;
    report.tell();
    Ok(Some(report))
}

/// Whether it is to end early.
fn go_on(stop: &AtomicBool) -> Result<(), ImportError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(ImportError::Stopped),
        false => Ok(()),
    }
}

/// Moves Go's files away, and forgets the import.
fn put_aside(disk: &dyn Disk, listing: &Listing, aside: &str) -> io::Result<()> {
    disk.create_dir(aside)?;
    for file in listing.files() {
        disk.rename(file, &format!("{aside}/{file}"))?;
    }
    disk.sync_dir(aside)?;
    disk.sync_dir("")?;
    state::clear(disk)
}

/// Of names, sizes and what the small files say.
fn fingerprint(disk: &dyn Disk, listing: &Listing) -> io::Result<u32> {
    let mut sum = 0;
    for name in listing.files() {
        let len = disk.open(name)?.len()?;
        sum = crc32c::crc32c_append(sum, name.as_bytes());
        sum = crc32c::crc32c_append(sum, &len.to_be_bytes());
        if name == "nsqd.dat" || name.ends_with(".meta.dat") {
            sum = crc32c::crc32c_append(sum, &state::read_all(disk, name)?);
        }
    }
    Ok(sum)
}

/// Bodies are written to the journal, and from there to spill files; an eighth for what stands around them.
fn check_space(disk: &dyn Disk, bytes: u64) -> Result<(), ImportError> {
    let (needed, free) = (bytes + bytes / 8, disk.free_space()?);
    match needed > free {
        true => Err(ImportError::NoSpace { needed, free }),
        false => Ok(()),
    }
}
