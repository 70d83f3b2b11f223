//! From the Go nsqd to ours and back, with the Go nsqd itself: `cargo xtask test go-data` says where it is.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nsq_rig::{Connection, Frame, Program, Server, push_fin, push_mpub};
use rustix::process::Signal;

/// Messages of the topic.
const COUNT: usize = 5000;
const BATCH: usize = 100;
/// What `fast` finished, and what it holds when its node stops.
const FINISHED: usize = 1700;
const HELD: usize = 50;

fn body(number: usize) -> Vec<u8> {
    format!("{number:06}{}", "x".repeat(number % 300)).into_bytes()
}

fn server(program: &Path, data: &Path) -> (Server, SocketAddr) {
    let program = Program {
        path: program.to_owned(),
        flags: ["--mem-queue-size=300", "--max-bytes-per-file=50000"]
            .map(str::to_owned)
            .to_vec(),
    };
    let mut server = Server::start(&program, data).unwrap();
    let (address, _) = server.wait_ready().unwrap();
    (server, address)
}

/// Depths of the topic and its channels, and whether they are paused.
fn depths(server: &mut Server) -> BTreeMap<String, (i64, bool)> {
    let stats: nsq_http_api::Stats = serde_json::from_slice(&server.stats().unwrap()).unwrap();
    let mut depths = BTreeMap::new();
    for topic in stats.topics.unwrap() {
        for channel in topic.channels {
            let name = format!("{}:{}", topic.topic_name, channel.channel_name);
            depths.insert(name, (channel.depth, channel.paused));
        }
        depths.insert(topic.topic_name, (topic.depth, topic.paused));
    }
    depths
}

fn publish(address: SocketAddr, topic: &str, numbers: std::ops::Range<usize>) {
    let mut publisher = Connection::open(address).unwrap();
    let bodies: Vec<Vec<u8>> = numbers.map(body).collect();
    for batch in bodies.chunks(BATCH) {
        let mut command = Vec::new();
        push_mpub(&mut command, topic, batch.iter().map(Vec::as_slice));
        publisher.send(&command).unwrap();
        loop {
            match publisher.next_frame().unwrap() {
                Some(Frame::Response(b"OK")) => break,
                Some(other) => panic!("instead of OK: {other:?}"),
                None => publisher.fill().unwrap(),
            }
        }
    }
}

/// Receives `count` messages and finishes the first `finish`: attempts by number. The consumer still holds the rest.
fn consume(
    address: SocketAddr,
    channel: &str,
    count: usize,
    finish: usize,
) -> (BTreeMap<usize, u16>, Connection) {
    let mut consumer = Connection::open(address).unwrap();
    consumer.subscribe("orders", channel).unwrap();
    consumer
        .ready((count - finish).clamp(1, 50) as u32)
        .unwrap();
    let (mut seen, mut finishes) = (BTreeMap::new(), Vec::new());
    while seen.len() < count {
        consumer.fill().unwrap();
        finishes.clear();
        while let Some(frame) = consumer.next_frame().unwrap() {
            let Frame::Message {
                attempts,
                id,
                body: got,
            } = frame
            else {
                panic!("instead of a message: {frame:?}");
            };
            let number: usize = std::str::from_utf8(&got[..6]).unwrap().parse().unwrap();
            assert_eq!(got, body(number), "changed on its way");
            assert_eq!(seen.insert(number, attempts), None, "{number} came twice");
            if seen.len() <= finish {
                push_fin(&mut finishes, id);
            }
        }
        consumer.send(&finishes).unwrap();
    }
    (seen, consumer)
}

#[test]
#[ignore = "needs the Go nsqd: cargo xtask test go-data"]
fn what_the_go_nsqd_leaves_comes_over_and_goes_back() {
    let go = PathBuf::from(std::env::var_os("NSQ_GO_NSQD").unwrap());
    let ours = Path::new(env!("CARGO_BIN_EXE_nsqd"));
    for signal in [Signal::TERM, Signal::KILL] {
        let killed = signal == Signal::KILL;
        let data = tempfile::tempdir().unwrap();
        let (mut server, address) = server(&go, data.path());
        for channel in ["fast", "slow"] {
            let _ = server.ask("POST", "/topic/create?topic=orders").unwrap();
            let path = format!("/channel/create?topic=orders&channel={channel}");
            let _ = server.ask("POST", &path).unwrap();
        }
        publish(address, "orders", 0..COUNT);
        publish(address, "alone", 0..700);
        let (first, holder) = consume(address, "fast", FINISHED + HELD, FINISHED);
        let _ = server
            .ask("POST", "/channel/pause?topic=orders&channel=slow")
            .unwrap();
        server.signal(signal).unwrap();
        server.wait_end(std::time::Duration::from_secs(60)).unwrap();
        drop(holder);

        // Ours.
        let (mut server, _) = self::server(ours, data.path());
        let now = depths(&mut server);
        assert!(now["orders:slow"].1, "paused");
        if !killed {
            assert_eq!(now["orders:slow"].0, COUNT as i64);
            assert_eq!(now["orders:fast"].0, (COUNT - FINISHED) as i64);
            assert_eq!(now["alone"].0, 700);
        }
        // A killed Go nsqd has lost what was in its memory: what its files hold has to be there.
        assert!(now["orders:slow"].0 >= (COUNT - 700) as i64, "{now:?}");
        server.stop().unwrap();

        // And back.
        let back = tempfile::tempdir().unwrap();
        let done = Command::new(ours)
            .arg("export")
            .arg(format!("--data-path={}", data.path().display()))
            .arg(format!("--to={}", back.path().display()))
            .arg("--max-bytes-per-file=50000")
            .status()
            .unwrap();
        assert!(done.success());
        let (mut server, address) = self::server(&go, back.path());
        // The Go nsqd reads its files into memory a little later than it says it is there; depths count both.
        assert_eq!(depths(&mut server), now);
        let _ = server
            .ask("POST", "/channel/unpause?topic=orders&channel=slow")
            .unwrap();
        let count = now["orders:fast"].0 as usize;
        let (last, _holder) = consume(address, "fast", count, count);
        if !killed {
            // Each message once, and those that were held once more.
            for number in 0..COUNT {
                let held = first.contains_key(&number) && last.contains_key(&number);
                let attempts = last.get(&number).copied();
                assert!(
                    first.contains_key(&number) || attempts == Some(1),
                    "{number}"
                );
                assert!(!held || attempts == Some(2), "{number}: {attempts:?}");
            }
            let again = last
                .keys()
                .filter(|number| first.contains_key(number))
                .count();
            assert_eq!(again, HELD);
        }
        let count = now["orders:slow"].0 as usize;
        let (slow, _holder) = consume(address, "slow", count, count);
        assert!(slow.values().all(|attempts| *attempts == 1));
        server.stop().unwrap();
    }
}
