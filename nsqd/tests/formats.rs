//! Data paths that earlier versions wrote, kept for ever: each must be read by every later version.
//!
//! `tests/formats/*.txt` hold the files of a data path as text, the bytes that are not zero. After a change of the
//! format, which takes a new version number: `cargo test -p nsqd --test formats -- --ignored` writes those of the
//! present version, under a new name; the old ones stay.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nsqd::engine::log_all;
use support::files::{pack, unpack};
use support::{Node, Wire};
use tokio::net::TcpStream;

/// Version of the formats that this source writes.
const VERSION: u32 = 2;
/// Messages of a backlog so long that some of it goes to spill files, which takes three blocks.
const BACKLOG: usize = 2200;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

/// One message of each kind, a topic without channels, a paused one, and a backlog.
async fn fill(node: &Node) {
    node.post("/topic/create?topic=paused").await;
    node.post("/topic/pause?topic=paused").await;
    let mut wire = node.connect().await;
    wire.publish("alone", "no channel yet").await;
    node.post("/topic/create?topic=backlog").await;
    node.post("/channel/create?topic=backlog&channel=c").await;
    let bodies = support::wire::batch(&["\0"; BACKLOG]);
    wire.send(&support::wire::sized("MPUB backlog", &[&bodies]))
        .await;
    wire.response("OK").await;
    wire.subscribe("t", "c", 0).await;
    for body in ["finished", "in flight", "requeued", "later", "waiting"] {
        wire.publish("t", body).await;
    }
    wire.send(&support::wire::sized("DPUB t 3600000", &[b"deferred"]))
        .await;
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
    log_all(&node.nsqd);
}

async fn consume(node: &Node, topic: &str, count: usize) -> BTreeSet<(u16, String)> {
    let mut wire: Wire<TcpStream> = node.connect().await;
    let mut all = BTreeSet::new();
    wire.subscribe(topic, "c", 100).await;
    for _ in 0..count {
        let message = wire.message().await;
        wire.finish(&message).await;
        all.insert((message.attempts, message.body));
    }
    wire.nothing_but_ok().await;
    all
}

#[tokio::test]
async fn data_paths_of_every_version_are_read() {
    let mut read = 0;
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let node = Node::start_in(unpack(&text), &[]).await;
        let from = path.display();
        assert!(node.topic("paused").await.paused, "{from}");
        let ready = [
            (1, "last"),
            (1, "waiting"),
            (2, "in flight"),
            (2, "requeued"),
        ];
        let ready: BTreeSet<_> = ready
            .map(|(attempts, body)| (attempts, body.to_owned()))
            .into();
        // What was deferred for an hour may be due by now.
        let channel = node.channel("t", "c").await;
        assert_eq!(channel.depth + channel.deferred_count, 6, "{from}");
        let got = consume(&node, "t", channel.depth as usize).await;
        assert!(ready.is_subset(&got), "{from}: {got:?}");
        let backlog = consume(&node, "backlog", BACKLOG).await;
        assert_eq!(backlog, [(1, "\0".to_owned())].into(), "{from}");
        assert_eq!(node.topic("alone").await.depth, 1, "{from}");
        node.stop().await;
        read += 1;
    }
    assert!(
        read >= 2,
        "a data path of a stopped and one of a killed server"
    );
}

#[tokio::test]
#[ignore = "writes the files that the other test reads"]
async fn write_data_paths_of_this_version() {
    let node = Node::start(&["--mem-queue-size=1"]).await;
    fill(&node).await;
    let spilled = node.data.path().join("spill");
    while fs::read_dir(&spilled).map_or(0, Iterator::count) == 0 {
        tokio::task::yield_now().await; // the pager is about to
    }
    let path = |how: &str| directory().join(format!("v{VERSION}-{how}.txt"));
    fs::write(path("killed"), pack(node.data.path())).unwrap();
    let data = node.stop().await;
    fs::write(path("stopped"), pack(data.path())).unwrap();
}
