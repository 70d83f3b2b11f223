//! How long a start takes, and how much memory a backlog does.

use std::time::Instant;

use anyhow::Result;
use nsq_rig::{Connection, Server};

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
/// The goal is 256 MiB, and not reached yet: see `docs/reliability.md`, Limits.
const MEMORY: u64 = 400 << 20;

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

/// A backlog of so many GiB: built, recovered after `kill -9`, drained.
pub fn run(setting: &Setting, gib: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let program = setting.ours("write");
    let mut finding = Finding::new(NAME);
    let count = (gib as u64 * (1 << 30)) / BODY as u64;
    let mut server = Server::start(&program, data.path())?;
    let (address, _) = server.wait_ready()?;
    drop(subscribe(address, "backlog", "c", 0)?);
    let mut publisher = Connection::open(address)?;
    let (mut memory, began) = (0, Instant::now());
    for from in (0..count).step_by(PIECE as usize) {
        (setting.progress)(&format!("building: {from} of {count}"));
        publish(
            &mut publisher,
            "backlog",
            from..(from + PIECE).min(count),
            BODY,
        )?;
        memory = memory.max(server.resident_bytes()?);
    }
    let built = began.elapsed().as_secs_f64();
    server.kill()?;
    server = Server::start(&program, data.path())?;
    let (address, took) = server.wait_ready()?;
    let took = took.as_secs_f64() * 1000.0;
    let mut consumer = subscribe(address, "backlog", "c", 2500)?;
    let (mut taken, began) = (0, Instant::now());
    while taken < count {
        (setting.progress)(&format!("draining: {taken} of {count}"));
        let piece = take(&mut consumer, PIECE.min(count - taken) as usize, true)?.len() as u64;
        memory = memory.max(server.resident_bytes()?);
        taken += piece;
        if piece == 0 {
            break;
        }
    }
    let drained = began.elapsed().as_secs_f64();
    let megabytes = (count * BODY as u64) as f64 / 1e6;
    finding.count("messages", count);
    finding.count("lost", count - taken.min(count));
    finding.figure("built at", (megabytes / built).round(), "MB/s");
    finding.figure("drained at", (megabytes / drained).round(), "MB/s");
    finding.figure("ready after", took.round(), "ms");
    finding.figure(
        "memory at most",
        (memory as f64 / 1_048_576.0).round(),
        "MiB",
    );
    finding.must(taken >= count, || format!("{} are lost", count - taken));
    finding.must(took < BACKLOG_READY_MS, || {
        format!("ready after {took:.0} ms")
    });
    finding.must(memory < MEMORY, || {
        format!("{} MiB of memory", memory >> 20)
    });
    Ok(Outcome::of(finding, None))
}
