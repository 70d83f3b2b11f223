//! Data paths that the Go nsqd wrote, stopped and killed, whole and damaged: what comes over, and what goes back.
//!
//! `tests/from_go/*.txt` were written by NSQ 1.3.0: 20 messages of `orders` for two channels, of which one consumer
//! finished three and held five; `idle` without channels; `held` paused with messages on both sides; `calm` with a paused
//! channel and a deferred message. The killed one had four more `orders`, and its places are those of a moment before.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nsq_journal::sim::{Faults, SimDisk};
use nsq_journal::{Disk, JournalOptions};
use nsq_protocol::MessageId;
use nsqd::engine::{Housekeeping, open_on, take_checkpoint};
use nsqd::options::{Durability, Options};
use nsqd::{Clock, Nsqd, from_go, to_go};
use support::Node;
use support::files::unpack;
use tempfile::TempDir;

/// Nobody stops it.
static GO_ON: AtomicBool = AtomicBool::new(false);
const NOW: i64 = 1_800_000_000_000_000_000;

fn fixture(name: &str) -> TempDir {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/from_go/{name}.txt"));
    unpack(&fs::read_to_string(path).unwrap())
}

/// A copy of a directory on a disk whose plug can be pulled.
fn simulated(dir: &Path) -> Arc<SimDisk> {
    let disk = SimDisk::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let file = disk.create(entry.file_name().to_str().unwrap()).unwrap();
        file.pwrite(0, &fs::read(entry.path()).unwrap()).unwrap();
        file.sync_data().unwrap();
    }
    disk.sync_dir("").unwrap();
    disk
}

fn open(disk: &Arc<dyn Disk>) -> Result<Arc<Nsqd>, nsq_journal::JournalError> {
    let journal = JournalOptions {
        segment_bytes: 64 << 10,
        chunk_bytes: 4096,
        free_floor: 0,
        threads: false,
        ..JournalOptions::default()
    };
    let options = Options {
        durability: Durability::Write,
        ..Options::command("moved").defaults()
    };
    let (clock, house) = (Clock::simulated(NOW), Housekeeping::on_volume(1 << 30, 0));
    open_on(Arc::clone(disk), journal, options, clock, house)
}

type Message = (String, u16);

/// What waits: bodies and attempts by `topic` (no channel has it) and `topic:channel`.
fn waiting(nsqd: &Arc<Nsqd>) -> BTreeMap<String, BTreeSet<Message>> {
    let mut all: BTreeMap<String, BTreeSet<Message>> = BTreeMap::new();
    for topic in nsqd.topics() {
        let names: Vec<(u32, String)> = topic.read(|queue| {
            let channels = queue.channels();
            channels
                .map(|channel| (channel.number, channel.name.clone()))
                .collect()
        });
        for (_, name) in &names {
            all.entry(format!("{}:{name}", topic.name)).or_default();
        }
        let mut from = Some(0);
        while let Some(at) = from {
            let batch = topic.read(|queue| queue.unfinished(at));
            assert!(batch.needs.is_none(), "small enough to stay in memory");
            from = batch.next;
            for message in batch.messages {
                let bytes = message.chunk.0.bytes(message.offset, message.len);
                let body = String::from_utf8(bytes.to_vec()).unwrap();
                if message.held {
                    let queue = all.entry(topic.name.clone()).or_default();
                    assert!(queue.insert((body.clone(), 0)), "twice: {body}");
                }
                for pending in message.pending {
                    let name = &names
                        .iter()
                        .find(|name| name.0 == pending.channel)
                        .unwrap()
                        .1;
                    let queue = all.get_mut(&format!("{}:{name}", topic.name)).unwrap();
                    assert!(
                        queue.insert((body.clone(), pending.attempts)),
                        "twice: {body}"
                    );
                }
            }
        }
    }
    all
}

fn of(prefix: &str, numbers: impl IntoIterator<Item = u32>, attempts: u16) -> Vec<Message> {
    let width = if prefix == "order" { 2 } else { 1 };
    let name = |number| (format!("{prefix}-{number:0width$}"), attempts);
    numbers.into_iter().map(name).collect()
}

fn set(parts: &[Vec<Message>]) -> BTreeSet<Message> {
    parts.concat().into_iter().collect()
}

