//! What is found, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use nsq_journal::{
    Chunk, Content, Disk, Journal, JournalError, JournalOptions, Lsn, Overlay, Record, Replay,
    SpillRef, SurveyedFile, survey,
};
use serde::Serialize;

use crate::clock::Clock;
use crate::nsqd::Nsqd;
use crate::options::Options;
use crate::pager::Housekeeping;
use crate::recovery::open_on;

/// Records listed one by one at most: what comes after is counted only.
const LISTED_MAX: usize = 1_000_000;

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// A server has locked the data path: what it has not written yet looks like a torn end.
    pub in_use: bool,
    pub incarnation: String,
    /// The opening of the journal that would come next.
    pub next_run: u64,
    /// Where the records end.
    pub end: Lsn,
    pub files: Vec<File>,
    /// Records that a start reads, by kind.
    pub records: BTreeMap<&'static str, Kind>,
    pub topics: Vec<Topic>,
    /// Ranges of the journal that cannot be read.
    pub holes: Vec<Hole>,
    /// Bytes of an unfinished record at the end: nobody was told that it was kept.
    pub torn_tail_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct File {
    pub name: String,
    pub bytes: u64,
    pub content: String,
    pub readable: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kind {
    pub count: u64,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Hole {
    pub from: Lsn,
    pub to: Lsn,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub struct Topic {
    pub name: String,
    pub paused: bool,
    /// Messages no channel has yet.
    pub depth: u64,
    pub channels: Vec<Channel>,
    pub spilled_blocks: u64,
    pub spilled_bytes: u64,
    /// Spilled blocks that cannot be read, and why the first of them cannot.
    pub unreadable_blocks: u64,
    pub unreadable_why: Option<String>,
    /// Messages lost with spill files that are gone.
    pub lost: u64,
}

#[derive(Debug, Serialize)]
pub struct Channel {
    pub name: String,
    pub paused: bool,
    pub depth: u64,
    pub deferred: u64,
}

impl Report {
    /// Reads everything below the disk, which stays as it is.
    ///
    /// # Errors
    /// What a server would refuse to start with.
    pub fn of(disk: &Arc<dyn Disk>, listed: bool) -> Result<Report, JournalError> {
        let mut seen = Seen {
            listing: listed,
            ..Seen::default()
        };
        let files = survey(&**disk)?;
        let options = JournalOptions {
            threads: false,
            ..JournalOptions::default()
        };
        let overlay = Overlay::over(Arc::clone(disk));
        let journal = Journal::open(overlay, options.clone(), &mut seen)?;
        let stats = journal.stats();
        let mut report = Report {
            incarnation: format!("{:016x}", journal.incarnation()),
            next_run: journal.run(),
            end: seen.end,
            files: files.into_iter().map(file).collect(),
            records: seen.records,
            holes: seen.holes,
            torn_tail_bytes: stats.recovery.torn_tail_bytes,
            listed: seen.listed,
            ..Report::default()
        };
        drop(journal);
        let overlay = Overlay::over(Arc::clone(disk));
        let server = Options::command("inspected").defaults();
        let nsqd = open_on(
            overlay,
            options,
            server,
            Clock::start(),
            Housekeeping::on_volume(u64::MAX, 0),
        )?;
        report.topics = topics(&nsqd);
        Ok(report)
    }

    /// Whether anything that was kept cannot be read.
    pub fn is_damaged(&self) -> bool {
        !self.holes.is_empty()
            || self.files.iter().any(|file| !file.readable)
            || self
                .topics
                .iter()
                .any(|topic| topic.unreadable_blocks + topic.lost > 0)
    }
}

fn file(file: SurveyedFile) -> File {
    let readable = !matches!(file.content, Content::Unreadable(_));
    let content = match file.content {
        Content::Segment { run, first, .. } => format!("records from {first}, run {run}"),
        Content::Checkpoint {
            at,
            keep_from,
            state_bytes,
            ..
        } => format!("state of {state_bytes} bytes at {at}, records from {keep_from}"),
        Content::Spare => "spare".to_owned(),
        Content::Unreadable(why) => format!("UNREADABLE: {why}"),
        Content::Other => String::new(),
    };
    File {
        name: file.name,
        bytes: file.bytes,
        content,
        readable,
    }
}

fn topics(nsqd: &Arc<Nsqd>) -> Vec<Topic> {
    let mut topics = Vec::new();
    for live in nsqd.topics() {
        let (stats, pages, lost) = live.read(|queue| {
            let pages: Vec<SpillRef> = queue.pages().map(SpillRef::from).collect();
            (queue.stats(), pages, queue.lost_count())
        });
        let mut unreadable = (0, None);
        for page in &pages {
            if let Err(error) = nsqd.spill.read_block(page) {
                unreadable.0 += 1;
                unreadable.1.get_or_insert(error.to_string());
            }
        }
        let channels = stats.channels.iter().map(|channel| Channel {
            name: channel.name.clone(),
            paused: channel.paused,
            depth: channel.depth,
            deferred: channel.deferred_count,
        });
        topics.push(Topic {
            name: live.name.clone(),
            paused: stats.paused,
            depth: stats.depth,
            channels: channels.collect(),
            spilled_blocks: pages.len() as u64,
            spilled_bytes: pages.iter().map(|page| u64::from(page.len)).sum(),
            unreadable_blocks: unreadable.0,
            unreadable_why: unreadable.1,
            lost,
        });
    }
    topics
}

/// Counts what a start reads.
#[derive(Default)]
struct Seen {
    records: BTreeMap<&'static str, Kind>,
    holes: Vec<Hole>,
    end: Lsn,
    listing: bool,
    listed: Vec<String>,
}

impl Replay for Seen {
    fn checkpoint(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn record(
        &mut self,
        lsn: Lsn,
        end: Lsn,
        record: Record<'_>,
        _chunk: &Arc<Chunk>,
    ) -> Result<(), String> {
        let kind = self.records.entry(record.name()).or_default();
        kind.count += 1;
        kind.bytes += end - lsn;
        self.end = end;
        if self.listing && self.listed.len() < LISTED_MAX {
            self.listed.push(format!("{lsn} {}", line(&record)));
        }
        Ok(())
    }

    fn quarantined(&mut self, from: Lsn, to: Lsn, why: &str) {
        let why = why.to_owned();
        self.holes.push(Hole { from, to, why });
    }
}

/// A record without its bodies.
fn line(record: &Record<'_>) -> String {
    match record {
        Record::Publish {
            topic,
            first_id,
            due,
            bodies,
            ..
        } => format!(
            "publish topic {topic}, {} from {first_id:016x}, {} bytes, due {due}",
            bodies.count,
            bodies.area.len()
        ),
        Record::Import {
            topic, id, body, ..
        } => format!("import topic {topic}, {id:016x}, {} bytes", body.len()),
        other => format!("{other:?}"),
    }
}
