//! Group commit, waiters, and what happens after an error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use nsq_journal::sim::{Faults, SimDisk};
use nsq_journal::{
    Bodies, Disk, DiskFile, Journal, JournalError, JournalOptions, RealDisk, Waiter,
};
use parking_lot::{Condvar, Mutex};

use crate::world::{HEAD, Recorder, open, options, own, publish};

/// Sends a word when woken.
struct Caller(mpsc::Sender<()>);

impl Waiter for Caller {
    fn wake(self: Arc<Self>) {
        // The receiver may have seen enough.
        let _ = self.0.send(());
    }
}

fn caller() -> (Arc<Caller>, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(Caller(sender)), receiver)
}

/// A disk whose syncs can be held up.
struct Gate {
    disk: Arc<SimDisk>,
    closed: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicUsize,
}

struct GatedFile {
    gate: Arc<Gated>,
    file: Arc<dyn DiskFile>,
}

struct Gated(Gate);

impl Gated {
    fn set(&self, closed: bool) {
        *self.0.closed.lock() = closed;
        self.0.changed.notify_all();
    }
    fn pass(&self) {
        let mut closed = self.0.closed.lock();
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_all();
        while *closed {
            self.0.changed.wait(&mut closed);
        }
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    fn until_somebody_waits(&self) {
        let mut closed = self.0.closed.lock();
        while self.0.waiting.load(Ordering::SeqCst) == 0 {
            self.0.changed.wait(&mut closed);
        }
    }
}

struct GatedDisk(Arc<Gated>);

impl GatedDisk {
    fn wrap(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile {
            gate: Arc::clone(&self.0),
            file: file?,
        }))
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.0.0.disk.create_dir(dir)
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(self.0.0.disk.create(path))
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(self.0.0.disk.open(path))
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.0.disk.list(dir)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.0.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.0.disk.remove(path)
    }
    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.0.0.disk.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.0.disk.sync_dir(dir)
    }
    fn free_space(&self) -> io::Result<u64> {
        self.0.0.disk.free_space()
    }
}

impl DiskFile for GatedFile {
    fn pwrite(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.pwrite(offset, data)
    }
    fn pread(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.pread(offset, buffer)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[test]
fn those_who_come_during_a_sync_share_the_next_one() {
    let gate = Arc::new(Gated(Gate {
        disk: SimDisk::new(),
        closed: Mutex::new(false),
        changed: Condvar::new(),
        waiting: AtomicUsize::new(0),
    }));
    let disk = Arc::new(GatedDisk(Arc::clone(&gate)));
    let threaded = JournalOptions {
        threads: true,
        segment_bytes: 1 << 20,
        ..options()
    };
    let journal = Journal::open(disk, threaded, &mut Recorder::default()).unwrap();
    let before = journal.stats().syncs;
    gate.set(true);
    let (first, first_woken) = caller();
    let placed = publish(&journal, b"first").unwrap().0;
    journal.sync_soon(placed.end, first);
    gate.until_somebody_waits();
    let others: Vec<_> = (0..16u8)
        .map(|n| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                let (waiter, woken) = caller();
                for _ in 0..50 {
                    let end = publish(&journal, &[n; 100]).unwrap().0.end;
                    journal.sync_soon(end, Arc::clone(&waiter) as _);
                }
                woken
            })
        })
        .collect();
    let others: Vec<_> = others
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(
        journal.durable() < placed.end,
        "nothing is durable while the sync is under way"
    );
    gate.set(false);
    first_woken.recv().unwrap();
    for woken in &others {
        woken.recv().unwrap();
    }
    journal.close().unwrap();
    assert_eq!(journal.durable(), journal.tail());
    let syncs = journal.stats().syncs - before;
    assert!(syncs <= 2, "801 publishes took {syncs} syncs");
}

