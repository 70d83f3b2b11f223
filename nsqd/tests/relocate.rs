//! Messages that move to other nodes, as `nsq_to_nsq --relocate` moves them.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use nsq_http_api::DrainStatus;
use nsq_tools::relocate::{Options, Summary, relocate};
use support::http::ask;
use support::wire::sized;
use support::{Message, Node};

async fn node(id: u32) -> Node {
    Node::start(&[&format!("--node-id={id}")]).await
}

async fn moved(from: &Node, to: &[&Node], more: &[&str]) -> Result<Summary, String> {
    let mut args = vec![
        "--relocate".to_owned(),
        format!("--nsqd-tcp-address={}", from.tcp),
    ];
    let targets = to.iter();
    args.extend(targets.map(|to| format!("--destination-nsqd-tcp-address={}", to.tcp)));
    args.extend(more.iter().map(|&more| more.to_owned()));
    let args = args.into_iter().map(OsString::from).collect();
    let options = Options::from_args(args).map_err(|_| "options".to_owned())?;
    relocate(&options).await.map_err(|error| error.to_string())
}

async fn left(node: &Node) -> u64 {
    let answer = ask(node, "GET /drain", b"").await;
    serde_json::from_str::<DrainStatus>(&answer.body)
        .unwrap()
        .messages
}

fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => {
                std::fs::create_dir(&to).unwrap();
                copy_files(&file.path(), &to);
            }
            false => drop(std::fs::copy(file.path(), to).unwrap()),
        }
    }
}

/// All that a channel delivers; finished.
async fn consume(node: &Node, topic: &str, channel: &str, count: usize) -> Vec<Message> {
    let mut wire = node.connect().await;
    wire.subscribe(topic, channel, 100).await;
    let mut all = Vec::new();
    for _ in 0..count {
        let message = wire.message().await;
        wire.finish(&message).await;
        all.push(message);
    }
    wire.nothing_but_ok().await;
    all
}

#[tokio::test]
async fn everything_unfinished_moves_with_its_identity() {
    let (from, to) = (node(1).await, node(2).await);
    let mut wire = from.connect().await;
    wire.publish("alone", "no channel yet").await;
    from.post("/topic/create?topic=t").await;
    from.post("/channel/create?topic=t&channel=unread").await;
    from.post("/channel/pause?topic=t&channel=unread").await;
    wire.subscribe("t", "c", 0).await;
    for body in ["finished", "tried", "later", "waits"] {
        wire.publish("t", body).await;
    }
    wire.send(&sized("DPUB t 3600000", &[b"deferred"])).await;
    wire.response("OK").await;
    wire.say("RDY 3").await;
    let mut got = BTreeMap::new();
    for _ in 0..3 {
        let message = wire.message().await;
        got.insert(message.body.clone(), message);
    }
    wire.say("RDY 0").await;
    wire.finish(&got["finished"]).await;
    wire.say(&format!("REQ {} 0", got["tried"].id)).await;
    wire.say(&format!("REQ {} 3600000", got["later"].id)).await;
    wire.nothing_but_ok().await;

    let summary = moved(&from, &[&to], &[]).await.unwrap();
    assert!(summary.complete);
    // The probe too.
    assert_eq!((summary.moved.messages, summary.left), (7, 0));
    assert_eq!(summary.moved.topics["t"], 5);
    assert_eq!(left(&from).await, 0);

    let channel = to.channel("t", "c").await;
    assert_eq!((channel.depth, channel.deferred_count), (2, 2));
    let unread = to.channel("t", "unread").await;
    assert_eq!((unread.depth, unread.deferred_count), (4, 1));
    assert!(unread.paused);
    let came = consume(&to, "t", "c", 2).await;
    let came: BTreeMap<_, _> = came.into_iter().map(|it| (it.body.clone(), it)).collect();
    let tried = &came["tried"];
    assert_eq!(
        (&tried.id, tried.timestamp),
        (&got["tried"].id, got["tried"].timestamp)
    );
    assert_eq!(tried.attempts, 2);
    assert_eq!(came["waits"].attempts, 1);
    consume(&to, "alone", "first", 1).await;
    let due = ask(&to, "GET /channel/deferred?topic=t&channel=c", b"").await;
    let own = ask(&from, "GET /channel/deferred?topic=t&channel=c", b"").await;
    assert!(due.body.contains(&got["later"].id) && !own.body.contains(&got["later"].id));

    // What moved stays moved, whatever is replayed.
    let (from, to) = (from.stop().await, to.stop().await);
    let from = Node::start_in(from, &["--node-id=1"]).await;
    let to = Node::start_in(to, &["--node-id=2"]).await;
    assert_eq!(left(&from).await, 0);
    assert_eq!(to.channel("t", "unread").await.depth, 4);
    from.stop().await;
    to.stop().await;
}