/// What the stopped node had.
fn stopped() -> BTreeMap<String, BTreeSet<Message>> {
    let calm = vec![("calm-0".to_owned(), 0), ("deferred".to_owned(), 0)];
    BTreeMap::from([
        ("orders:bill".to_owned(), set(&[of("order", 0..20, 0)])),
        // Three were finished, of the eight that a consumer got; the other five it has seen.
        (
            "orders:ship".to_owned(),
            set(&[of("order", 3..8, 1), of("order", 8..20, 0)]),
        ),
        ("idle".to_owned(), set(&[of("idle", 0..5, 0)])),
        ("held".to_owned(), set(&[of("late", 0..4, 0)])),
        ("held:c".to_owned(), set(&[of("early", 0..3, 0)])),
        ("calm:c".to_owned(), set(&[calm])),
    ])
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_stopped_node_comes_over_whole_and_serves() {
    let data = fixture("v1.3.0-stopped");
    let went = names(data.path());
    let node = Node::start_in(data, &[]).await;
    assert_eq!(waiting(&node.nsqd), stopped());
    let topics = node.nsqd.topics();
    let paused: Vec<bool> = topics
        .iter()
        .map(|topic| topic.read(|queue| queue.paused))
        .collect();
    assert_eq!(
        paused,
        [false, true, false, false],
        "calm, held, idle, orders"
    );
    let calm = node.nsqd.find_topic("calm").unwrap();
    assert!(calm.read(|queue| queue.channel("c").unwrap().paused));
    // What a consumer has seen keeps its id, everything its time.
    let mut consumer = node.consumer("orders", "ship", 100).await;
    let mut seen = BTreeMap::new();
    for _ in 0..17 {
        let message = consumer.message().await;
        seen.insert(message.body.clone(), message);
    }
    assert_eq!(seen["order-03"].attempts, 2);
    assert_eq!(seen["order-08"].attempts, 1);
    let raw = fs::read(
        node.data
            .path()
            .join("from-go/orders:ship.diskqueue.000001.dat"),
    )
    .unwrap();
    let at = raw.windows(8).position(|part| part == b"order-03").unwrap();
    assert_eq!(seen["order-03"].id.as_bytes(), &raw[at - 16..at]);
    let raw = fs::read(
        node.data
            .path()
            .join("from-go/orders:bill.diskqueue.000000.dat"),
    )
    .unwrap();
    let at = raw.windows(8).position(|part| part == b"order-08").unwrap();
    assert_eq!(
        seen["order-08"].timestamp.to_be_bytes(),
        raw[at - 26..at - 18]
    );
    assert_ne!(seen["order-08"].id.as_bytes(), &raw[at - 16..at]);
    drop(consumer);
    // Go's files are aside, all of them, and nothing is imported again.
    assert_eq!(names(&node.data.path().join("from-go")), went);
    let data = node.stop().await;
    assert!(
        !names(data.path())
            .iter()
            .any(|name| name.contains("diskqueue") || name.starts_with("go-import"))
    );
    let node = Node::start_in(data, &[]).await;
    assert_eq!(waiting(&node.nsqd)["orders:bill"].len(), 20);
    node.stop().await;
}

#[tokio::test]
async fn a_killed_node_comes_over_with_what_its_places_do_not_know() {
    let node = Node::start_in(fixture("v1.3.0-killed"), &[]).await;
    let waits = waiting(&node.nsqd);
    // Its own queue and those of its channels both have the last four: each channel gets them once.
    assert_eq!(waits["orders:bill"], set(&[of("order", 0..24, 0)]));
    assert_eq!(waits["orders:ship"], set(&[of("order", 8..24, 0)]));
    assert_eq!(waits["held"], set(&[of("late", 0..4, 0)]));
    assert_eq!(waits["calm:c"].len(), 1);
    assert!(names(&node.data.path().join("from-go")).contains("orders.diskqueue.000000.dat.bad"));
    node.stop().await;
}

/// Start, import, and what waits then.
fn imported(disk: &Arc<dyn Disk>) -> (BTreeMap<String, BTreeSet<Message>>, from_go::Report) {
    let nsqd = open(disk).unwrap();
    let report = from_go::import(&nsqd, disk, &GO_ON)
        .unwrap()
        .unwrap_or_default();
    (waiting(&nsqd), report)
}

/// Power cuts at each moment.
const CUTS: u64 = 8;

#[tokio::test]
async fn whenever_the_power_goes_the_next_start_goes_on() {
    let data = simulated(fixture("v1.3.0-stopped").path());
    for ops in 0.. {
        // Each leaves something else of what was not synced; all are tried.
        let tried: Vec<bool> = (0..CUTS)
            .map(|cut| power_goes_after(&data, ops, ops * CUTS + cut))
            .collect();
        if tried.contains(&true) {
            return;
        }
    }
}

/// The import is cut off after so many disk operations, and done once more. True: it was finished before.
fn power_goes_after(data: &SimDisk, ops: u64, seed: u64) -> bool {
    let disk = data.duplicate();
    disk.set_faults(Faults {
        power_off_after: Some(ops),
        ..Faults::default()
    });
    let first: Arc<dyn Disk> = disk.clone();
    let finished = open(&first).is_ok_and(|nsqd| from_go::import(&nsqd, &first, &GO_ON).is_ok());
    disk.power_cut(seed);
    let again: Arc<dyn Disk> = disk.clone();
    let what = format!("after {ops} operations, seed {seed}");
    assert_eq!(imported(&again).0, stopped(), "{what}");
    assert_eq!(disk.list("from-go").unwrap().len(), 17, "{what}");
    finished
}

/// The stopped node's directory after `change`, imported.
fn damaged(
    change: impl FnOnce(&SimDisk),
) -> (BTreeMap<String, BTreeSet<Message>>, from_go::Report) {
    let disk = simulated(fixture("v1.3.0-stopped").path());
    change(&disk);
    imported(&(disk as Arc<dyn Disk>))
}

#[tokio::test]
async fn damaged_metadata_costs_no_message() {
    let (waits, report) = damaged(|disk| disk.corrupt("nsqd.dat", |bytes| bytes.truncate(50)));
    assert_eq!(report.damage, 1);
    // That `held` was paused is not known any more: its messages go on to the channel.
    let held = set(&[of("early", 0..3, 0), of("late", 0..4, 0)]);
    assert_eq!(waits["held:c"], held);
    assert_eq!(waits["orders:ship"], stopped()["orders:ship"]);
    let (waits, report) = damaged(|disk| disk.remove("nsqd.dat").unwrap());
    assert_eq!((report.damage, waits["held:c"].len()), (0, 7));
    // Without a place, all that there is in the files comes, finished or not. The first two never were in one.
    let everything = set(&[of("order", 2..20, 0), of("order", 3..8, 1)]);
    let meta = "orders:ship.diskqueue.meta.dat";
    for change in [
        (|disk, name| disk.remove(name).unwrap()) as fn(&SimDisk, &str),
        |disk, name| disk.corrupt(name, |bytes| bytes.fill(0)),
        |disk, name| disk.corrupt(name, |bytes| bytes.truncate(4)),
    ] {
        let (waits, _) = damaged(|disk| change(disk, meta));
        // A copy with attempts and one without are one message, which was delivered.
        let bodies = |messages: &BTreeSet<Message>| -> BTreeSet<String> {
            messages.iter().map(|message| message.0.clone()).collect()
        };
        assert_eq!(bodies(&waits["orders:ship"]), bodies(&everything));
        assert_eq!(waits["orders:bill"].len(), 20);
    }
}

#[tokio::test]
async fn damaged_files_cost_what_is_damaged() {
    let bill = "orders:bill.diskqueue.000000.dat";
    let without = |gone: &[u32]| of("order", (0..20).filter(|number| !gone.contains(number)), 0);
    // A head: the length of the second message, and its whole head.
    let (waits, report) = damaged(|disk| disk.corrupt(bill, |bytes| bytes[38..42].fill(0xff)));
    assert_eq!((report.mended, report.lost_bytes), (1, 0));
    assert_eq!(waits["orders:bill"], set(&[without(&[])]));
    let (waits, report) = damaged(|disk| disk.corrupt(bill, |bytes| bytes[38..68].fill(0)));
    assert_eq!((report.damage, report.lost_bytes), (1, 38));
    let bodies: BTreeSet<_> = waits["orders:bill"]
        .iter()
        .map(|message| &message.0)
        .collect();
    assert_eq!(bodies.len(), 19);
    // The end: cut off, and filled with zeros.
    let (waits, report) = damaged(|disk| disk.corrupt(bill, |bytes| bytes.truncate(565)));
    assert_eq!((report.lost_bytes, waits["orders:bill"].len()), (33, 19));
    let (waits, report) = damaged(|disk| disk.corrupt(bill, |bytes| bytes.resize(5000, 0)));
    assert_eq!((report.lost_bytes, waits["orders:bill"].len()), (4430, 20));
    // A file: nothing but zeros, or gone. The other channel's copies are its own.
    let (waits, _) = damaged(|disk| disk.corrupt(bill, |bytes| bytes.fill(0)));
    assert_eq!(
        (waits["orders:bill"].len(), waits["orders:ship"].len()),
        (5, 17)
    );
    let (waits, _) = damaged(|disk| disk.remove(bill).unwrap());
    assert_eq!(
        (waits["orders:bill"].len(), waits["orders:ship"].len()),
        (5, 17)
    );
}

#[tokio::test]
async fn what_nsqd_dat_does_not_know_is_found_by_its_files() {
    let (waits, _) = damaged(|disk| {
        let json =
            br#"{"topics":[{"name":"idle","paused":false,"channels":null}],"version":"1.3.0"}"#;
        disk.corrupt("nsqd.dat", |bytes| *bytes = json.to_vec());
    });
    assert_eq!(waits["orders:bill"].len(), 20);
    assert!(!waits.contains_key("orders"));
}

#[tokio::test]
async fn a_backlog_goes_to_spill_files_and_comes_as_one_message_for_all_channels() {
    use nsq_journal::diskqueue::{Head, QueueName, QueueWriter};
    let disk = SimDisk::new();
    let count = 20_000u32;
    for channel in ["fast", "slow"] {
        let name = QueueName {
            topic: "t".to_owned(),
            channel: Some(channel.to_owned()),
        };
        let mut queue = QueueWriter::new(name, 100_000);
        let from = if channel == "fast" { count / 2 } else { 0 };
        for number in from..count {
            let head = Head {
                timestamp: NOW - 1_000_000 + i64::from(number),
                attempts: 0,
                id: *format!("{:016x}", number * 17)
                    .as_bytes()
                    .first_chunk()
                    .unwrap(),
            };
            queue.push(&*disk, &head, &[b'x'; 100]).unwrap();
        }
        queue.finish(&*disk).unwrap();
    }
    let disk: Arc<dyn Disk> = disk;
    let nsqd = open(&disk).unwrap();
    let report = from_go::import(&nsqd, &disk, &GO_ON).unwrap().unwrap();
    assert_eq!((report.messages, report.copies), (20_000, 10_000));
    let check = |nsqd: &Arc<Nsqd>| {
        let stats = nsqd.find_topic("t").unwrap().read(|queue| queue.stats());
        let depths = stats.channels.iter().map(|channel| channel.depth);
        assert_eq!(depths.sum::<u64>(), 30_000);
        assert!(
            stats.backend_depth > 0
                || stats
                    .channels
                    .iter()
                    .any(|channel| channel.backend_depth > 0)
        );
    };
    check(&nsqd);
    take_checkpoint(&nsqd, true).unwrap();
    drop(nsqd);
    check(&open(&disk).unwrap());
}

#[tokio::test]
async fn ids_at_either_end_are_taken_in() {
    use nsq_journal::diskqueue::{Head, QueueName, QueueWriter};
    let disk = SimDisk::new();
    let name = QueueName {
        topic: "t".to_owned(),
        channel: Some("c".to_owned()),
    };
    let mut queue = QueueWriter::new(name, 100_000);
    let ids = [u64::MAX, u64::MAX - 1, 0];
    for (number, id) in (0..).zip(ids) {
        let head = Head {
            timestamp: NOW + number,
            attempts: 1,
            id: MessageId(id).to_hex(),
        };
        let body = format!("{id}");
        queue.push(&*disk, &head, body.as_bytes()).unwrap();
    }
    queue.finish(&*disk).unwrap();
    let (waits, _) = imported(&(disk as Arc<dyn Disk>));
    let expected = ids.map(|id| id.to_string());
    let bodies = waits["t:c"].iter().map(|message| message.0.clone());
    assert_eq!(bodies.collect::<BTreeSet<_>>(), expected.into());
}

#[tokio::test]
async fn what_came_over_goes_back_the_same() {
    let disk: Arc<dyn Disk> = simulated(fixture("v1.3.0-stopped").path());
    let nsqd = open(&disk).unwrap();
    from_go::import(&nsqd, &disk, &GO_ON).unwrap().unwrap();
    take_checkpoint(&nsqd, true).unwrap();
    nsqd.journal.close().unwrap();
    drop(nsqd);
    let back = SimDisk::new();
    let exported = to_go::export_disk(&disk, &*back, 600).unwrap();
    assert_eq!(
        (exported.topics, exported.channels, exported.copies),
        (4, 4, 51)
    );
    assert_eq!((exported.lost, exported.deferred), (0, 0));
    let back: Arc<dyn Disk> = back;
    assert!(
        back.list("")
            .unwrap()
            .contains(&"orders:ship.diskqueue.000001.dat".to_owned())
    );
    let (waits, report) = imported(&back);
    assert_eq!(waits, stopped());
    assert_eq!((report.damage, report.with_id), (0, 5));
}

#[tokio::test]
async fn one_that_was_stopped_goes_on_at_the_next_start() {
    let disk: Arc<dyn Disk> = simulated(fixture("v1.3.0-stopped").path());
    let nsqd = open(&disk).unwrap();
    let stopped_at_once = from_go::import(&nsqd, &disk, &AtomicBool::new(true));
    assert!(matches!(
        stopped_at_once,
        Err(from_go::ImportError::Stopped)
    ));
    drop(nsqd);
    assert_eq!(imported(&disk).0, stopped());
}
