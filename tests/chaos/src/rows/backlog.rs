//! How long a start takes, and how much memory and time a backlog does.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use nsq_rig::{Connection, Server};
use rand::RngCore;

use super::simple::{publish, subscribe, take};
use super::{Outcome, Setting};
use crate::finding::{Finding, times};

const NAME: &str = "ours, write";
const BODY: usize = 4000;
/// Messages published or taken between two looks at the memory.
const PIECE: u64 = 4000;
const JOURNAL_BYTES: u64 = 256 << 20;
const JOURNAL_READY_MS: f64 = 2000.0;
const BACKLOG_READY_MS: f64 = 10_000.0;
/// What the server is told that it may have, and must not exceed.
const MEMORY: u64 = 256 << 20;

/// A journal of 256 MiB, read again and again.
pub fn recovery(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let program = setting.ours("write");
    let mut finding = Finding::new(NAME);
    let count = JOURNAL_BYTES / 200;
    let mut server = Server::start(&program, data.path())?;
    let (address, _) = server.wait_ready()?;
    publish(&mut Connection::open(address)?, "journal", 0..count, 150)?;
    let mut millis = Vec::new();
    for _ in 0..rounds {
        server.kill()?;
        server = Server::start(&program, data.path())?;
        millis.push(server.wait_ready()?.1.as_secs_f64() * 1000.0);
    }
    finding.count("messages", count);
    times(&mut finding, "ready after", "worst", &millis);
    finding.must(millis.iter().all(|took| *took < JOURNAL_READY_MS), || {
        format!("slower than {JOURNAL_READY_MS} ms")
    });
    Ok(Outcome::of(finding, None))
}

/// A backlog of so many GiB: built, recovered after `kill -9`, drained from the disk. The server may have
/// [`MEMORY`]; the disk's own speed is measured around it.
pub fn run(setting: &Setting, gib: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let mut program = setting.ours("write");
    program.flags.push(format!("--memory-limit={MEMORY}"));
    let mut finding = Finding::new(NAME);
    let count = (gib as u64 * (1 << 30)) / BODY as u64;
    let mut disk = DiskSpeed::default();
    (setting.progress)("measuring the disk");
    disk.measure(data.path())?;
    let mut server = Server::start(&program, data.path())?;
    let (address, _) = server.wait_ready()?;
    drop(subscribe(address, "backlog", "c", 0)?);
    let mut memory = Peak::default();
    let began = Instant::now();
    build(setting, count, address, || memory.look(&server))?;
    rustix::fs::syncfs(File::open(data.path())?)?;
    let built = began.elapsed();
    server.kill()?;
    forget_files_in_memory();
    server = Server::start(&program, data.path())?;
    let (address, took) = server.wait_ready()?;
    let took = took.as_secs_f64() * 1000.0;
    forget_files_in_memory();
    let began = Instant::now();
    let taken = drain(setting, count, address, || memory.look(&server))?;
    let drained = began.elapsed();
    server.kill()?;
    (setting.progress)("measuring the disk again");
    disk.measure(data.path())?;

    let speed = |took: Duration| (count * BODY as u64) as f64 / 1e6 / took.as_secs_f64();
    finding.count("messages", count);
    finding.count("lost", count - taken.min(count));
    finding.figure("built at", speed(built).round(), "MB/s");
    finding.figure("disk writes", disk.written().round(), "MB/s");
    finding.figure("drained at", speed(drained).round(), "MB/s");
    finding.figure("disk reads", disk.read().round(), "MB/s");
    finding.figure("ready after", took.round(), "ms");
    let mib = (memory.0 as f64 / 1_048_576.0).round();
    finding.figure("memory at most", mib, "MiB");
    finding.must(taken >= count, || format!("{} are lost", count - taken));
    finding.must(took < BACKLOG_READY_MS, || {
        format!("ready after {took:.0} ms")
    });
    finding.must(memory.0 < MEMORY, || format!("{mib} MiB of memory"));
    Ok(Outcome::of(finding, None))
}

/// The most that was seen.
#[derive(Default)]
struct Peak(u64);

impl Peak {
    fn look(&mut self, server: &Server) -> Result<()> {
        self.0 = self.0.max(server.resident_bytes()?);
        Ok(())
    }
}

fn build(
    setting: &Setting,
    count: u64,
    address: SocketAddr,
    mut look: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut publisher = Connection::open(address)?;
    for from in (0..count).step_by(PIECE as usize) {
        (setting.progress)(&format!("building: {from} of {count}"));
        let piece = from..(from + PIECE).min(count);
        publish(&mut publisher, "backlog", piece, BODY)?;
        look()?;
    }
    Ok(())
}

/// How many came.
fn drain(
    setting: &Setting,
    count: u64,
    address: SocketAddr,
    mut look: impl FnMut() -> Result<()>,
) -> Result<u64> {
    let mut consumer = subscribe(address, "backlog", "c", 2500)?;
    let mut taken = 0;
    while taken < count {
        (setting.progress)(&format!("draining: {taken} of {count}"));
        let piece = take(&mut consumer, PIECE.min(count - taken) as usize, true)?.len() as u64;
        look()?;
        taken += piece;
        if piece == 0 {
            break;
        }
    }
    Ok(taken)
}

/// What the disk does with one large file, over all measurements.
#[derive(Default)]
struct DiskSpeed {
    bytes: u64,
    writing: Duration,
    reading: Duration,
}

impl DiskSpeed {
    fn measure(&mut self, directory: &Path) -> Result<()> {
        const PROBE: u64 = 1 << 30;
        let path = directory.join("probe");
        let mut piece = vec![0; 1 << 20];
        rand::rng().fill_bytes(&mut piece); // nothing that a disk could make smaller
        let mut file = File::create(&path)?;
        let began = Instant::now();
        for _ in 0..PROBE / piece.len() as u64 {
            file.write_all(&piece)?;
        }
        file.sync_data()?;
        self.writing += began.elapsed();
        forget_files_in_memory();
        let mut file = File::open(&path)?;
        let began = Instant::now();
        while file.read(&mut piece)? > 0 {}
        self.reading += began.elapsed();
        self.bytes += PROBE;
        std::fs::remove_file(&path)?;
        Ok(())
    }

    fn written(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.writing.as_secs_f64()
    }

    fn read(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.reading.as_secs_f64()
    }
}

/// So that reading is from the disk. Without the right to it reads are as fast as memory, of everybody.
fn forget_files_in_memory() {
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "1");
}