#[tokio::test]
async fn a_repeated_import_brings_nothing_back() {
    let (from, to) = (node(1).await, node(2).await);
    let mut wire = from.connect().await;
    from.post("/topic/create?topic=t").await;
    from.post("/channel/create?topic=t&channel=c").await;
    from.post("/channel/create?topic=t&channel=d").await;
    for number in 0..10 {
        wire.publish("t", &format!("m{number}")).await;
    }
    // There and, as after a kill before the source let go, still here.
    let image = from.stop().await;
    let copy = tempfile::tempdir().unwrap();
    copy_files(image.path(), copy.path());
    let from = Node::start_in(image, &["--node-id=1"]).await;
    moved(&from, &[&to], &[]).await.unwrap();
    from.stop().await;
    let finished = consume(&to, "t", "c", 10).await;
    // The journal is told of finishes a little later.
    let again = Node::start_in(copy, &["--node-id=1"]).await;
    while to.channel("t", "c").await.in_flight_count > 0 {}
    nsqd::engine::log_all(&to.nsqd);
    let summary = moved(&again, &[&to], &[]).await.unwrap();
    assert_eq!((summary.moved.messages, left(&again).await), (10, 0));
    let (c, d) = (to.channel("t", "c").await, to.channel("t", "d").await);
    assert_eq!(
        (c.depth, d.depth),
        (0, 10),
        "each once, and what was finished not again"
    );
    let ids: BTreeSet<_> = finished.iter().map(|it| it.id.clone()).collect();
    let others = consume(&to, "t", "d", 10).await;
    assert_eq!(ids, others.iter().map(|it| it.id.clone()).collect());
    again.stop().await;
    to.stop().await;
}

#[tokio::test]
async fn a_backlog_on_disk_is_spread_over_several_nodes_while_publishing_goes_on() {
    let flags = ["--node-id=1", "--mem-queue-size=100"];
    let from = Node::start(&flags).await;
    let targets = [node(2).await, node(3).await];
    from.post("/topic/create?topic=t").await;
    from.post("/channel/create?topic=t&channel=c").await;
    let mut wire = from.connect().await;
    let body = "x".repeat(500);
    let bodies: Vec<&str> = vec![&body; 100];
    for _ in 0..60 {
        wire.send(&sized("MPUB t", &[&support::wire::batch(&bodies)]))
            .await;
        wire.response("OK").await;
    }
    // A consumer holds one: it is passed over.
    let mut holder = from.connect().await;
    holder.subscribe("t", "c", 1).await;
    let held = holder.message().await;
    let summary = moved(&from, &[&targets[0], &targets[1]], &["--wait=0s"])
        .await
        .unwrap();
    assert!(!summary.complete);
    assert_eq!((summary.moved.messages, summary.held), (5_999, 1));
    holder.say("RDY 0").await;
    holder.finish(&held).await;
    holder.nothing_but_ok().await;
    wire.publish("t", "later").await;
    let mut sum = 0;
    for target in &targets {
        let depth = target.channel("t", "c").await.depth;
        assert!(depth > 1000, "{depth}");
        sum += depth;
    }
    assert_eq!(sum, 5_999);
    // What is published while it drains is refused, so all of it goes.
    ask(&from, "POST /drain", b"").await;
    let summary = moved(&from, &[&targets[0]], &["--topic=t"]).await.unwrap();
    assert_eq!((summary.moved.messages, summary.left), (1, 0));
    from.stop().await;
    for target in targets {
        target.stop().await;
    }
}

#[tokio::test]
async fn nodes_that_cannot_be_told_apart_are_refused() {
    let (from, same, drains) = (node(1).await, node(1).await, node(3).await);
    from.connect().await.publish("t", "one").await;
    let refused = moved(&from, &[&same], &[]).await.unwrap_err();
    assert!(refused.contains("--node-id"), "{refused}");
    ask(&drains, "POST /drain", b"").await;
    let refused = moved(&from, &[&drains], &[]).await.unwrap_err();
    assert!(refused.contains("draining"), "{refused}");
    let unknown = moved(&from, &[&node(4).await], &["--topic=u"])
        .await
        .unwrap_err();
    assert!(unknown.contains("no topic u"), "{unknown}");
    // Nothing has happened, and the topic flows.
    assert_eq!(consume(&from, "t", "c", 1).await[0].body, "one");
    for node in [from, same, drains] {
        node.stop().await;
    }
}
