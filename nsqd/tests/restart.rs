//! What is there after a stop, and after a death.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;

use support::http::ask_at;
use support::wire::sized;
use support::{Node, Wire};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Publishes and consumes so that each kind of message is there: waiting, tried, deferred,
/// in flight, finished, in a topic without a channel.
async fn fill(wire: &mut Wire<TcpStream>) {
    wire.publish("alone", "no channel yet").await;
    wire.subscribe("t", "c", 0).await;
    for body in ["finished", "in flight", "requeued", "later", "waiting"] {
        wire.publish("t", body).await;
    }
    wire.send(&sized("DPUB t 3600000", &[b"deferred"])).await;
    wire.response("OK").await;
    wire.say("RDY 4").await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        messages.push(wire.message().await);
    }
    wire.say("RDY 0").await;
    wire.finish(&messages[0]).await;
    wire.say(&format!("REQ {} 0", messages[2].id)).await;
    wire.say(&format!("REQ {} 3600000", messages[3].id)).await;
    // Everything before is done when this is answered.
    wire.publish("t", "last").await;
}

/// (attempts, body) of all that is delivered now.
async fn delivered(wire: &mut Wire<TcpStream>, count: usize) -> BTreeSet<(u16, String)> {
    let mut all = BTreeSet::new();
    wire.subscribe("t", "c", 100).await;
    for _ in 0..count {
        let message = wire.message().await;
        wire.finish(&message).await;
        all.insert((message.attempts, message.body));
    }
    wire.nothing_but_ok().await;
    all
}

fn expected(list: &[(u16, &str)]) -> BTreeSet<(u16, String)> {
    list.iter().map(|&(n, body)| (n, body.to_owned())).collect()
}

#[tokio::test]
async fn a_clean_stop_keeps_everything() {
    for level in ["memory", "write", "fsync"] {
        let flag = format!("--durability={level}");
        let node = Node::start(&[&flag]).await;
        node.post("/topic/create?topic=paused").await;
        node.post("/topic/pause?topic=paused").await;
        node.post("/topic/create?topic=deleted").await;
        node.post("/topic/delete?topic=deleted").await;
        let mut wire = node.connect().await;
        fill(&mut wire).await;
        let data = node.stop().await;
        wire.closed().await;

        let node = Node::start_in(data, &[&flag]).await;
        assert!(node.topic("paused").await.paused, "{level}");
        assert!(node.nsqd.find_topic("deleted").is_none(), "{level}");
        assert_eq!(node.topic("alone").await.depth, 1, "{level}");
        let channel = node.channel("t", "c").await;
        assert_eq!((channel.depth, channel.deferred_count), (4, 2), "{level}");
        let mut wire = node.connect().await;
        let now = expected(&[
            (2, "in flight"),
            (2, "requeued"),
            (1, "waiting"),
            (1, "last"),
        ]);
        assert_eq!(delivered(&mut wire, 4).await, now, "{level}");
        let channel = node.channel("t", "c").await;
        assert_eq!((channel.depth, channel.deferred_count), (0, 2), "{level}");
        node.stop().await;
    }
}

/// The program itself.
struct Process {
    child: Child,
    tcp: String,
    http: String,
    data: TempDir,
}

impl Process {
    async fn start(data: TempDir, level: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nsqd"))
            .args(["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"])
            .arg(format!("--durability={level}"))
            .arg(format!("--data-path={}", data.path().display()))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut tcp, mut http) = (String::new(), String::new());
        while tcp.is_empty() || http.is_empty() {
            let line = log.next_line().await.unwrap().unwrap();
            let told = line
                .split_once(" INFO: ")
                .and_then(|told| told.1.split_once(": listening on "));
            match told {
                Some(("TCP", address)) => address.clone_into(&mut tcp),
                Some(("HTTP", address)) => address.clone_into(&mut http),
                _ => {}
            }
        }
        // Or the process would wait for its log to be read.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            child,
            tcp,
            http,
            data,
        }
    }

    async fn connect(&self) -> Wire<TcpStream> {
        let mut wire = Wire::new(TcpStream::connect(&self.tcp).await.unwrap());
        wire.send(b"  V2").await;
        wire
    }

    /// SIGKILL.
    async fn kill(mut self) -> TempDir {
        self.child.kill().await.unwrap();
        self.data
    }
}

