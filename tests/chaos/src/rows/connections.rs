//! Clients that are many, stuck, gone without a word, or all back at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nsq_rig::{Connection, Server};

use super::simple::{publish, subscribe, take};
use super::{Outcome, Setting};
use crate::finding::{Finding, times};

const NAME: &str = "ours, write";
/// Connections that come back at once.
const STORM: usize = 2000;
/// Consumers that never read, and what is published past them.
const STUCK: usize = 8;
const PAST: u64 = 40_000;
const PAST_BYTES: usize = 1000;
const STUCK_MEMORY: u64 = 256 << 20;
/// What they hold comes back when it times out.
const STUCK_AS: &[u8] = br#"{"client_id":"stuck","feature_negotiation":true,"msg_timeout":8000}"#;
/// Peers that vanish, and how soon they are found out.
const GONE: usize = 200;
const HEARTBEAT: &[u8] = br#"{"client_id":"gone","feature_negotiation":true,"heartbeat_interval":1000,"msg_timeout":3000}"#;
const TIMED_OUT: Duration = Duration::from_secs(20);
const REAPED_WITHIN: Duration = Duration::from_secs(10);
/// Files that the server may open, and connections that want one.
const FILES: usize = 64;
const WANTED: usize = 200;

pub fn storm(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let mut server = Server::start(&setting.ours("write"), data.path())?;
    let (address, _) = server.wait_ready()?;
    let mut finding = Finding::new(NAME);
    let mut bystander = Connection::open(address)?;
    let (mut number, mut back, mut slowest) = (0, Vec::new(), Vec::new());
    let (mut first_memory, files) = (0, server.open_sockets()?);
    for round in 0..rounds {
        (setting.progress)(&format!("storm {} of {rounds}", round + 1));
        let began = Instant::now();
        let storming = std::thread::spawn(move || -> Result<Vec<Connection>> {
            (0..STORM)
                .map(|_| subscribe(address, "storm", "c", 1))
                .collect()
        });
        let mut worst = Duration::ZERO;
        while !storming.is_finished() {
            let sent = Instant::now();
            publish(&mut bystander, "bystander", number..number + 1, 200)?;
            number += 1;
            worst = worst.max(sent.elapsed());
        }
        let connections = storming
            .join()
            .map_err(|_| anyhow::anyhow!("the storm panicked"))??;
        back.push(began.elapsed().as_secs_f64() * 1000.0);
        slowest.push(worst.as_secs_f64() * 1000.0);
        drop(connections);
        wait(REAPED_WITHIN, || Ok(server.open_sockets()? <= files))?;
        if round == 0 {
            first_memory = server.resident_bytes()?;
        }
    }
    let memory = server.resident_bytes()?;
    let left = server.open_sockets()?.saturating_sub(files);
    finding.count("connections", (rounds * STORM) as u64);
    times(&mut finding, "all back after", "worst", &back);
    times(
        &mut finding,
        "slowest publish of a bystander",
        "worst of all",
        &slowest,
    );
    finding.figure("memory after the first", mib(first_memory), "MiB");
    finding.figure("after the last", mib(memory), "MiB");
    finding.must(left == 0, || format!("{left} sockets are left open"));
    finding.must(
        memory < first_memory + first_memory / 2 + (16 << 20),
        || "memory grows".to_owned(),
    );
    let kept = take(
        &mut subscribe(address, "bystander", "c", 2500)?,
        number as usize,
        true,
    )?;
    finding.must(kept.len() as u64 == number, || {
        format!("{} of {number} came", kept.len())
    });
    Ok(Outcome::of(finding, None))
}

pub fn stuck(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let mut server = Server::start(&setting.ours("write"), data.path())?;
    let (address, _) = server.wait_ready()?;
    let mut finding = Finding::new(NAME);
    let (mut hoarded, mut lost, mut memory) = (0, 0, 0);
    for round in 0..rounds {
        let topic = format!("stuck{round}");
        let stuck: Vec<Connection> = (0..STUCK)
            .map(|_| {
                let mut consumer = Connection::open_as(address, STUCK_AS)?;
                consumer.subscribe(&topic, "c")?;
                consumer.ready(2500)?;
                Ok(consumer)
            })
            .collect::<Result<_>>()?;
        let mut healthy = subscribe(address, &topic, "c", 500)?;
        let mut publisher = Connection::open(address)?;
        let publishing = topic.clone();
        let published =
            std::thread::spawn(move || publish(&mut publisher, &publishing, 0..PAST, PAST_BYTES));
        let mut taken = take(&mut healthy, PAST as usize, true)?;
        published
            .join()
            .map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
        hoarded = hoarded.max(PAST as usize - taken.len());
        memory = memory.max(server.resident_bytes()?);
        drop(stuck);
        let rest = PAST as usize - taken.len();
        take_late(&mut healthy, rest, &mut taken)?;
        lost += PAST as usize - taken.len();
    }
    finding.count("messages", PAST * rounds as u64);
    finding.count("lost", lost as u64);
    finding.count("held by 8 that do not read", hoarded as u64);
    finding.figure("memory at most", mib(memory), "MiB");
    finding.must(lost == 0, || format!("{lost} are lost"));
    finding.must(hoarded <= STUCK * 2500, || format!("{hoarded} held"));
    finding.must(memory < STUCK_MEMORY, || {
        format!("{:.0} MiB of memory", mib(memory))
    });
    Ok(Outcome::of(finding, None))
}