#[test]
fn many_threads_on_a_real_disk_keep_everything() {
    let dir = tempfile::tempdir().unwrap();
    let real = || JournalOptions {
        threads: true,
        segment_bytes: 256 << 10,
        ..options()
    };
    let journal =
        Journal::open(RealDisk::new(dir.path()), real(), &mut Recorder::default()).unwrap();
    let threads: Vec<_> = (0..8u8)
        .map(|n| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                let (waiter, woken) = caller();
                let mut seen = Vec::new();
                for _ in 0..100 {
                    let body = [n; 500];
                    let bodies = Bodies {
                        buffer: &body,
                        ranges: &[(0, 500)],
                    };
                    let placed = journal.publish(&HEAD, &bodies.measure().unwrap()).unwrap();
                    journal.sync_soon(placed.end, Arc::clone(&waiter) as _);
                    woken.recv().unwrap();
                    assert!(journal.durable() >= placed.end);
                    seen.push((placed.lsn, placed.end, n));
                }
                seen
            })
        })
        .collect();
    let mut seen: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    seen.sort_unstable();
    // No close: what was promised is on disk.
    drop(journal);
    let mut recorder = Recorder::default();
    let journal = Journal::open(RealDisk::new(dir.path()), real(), &mut recorder).unwrap();
    let found: Vec<_> = own(&recorder.records)
        .iter()
        .map(|(lsn, end, _, payload)| (*lsn, *end, payload[40]))
        .collect();
    assert_eq!(found, seen);
    assert!(journal.stats().segments > 1);
}

#[test]
fn a_failed_sync_stops_the_journal_for_good() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let kept = publish(&journal, b"kept").unwrap().1;
    let durable = journal.sync().unwrap();
    let (placed, _) = publish(&journal, b"perhaps").unwrap();
    disk.set_faults(Faults {
        sync_fails_after: Some(1),
        ..Faults::default()
    });
    let (waiter, woken) = caller();
    journal.sync_soon(placed.end, Arc::clone(&waiter) as _);
    journal.commit();
    woken
        .try_recv()
        .expect("the waiter is woken to look at the health");
    let poisoned = |result: Result<(), JournalError>| {
        assert!(matches!(result, Err(JournalError::Poisoned(_))))
    };
    poisoned(journal.health());
    poisoned(publish(&journal, b"no").map(|_| ()));
    poisoned(
        journal
            .append(&nsq_journal::Record::TopicDelete { topic: 1 })
            .map(|_| ()),
    );
    poisoned(journal.write(placed.end).map(|_| ()));
    poisoned(journal.sync().map(|_| ()));
    poisoned(journal.checkpoint(b"no", 0));
    assert_eq!(
        journal.durable(),
        durable,
        "a sync that failed is not retried"
    );
    journal.sync_soon(placed.end, waiter);
    woken.try_recv().expect("who comes later is woken at once");
    disk.power_cut(0);
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(own(&recorder.records)[0], kept);
}

#[test]
fn a_failed_write_stops_the_journal_too() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let kept = publish(&journal, b"kept").unwrap().1;
    journal.write(journal.tail()).unwrap();
    publish(&journal, b"torn").unwrap();
    disk.set_faults(Faults {
        write_fails_after: Some(1),
        ..Faults::default()
    });
    assert!(matches!(
        journal.write(journal.tail()),
        Err(JournalError::Poisoned(_))
    ));
    assert!(matches!(journal.health(), Err(JournalError::Poisoned(_))));
    disk.kill();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(own(&recorder.records), [kept]);
}

#[test]
fn the_second_to_write_finds_the_work_done() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let one = publish(&journal, b"one").unwrap().0;
    let two = publish(&journal, b"two").unwrap().0;
    let before = journal.stats().writes;
    assert_eq!(journal.write(one.end).unwrap(), two.end);
    assert_eq!(journal.write(two.end).unwrap(), two.end);
    assert_eq!(journal.stats().writes - before, 1);
    assert!(journal.durable() < one.lsn + 1);
}