#[tokio::test]
async fn a_killed_node_keeps_what_it_acknowledged() {
    for level in ["write", "fsync"] {
        let process = Process::start(tempfile::tempdir().unwrap(), level).await;
        let mut wire = process.connect().await;
        fill(&mut wire).await;
        // Nothing is written after it that would take it along.
        let create = "POST /channel/create?topic=t&channel=last";
        assert_eq!(ask_at(&process.http, create, b"").await.status, 200);
        let data = process.kill().await;
        wire.closed().await;

        let process = Process::start(data, level).await;
        let stats = ask_at(&process.http, "GET /stats", b"").await.body;
        assert!(stats.contains("[last "), "{level}: {stats}");
        let mut wire = process.connect().await;
        wire.subscribe("t", "c", 100).await;
        let mut found = BTreeSet::new();
        // The finish, and that "later" waits, may have been lost with the last moments; nothing else.
        let wanted: BTreeSet<String> = ["in flight", "requeued", "waiting", "last"]
            .map(str::to_owned)
            .into();
        while !wanted.is_subset(&found) {
            let message = wire.message().await;
            assert!(message.attempts <= 2, "{message:?}");
            wire.finish(&message).await;
            found.insert(message.body);
        }
        assert!(!found.contains("deferred"), "{level}: an hour early");
        let mut alone = process.connect().await;
        alone.subscribe("alone", "c", 1).await;
        assert_eq!(alone.message().await.body, "no channel yet", "{level}");
        process.kill().await;
    }
}

/// Bytes that the journal's files got.
async fn written(process: &Process) -> u64 {
    let page = ask_at(&process.http, "GET /metrics", b"").await.body;
    let name = "nsqd_journal_written_bytes_total ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_killed_node_knows_the_finishes_and_requeues_that_it_has_journalled() {
    let process = Process::start(tempfile::tempdir().unwrap(), "write").await;
    let mut wire = process.connect().await;
    fill(&mut wire).await;
    let mut other = process.connect().await;
    other.publish("marker", "m").await;
    other.subscribe("marker", "c", 1).await;
    let marker = other.message().await;
    let before = written(&process).await;
    other.finish(&marker).await;
    // What grows the journal now is the lazy log, and it takes along what all topics have to tell.
    while written(&process).await == before {
        tokio::task::yield_now().await;
    }
    let data = process.kill().await;
    wire.closed().await;

    let process = Process::start(data, "write").await;
    let mut wire = process.connect().await;
    let now = expected(&[
        (2, "in flight"),
        (2, "requeued"),
        (1, "waiting"),
        (1, "last"),
    ]);
    assert_eq!(delivered(&mut wire, 4).await, now);
    let stats = ask_at(&process.http, "GET /stats?format=json&topic=t", b"").await;
    assert!(
        stats.body.contains("\"deferred_count\":2"),
        "{}",
        stats.body
    );
    process.kill().await;
}

#[tokio::test]
async fn a_blank_disk_does_not_give_ids_of_before_again() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let node = Node::start(&[]).await;
        let mut wire = node.connect().await;
        wire.publish("t", "one").await;
        wire.subscribe("t", "c", 1).await;
        ids.push(wire.message().await.id);
        node.stop().await;
    }
    assert!(ids[0] < ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_second_node_on_the_directory_is_refused() {
    let node = Node::start(&[]).await;
    let path = format!("--data-path={}", node.data.path().display());
    let second = Command::new(env!("CARGO_BIN_EXE_nsqd"))
        .args(["--tcp-address=127.0.0.1:0", "--http-address=", &path])
        .output()
        .await
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(
        told.contains("FATAL: failed to instantiate nsqd - failed to lock data-path: "),
        "{told}"
    );
}
