//! A node that drains: nothing new, everything that is here, over restarts, and what consumers are told.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_http_api::{Client, DrainStatus, Stats};
use support::Node;
use support::http::ask;
use support::lookupd::nsqlookupd;
use support::wire::{batch, sized};

async fn status(node: &Node) -> DrainStatus {
    let answer = ask(node, "GET /drain", b"").await;
    serde_json::from_str(&answer.body).unwrap()
}

async fn metric(node: &Node, line: &str) -> bool {
    let page = ask(node, "GET /metrics", b"").await.body;
    page.lines().any(|told| told == line)
}

#[tokio::test]
async fn publishers_are_refused_and_consumers_served() {
    let node = Node::start(&[]).await;
    let mut wire = node.connect().await;
    wire.publish("t", "one").await;
    let left = ask(&node, "POST /drain", b"").await;
    let left: DrainStatus = serde_json::from_str(&left.body).unwrap();
    assert_eq!((left.draining, left.empty, left.messages), (true, false, 1));
    let text = "failed this nsqd is draining: publish to another";
    let publishes = [
        ("PUB", sized("PUB t", &[b"x"])),
        ("MPUB", sized("MPUB t", &[&batch(&["x"])])),
        ("DPUB", sized("DPUB t 10", &[b"x"])),
    ];
    for (verb, bytes) in publishes {
        let mut wire = node.connect().await;
        wire.send(&bytes).await;
        wire.error(&format!("E_{verb}_FAILED {verb} {text}")).await;
        wire.closed().await;
    }
    for path in ["POST /pub?topic=t", "POST /mpub?topic=new"] {
        let answer = ask(&node, path, b"x").await;
        let told = (answer.status, answer.body.as_str());
        assert_eq!(told, (503, r#"{"message":"DRAINING"}"#));
    }
    let ready = ask(&node, "GET /readyz", b"").await;
    let told = (ready.status, ready.body.as_str());
    assert_eq!(told, (503, "not ready - draining"));
    assert!(metric(&node, "nsqd_draining 1").await);
    let stats = ask(&node, "GET /stats?format=json", b"").await;
    assert!(serde_json::from_str::<Stats>(&stats.body).unwrap().draining);

    wire.subscribe("t", "c", 1).await;
    let message = wire.message().await;
    let left = status(&node).await;
    assert_eq!(left.topics.len(), 1, "what was refused made no topic");
    let channel = &left.topics[0].channels[0];
    assert_eq!((channel.in_flight, channel.consumers), (1, 1));
    wire.finish(&message).await;
    while !status(&node).await.empty {}

    ask(&node, "POST /undrain", b"").await;
    assert!(!status(&node).await.draining);
    node.connect().await.publish("t", "again").await;
    assert!(metric(&node, "nsqd_draining 0").await);
    node.stop().await;
}

#[tokio::test]
async fn it_outlives_stops_and_checkpoints() {
    let mut data = Node::start(&[]).await.stop().await;
    for draining in [true, true, false, false] {
        let node = Node::start_in(data, &[]).await;
        let order = if draining { "drain" } else { "undrain" };
        ask(&node, &format!("POST /{order}"), b"").await;
        data = node.stop().await;
        for _ in 0..2 {
            let node = Node::start_in(data, &[]).await;
            let found = status(&node).await;
            assert_eq!(found.draining, draining);
            assert_eq!(found.since > 0, draining);
            data = node.stop().await;
        }
    }
}

#[tokio::test]
async fn consumers_are_told_of_topics_with_something_left() {
    let lookupd = nsqlookupd().await;
    let flag = format!("--lookupd-tcp-address={}", lookupd.tcp_address());
    let node = Node::start(&[&flag]).await;
    node.post("/topic/create?topic=empty").await;
    let mut wire = node.connect().await;
    wire.publish("full", "one").await;
    let http = Client::default();
    let is_told = async |topic: &str| {
        let found = http.nsqlookupd(lookupd.http_address()).lookup(topic).await;
        found.is_ok_and(|lookup| !lookup.producers.is_empty())
    };
    while !is_told("empty").await || !is_told("full").await {}
    ask(&node, "POST /drain", b"").await;
    while is_told("empty").await {}
    assert!(is_told("full").await);
    wire.subscribe("full", "c", 1).await;
    let message = wire.message().await;
    wire.finish(&message).await;
    while is_told("full").await {}
    ask(&node, "POST /undrain", b"").await;
    while !is_told("empty").await || !is_told("full").await {}
    let lookupd = http.nsqlookupd(lookupd.http_address());
    assert_eq!(lookupd.channels("full").await.unwrap(), ["c"]);
    node.stop().await;
}
