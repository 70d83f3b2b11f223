//! The real program, short of memory, with more to keep than it may have: no acknowledged message is
//! lost, consumers keep draining, and the process lives.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LIMIT: u64 = 256 << 20;
const PUBLISHERS: usize = 10;
const EACH: usize = 50;
const BODY: usize = 1 << 20;

/// nsqd as a process that the kernel gives no more than `LIMIT` bytes of memory of its own
/// (RLIMIT_DATA): one byte more and it aborts.
struct Nsqd {
    child: Child,
    tcp: String,
}

impl Nsqd {
    fn start(data: &std::path::Path) -> Self {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -d {}; exec \"$0\" \"$@\"", LIMIT / 1024))
            .arg(env!("CARGO_BIN_EXE_nsqd"))
            .args(["--tcp-address=127.0.0.1:0", "--http-address="])
            .arg(format!("--memory-limit={LIMIT}"))
            .arg(format!("--data-path={}", data.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let tcp = loop {
            let line = log.next().unwrap().unwrap();
            if let Some((_, address)) = line.split_once("TCP: listening on ") {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        Self { child, tcp }
    }

    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.tcp).unwrap();
        stream.write_all(b"  V2").unwrap();
        stream
    }

    /// Bytes of its own that it has in memory, at the most so far.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Nsqd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Type and data of the next frame; heartbeats are answered.
fn frame(stream: &mut TcpStream) -> (u32, Vec<u8>) {
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).unwrap();
        let size = u32::from_be_bytes(*head.first_chunk().unwrap());
        let mut data = vec![0; size as usize - 4];
        stream.read_exact(&mut data).unwrap();
        if data != b"_heartbeat_" {
            return (u32::from_be_bytes(*head.last_chunk().unwrap()), data);
        }
        stream.write_all(b"NOP\n").unwrap();
    }
}

fn publish(stream: &mut TcpStream, name: &str) {
    let mut body = vec![b'.'; BODY];
    body[..name.len()].copy_from_slice(name.as_bytes());
    let mut command = b"PUB flood\n".to_vec();
    command.extend(u32::try_from(BODY).unwrap().to_be_bytes());
    command.extend(body);
    stream.write_all(&command).unwrap();
    let (kind, answer) = frame(stream);
    assert_eq!((kind, answer.as_slice()), (0, &b"OK"[..]), "{name}");
}

#[test]
fn ten_publishers_of_large_messages_under_a_small_memory() {
    let data = tempfile::tempdir().unwrap();
    let nsqd = Arc::new(Nsqd::start(data.path()));
    let mut consumer = nsqd.connect();
    consumer.write_all(b"SUB flood c\nRDY 3\n").unwrap();
    assert_eq!(frame(&mut consumer).1, b"OK");
    let publishing = Arc::new(AtomicBool::new(true));
    let (acknowledged, acknowledgements) = std::sync::mpsc::channel();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (nsqd, acknowledged) = (Arc::clone(&nsqd), acknowledged.clone());
            std::thread::spawn(move || {
                let mut stream = nsqd.connect();
                for message in 0..EACH {
                    publish(&mut stream, &format!("{publisher}-{message} "));
                    acknowledged.send(()).unwrap();
                }
            })
        })
        .collect();
    drop(acknowledged);
    let still = Arc::clone(&publishing);
    let draining = std::thread::spawn(move || {
        let (mut seen, mut meanwhile) = (HashSet::new(), 0);
        while seen.len() < PUBLISHERS * EACH {
            let (kind, data) = frame(&mut consumer);
            assert_eq!(kind, 2);
            assert_eq!(data.len(), 26 + BODY);
            let name = data[26..].split(|byte| *byte == b' ').next().unwrap();
            seen.insert(String::from_utf8(name.to_vec()).unwrap());
            meanwhile += usize::from(still.load(Ordering::SeqCst));
            // Four times slower than the publishers, until these are done: a backlog builds up that
            // is larger than the memory.
            for _ in 0..4 {
                let _ = acknowledgements.recv();
            }
            let finish = [b"FIN ", &data[10..26], b"\n"].concat();
            consumer.write_all(&finish).unwrap();
        }
        meanwhile
    });
    for publisher in publishers {
        publisher.join().unwrap();
    }
    publishing.store(false, Ordering::SeqCst);
    let meanwhile = draining.join().unwrap();
    // It was not left out while the publishers were at it.
    assert!(meanwhile > PUBLISHERS, "{meanwhile} while publishing");
    let peak = nsqd.peak();
    assert!(peak < LIMIT, "{} MiB in memory", peak >> 20);
    println!("{} MiB in memory at the most", peak >> 20);
}
