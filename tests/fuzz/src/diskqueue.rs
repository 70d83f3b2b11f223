//! A directory of the Go nsqd that was damaged in any way.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use nsq_journal::diskqueue::{Found, Head, QueueName, QueueWriter, Scanner};
use nsq_journal::sim::SimDisk;
use nsq_journal::{Disk, JournalOptions};
use nsqd::Clock;
use nsqd::engine::open_on;
use nsqd::from_go;
use nsqd::options::{Durability, Options};

use crate::data_path::housekeeping;

/// Nobody stops it.
static GO_ON: AtomicBool = AtomicBool::new(false);
const NOW: i64 = 1_700_000_000_000_000_000;
/// Copies of messages in the queues, before anything is damaged.
const COPIES: u64 = 40;
const FILE_BYTES: u64 = 400;
const METADATA: &[u8] = br#"{"topics":[{"name":"t","paused":false,"channels":[{"name":"c","paused":true},{"name":"d","paused":false}]},{"name":"p","paused":true,"channels":null}],"version":"1.3.0"}"#;

/// The first byte chooses. A file as it stands: found are only ranges of it, in order, and all of it is told of. Or a
/// directory, each six bytes of the rest doing something to a file: nothing of it may be lost or made up by an import.
pub fn diskqueue(input: &[u8]) {
    match input.split_first() {
        Some((0..=127, bytes)) => scan(bytes),
        Some((_, steps)) => import(steps),
        None => {}
    }
}

fn scan(bytes: &[u8]) {
    let disk = SimDisk::new();
    let Ok(file) = disk.create("f").and_then(|file| {
        file.pwrite(0, bytes)?;
        Ok(file)
    }) else {
        return;
    };
    let mut told = 0;
    for found in Scanner::new(&*file, 0).into_iter().flatten() {
        let (from, to) = match found {
            Found::Damage { from, to } => (from, to),
            Found::Message {
                body_at, body_len, ..
            } => (body_at - 30, body_at + u64::from(body_len)),
        };
        assert_eq!(from, told, "something was passed over");
        assert!(to > from, "nothing was found, again and again");
        told = to;
    }
    assert_eq!(told, bytes.len() as u64);
}

/// A copy of the directory.
fn whole() -> Option<Arc<SimDisk>> {
    static WHOLE: OnceLock<Option<Arc<SimDisk>>> = OnceLock::new();
    let whole = WHOLE.get_or_init(|| write().ok());
    whole.as_ref().map(|disk| disk.duplicate())
}

fn write() -> std::io::Result<Arc<SimDisk>> {
    let disk = SimDisk::new();
    for (topic, channel) in [("t", None), ("t", Some("c")), ("t", Some("d")), ("p", None)] {
        let name = QueueName {
            topic: topic.to_owned(),
            channel: channel.map(str::to_owned),
        };
        let mut queue = QueueWriter::new(name, FILE_BYTES);
        for number in 0..COPIES as i64 / 4 {
            let head = Head {
                timestamp: NOW - 1000 + number,
                attempts: u16::from(number % 5 == 0),
                id: *b"18a2c425a4007000",
            };
            queue.push(&*disk, &head, b"a body of its own")?;
        }
        queue.finish(&*disk)?;
    }
    disk.create("nsqd.dat")?.pwrite(0, METADATA)?;
    Ok(disk)
}

fn import(steps: &[u8]) {
    let Some(disk) = whole() else { return };
    for step in steps.chunks_exact(6) {
        damage(&disk, step);
    }
    let files: u64 = sizes(&*disk, "");
    let journal = JournalOptions {
        segment_bytes: 64 << 10,
        chunk_bytes: 4096,
        free_floor: 0,
        threads: false,
        ..JournalOptions::default()
    };
    let options = Options {
        durability: Durability::Write,
        ..Options::command("fuzzed").defaults()
    };
    let disk: Arc<dyn Disk> = disk;
    let clock = Clock::simulated(NOW);
    let Ok(nsqd) = open_on(Arc::clone(&disk), journal, options, clock, housekeeping()) else {
        return;
    };
    let Ok(Some(report)) = from_go::import(&nsqd, &disk, &GO_ON) else {
        return;
    };
    // Damage can make more messages only by what looks like one.
    assert!(report.messages * 30 <= files, "{report:?}");
    assert_eq!(
        sizes(&*disk, &report.aside),
        files,
        "the files are kept as they were"
    );
    assert!(
        matches!(from_go::import(&nsqd, &disk, &GO_ON), Ok(None)),
        "once"
    );
}

fn sizes(disk: &dyn Disk, dir: &str) -> u64 {
    let names = disk.list(dir).unwrap_or_default();
    let path = |name: &String| match dir {
        "" => name.clone(),
        dir => format!("{dir}/{name}"),
    };
    let length = |name: &String| disk.open(&path(name)).and_then(|file| file.len());
    names.iter().filter_map(|name| length(name).ok()).sum()
}

fn damage(disk: &SimDisk, step: &[u8]) {
    let names = disk.list("").unwrap_or_default();
    let Some(name) = names.get(usize::from(step[0]) % names.len().max(1)) else {
        return;
    };
    let at = usize::from(step[1]) << 8 | usize::from(step[2]);
    match step[3] % 6 {
        0 | 1 => disk.corrupt(name, |bytes| {
            if let Some(at) = at.checked_rem(bytes.len()) {
                bytes[at] ^= step[4].max(1);
            }
        }),
        2 => disk.corrupt(name, |bytes| bytes.truncate(at % (bytes.len() + 1))),
        3 => disk.corrupt(name, |bytes| {
            let from = at % (bytes.len() + 1);
            let to = (from + usize::from(step[4])).min(bytes.len());
            bytes[from..to].fill(step[5]);
        }),
        4 => drop(disk.remove(name)),
        _ => {
            let other = &names[usize::from(step[5]) % names.len()];
            let _ = disk.rename(name, other);
        }
    }
}