pub fn half_open(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let mut server = Server::start(&setting.ours("write"), data.path())?;
    let (address, _) = server.wait_ready()?;
    let mut finding = Finding::new(NAME);
    let files = server.open_sockets()?;
    let (mut reaped, mut lost) = (Vec::new(), 0);
    for round in 0..rounds {
        let topic = format!("gone{round}");
        let mut gone = Vec::new();
        for _ in 0..GONE {
            let mut consumer = Connection::open_as(address, HEARTBEAT)?;
            consumer.subscribe(&topic, "c")?;
            consumer.ready(1)?;
            gone.push(consumer);
        }
        publish(&mut Connection::open(address)?, &topic, 0..GONE as u64, 100)?;
        // They hold a message each, and never say anything again.
        let began = Instant::now();
        wait(REAPED_WITHIN, || Ok(server.open_sockets()? <= files + 2))?;
        reaped.push(began.elapsed().as_secs_f64() * 1000.0);
        let mut healthy = subscribe(address, &topic, "c", 2500)?;
        let mut taken = BTreeMap::new();
        take_late(&mut healthy, GONE, &mut taken)?;
        lost += GONE - taken.len();
        drop((gone, healthy));
        wait(REAPED_WITHIN, || Ok(server.open_sockets()? <= files))?;
    }
    let left = server.open_sockets()?.saturating_sub(files);
    finding.count("peers", (rounds * GONE) as u64);
    times(&mut finding, "all reaped after", "worst", &reaped);
    finding.count("lost in flight", lost as u64);
    finding.count("sockets left open", left as u64);
    finding.must(lost == 0, || format!("{lost} are lost"));
    finding.must(left == 0, || format!("{left} sockets are left open"));
    Ok(Outcome::of(finding, None))
}

pub fn open_files(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let data = setting.data()?;
    let words = [
        "prlimit".to_owned(),
        format!("--nofile={FILES}:{FILES}"),
        "--".to_owned(),
    ];
    let mut finding = Finding::new(NAME);
    let (mut number, mut waited) = (0, Vec::new());
    let mut server = Server::start_under(&words, &setting.ours("write"), data.path())?;
    for _ in 0..rounds {
        let (address, _) = server.wait_ready()?;
        let mut bystander = Connection::open(address)?;
        // The kernel accepts all of them, the server only some.
        let crowd: Vec<_> = (0..WANTED)
            .map(|_| std::net::TcpStream::connect(address))
            .collect::<Result<_, _>>()?;
        // Segments have to be made meanwhile.
        publish(&mut bystander, "files", number..number + 100_000, 1000)?;
        number += 100_000;
        drop((crowd, bystander));
        let began = Instant::now();
        Connection::open(address)?;
        waited.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(server.ended()?.is_none(), "it ended\n{}", server.log());
        server.kill()?;
        server = Server::start_under(&words, &setting.ours("write"), data.path())?;
    }
    let (address, _) = server.wait_ready()?;
    let mut consumer = subscribe(address, "files", "c", 2500)?;
    let kept = take(&mut consumer, number as usize, true)?.len() as u64;
    finding.count("acknowledged", number);
    finding.count("lost", number - kept);
    times(
        &mut finding,
        "a client is served again after",
        "worst",
        &waited,
    );
    finding.must(kept == number, || format!("{} are lost", number - kept));
    Ok(Outcome::of(finding, None))
}

/// Takes messages that come only when they have timed out elsewhere.
fn take_late(from: &mut Connection, rest: usize, taken: &mut BTreeMap<u64, u16>) -> Result<()> {
    let all = taken.len() + rest;
    let deadline = Instant::now() + TIMED_OUT;
    while taken.len() < all && Instant::now() < deadline {
        taken.extend(take(from, all - taken.len(), true)?);
    }
    Ok(())
}

fn wait(patience: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !done()? && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    (bytes as f64 / 1_048_576.0).round()
}
