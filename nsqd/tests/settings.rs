//! What can be set for topics and channels beyond NSQ's ways.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use nsq_journal::JournalOptions;
use nsq_journal::sim::SimDisk;
use nsqd::Clock;
use nsqd::engine::{Housekeeping, open_on};
use nsqd::options::{Durability, Options};
use serde_json::{Value, json};
use support::http::{Answer, ask};
use support::wire::{batch, sized};
use support::{Node, Wire};
use tokio::io::DuplexStream;

async fn set(node: &Node, what: &str, settings: &Value) {
    let answer = ask(
        node,
        &format!("PUT {what}"),
        settings.to_string().as_bytes(),
    )
    .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, ""),
        "{settings}"
    );
}

async fn get(node: &Node, path: &str) -> Value {
    let answer = ask(node, &format!("GET {path}"), b"").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn refuse(wire: &mut Wire<DuplexStream>, id: &str) {
    wire.say(&format!("REQ {id} 0")).await;
}

#[tokio::test]
async fn dead_letters_go_where_they_should_and_come_back() {
    let node = Node::start(&[]).await;
    node.post("/topic/create?topic=orders").await;
    node.post("/channel/create?topic=orders&channel=ship").await;
    node.post("/channel/create?topic=orders&channel=bill").await;
    let letters = json!({"max_attempts": 2, "dead_letter_topic": "dead"});
    set(
        &node,
        "/channel/settings?topic=orders&channel=ship",
        &letters,
    )
    .await;
    let mut producer = node.attach().await;
    producer.publish("orders", "poison").await;
    let mut ship = node.consumer("orders", "ship", 5).await;
    for attempt in 1..=2 {
        let message = ship.message().await;
        assert_eq!(
            (message.attempts, message.body.as_str()),
            (attempt, "poison")
        );
        refuse(&mut ship, &message.id).await;
    }
    // It does not come a third time, the next one does.
    producer.publish("orders", "good").await;
    let good = ship.message().await;
    assert_eq!(good.body, "good");
    ship.finish(&good).await;
    ship.nothing_but_ok().await;
    assert_eq!(node.topic("dead").await.depth, 1);
    let channel = node.channel("orders", "ship").await;
    assert_eq!(
        (channel.depth, channel.in_flight_count, channel.dead_count),
        (0, 0, 1)
    );
    // The other channel's is its own.
    assert_eq!(node.channel("orders", "bill").await.depth, 2);
    node.post("/channel/delete?topic=orders&channel=bill").await;
    let answer = ask(&node, "POST /topic/redrive?topic=dead&to=orders", b"").await;
    assert_eq!(answer.body, r#"{"moved":1}"#);
    let again = ship.message().await;
    assert_eq!((again.attempts, again.body.as_str()), (1, "poison"));
    assert_eq!(node.channel("dead", "redrive").await.depth, 0);
    for (path, status, code) in [
        ("/topic/redrive?topic=nope&to=x", 404, "TOPIC_NOT_FOUND"),
        ("/topic/redrive?topic=dead", 400, "MISSING_ARG_TO"),
        ("/topic/redrive?topic=dead&to=dead", 400, "INVALID_ARG_TO"),
        (
            "/topic/redrive?topic=dead&to=x&count=-1",
            400,
            "INVALID_ARG_COUNT",
        ),
    ] {
        let Answer {
            status: got, body, ..
        } = ask(&node, &format!("POST {path}"), b"").await;
        assert_eq!(
            (got, body),
            (status, format!(r#"{{"message":"{code}"}}"#)),
            "{path}"
        );
    }
}

/// Also when nobody answers: a timeout is an attempt.
#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_topic_it_is_finished() {
    let node = Node::start(&["--msg-timeout=1s"]).await;
    node.post("/topic/create?topic=t").await;
    set(
        &node,
        "/topic/settings?topic=t",
        &json!({"max_attempts": 3}),
    )
    .await;
    let mut consumer = node.consumer("t", "c", 1).await;
    node.attach().await.publish("t", "x").await;
    for attempt in 1..=3 {
        assert_eq!(consumer.message().await.attempts, attempt);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let channel = node.channel("t", "c").await;
    assert_eq!(
        (channel.depth, channel.in_flight_count, channel.dead_count),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn old_messages_are_not_delivered() {
    let node = Node::start(&[]).await;
    for channel in ["read", "unread"] {
        node.post("/topic/create?topic=t").await;
        let path = format!("/channel/create?topic=t&channel={channel}");
        node.post(&path).await;
    }
    let ttl = json!({"message_ttl_ms": 100});
    set(&node, "/topic/settings?topic=t", &ttl).await;
    let mut producer = node.attach().await;
    let bodies: Vec<&str> = vec!["old"; 2000]; // more than a block
    producer.send(&sized("MPUB t", &[&batch(&bodies)])).await;
    producer.response("OK").await;
    // Whole blocks go by themselves.
    while node.channel("t", "unread").await.expired_count < 1024 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The others when it is their turn.
    let mut consumer = node.consumer("t", "read", 2500).await;
    consumer.nothing_but_ok().await;
    let read = node.channel("t", "read").await;
    assert_eq!((read.expired_count, read.depth), (2000, 0));
    set(&node, "/topic/settings?topic=t", &json!({})).await;
    producer.publish("t", "new").await;
    assert_eq!(consumer.message().await.body, "new");
}

#[tokio::test]
async fn a_full_topic_refuses_or_makes_room() {
    let node = Node::start(&[]).await;
    for topic in ["refusing", "dropping", "heavy"] {
        node.post(&format!("/topic/create?topic={topic}")).await;
        node.post(&format!("/channel/create?topic={topic}&channel=c"))
            .await;
    }
    set(
        &node,
        "/topic/settings?topic=refusing",
        &json!({"max_depth": 3}),
    )
    .await;
    let drop = json!({"max_depth": 3, "overflow": "drop-oldest"});
    set(&node, "/channel/settings?topic=dropping&channel=c", &drop).await;
    set(
        &node,
        "/topic/settings?topic=heavy",
        &json!({"max_bytes": 1000}),
    )
    .await;
    let mut producer = node.attach().await;
    for number in 0..3 {
        producer.publish("refusing", &number.to_string()).await;
    }
    let full = "channel refusing:c has 3 messages of at most 3";
    producer.send(&sized("PUB refusing", &[b"3"])).await;
    producer
        .error(&format!("E_PUB_FAILED PUB failed {full}"))
        .await;
    producer.closed().await;
    let answer = ask(&node, "POST /pub?topic=refusing", b"x").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, r#"{"message":"TOPIC_FULL"}"#)
    );
    // All of a batch or nothing.
    let mut consumer = node.consumer("refusing", "c", 1).await;
    let message = consumer.message().await;
    consumer.finish(&message).await;
    consumer.say("RDY 0").await;
    consumer.nothing_but_ok().await;
    let answer = ask(&node, "POST /mpub?topic=refusing", b"a\nb\nc").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        ask(&node, "POST /pub?topic=refusing", b"x").await.status,
        200
    );
    // The oldest make room.
    for number in 0..10 {
        let path = "POST /pub?topic=dropping";
        assert_eq!(
            ask(&node, path, number.to_string().as_bytes()).await.status,
            200
        );
    }
    let mut consumer = node.consumer("dropping", "c", 10).await;
    for number in 7..10 {
        assert_eq!(consumer.message().await.body, number.to_string());
    }
    assert_eq!(node.channel("dropping", "c").await.dropped_count, 7);
    // By bytes.
    let body = [b'x'; 400];
    for status in [200, 200, 503] {
        assert_eq!(
            ask(&node, "POST /pub?topic=heavy", &body).await.status,
            status
        );
    }
}

#[tokio::test]
async fn bytes_make_room_by_blocks() {
    let node = Node::start(&[]).await;
    node.post("/topic/create?topic=t").await;
    node.post("/channel/create?topic=t&channel=c").await;
    let drop = json!({"max_bytes": 1_000_000, "overflow": "drop-oldest"});
    set(&node, "/topic/settings?topic=t", &drop).await;
    let mut producer = node.attach().await;
    let body = "x".repeat(100_000);
    for _ in 0..40 {
        producer.publish("t", &body).await;
    }
    let channel = node.channel("t", "c").await;
    // A block takes some 256 KiB.
    assert!((7..=10).contains(&channel.depth), "{}", channel.depth);
    assert_eq!(channel.dropped_count + channel.depth as u64, 40);
}

#[tokio::test]
async fn deferred_messages_are_listed_and_cancelled() {
    let node = Node::start(&["--max-defer-timeout=8760h"]).await;
    node.post("/topic/create?topic=t").await;
    node.post("/channel/create?topic=t&channel=c").await;
    let year: u64 = 365 * 24 * 3_600_000;
    let mut producer = node.attach().await;
    for delay in [year, 1000 * 3_600_000, 100_000] {
        producer
            .send(&sized(&format!("DPUB t {delay}"), &[b"later"]))
            .await;
        producer.response("OK").await;
    }
    let listed = get(&node, "/channel/deferred?topic=t&channel=c").await;
    let messages = listed["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    let due: Vec<i64> = messages
        .iter()
        .map(|m| m["due"].as_i64().unwrap())
        .collect();
    assert!(due.is_sorted());
    assert!((due[2] - due[0]) / 1_000_000 > (year - 200_000) as i64);
    let id = messages[1]["id"].as_str().unwrap();
    let cancel = format!("/channel/deferred/cancel?topic=t&channel=c&id={id}");
    node.post(&cancel).await;
    assert_eq!(ask(&node, &format!("POST {cancel}"), b"").await.status, 404);
    assert_eq!(node.channel("t", "c").await.deferred_count, 2);
    let first = get(&node, "/channel/deferred?topic=t&channel=c&count=1").await;
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);
    producer
        .send(&sized(&format!("DPUB t {}", year + 1), &[b"x"]))
        .await;
    let error = format!("E_INVALID DPUB timeout {} out of range 0-{year}", year + 1);
    producer.error(&error).await;
    // What was cancelled stays so.
    let node = Node::start_in(node.stop().await, &[]).await;
    assert_eq!(node.channel("t", "c").await.deferred_count, 2);
}

#[tokio::test]
async fn peeking_takes_nothing() {
    let node = Node::start(&["--mem-queue-size=10"]).await;
    node.post("/topic/create?topic=t").await;
    let mut producer = node.attach().await;
    let bodies: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    producer.send(&sized("MPUB t", &[&batch(&bodies)])).await;
    producer.response("OK").await;
    let shown = get(&node, "/topic/peek?topic=t&count=2").await;
    assert_eq!(shown["messages"][1]["body"], "1");
    node.post("/channel/create?topic=t&channel=c").await;
    let shown = get(&node, "/channel/peek?topic=t&channel=c&count=1000").await;
    let messages = shown["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1000);
    assert_eq!(messages[999]["body"], "999");
    assert_eq!(
        (&messages[0]["attempts"], &messages[0]["bytes"]),
        (&json!(0), &json!(1))
    );
    let mut consumer = node.consumer("t", "c", 1).await;
    let message = consumer.message().await;
    assert_eq!((message.body.as_str(), message.attempts), ("0", 1));
    consumer.say("RDY 0").await;
    consumer.say(&format!("REQ {} 0", message.id)).await;
    consumer.nothing_but_ok().await;
    let shown = get(&node, "/channel/peek?topic=t&channel=c&count=2").await;
    assert_eq!(shown["messages"][0]["id"], message.id);
    assert_eq!(shown["messages"][0]["attempts"], 1);
    ask(&node, "POST /pub?topic=raw", b"\xff\x00").await;
    let shown = get(&node, "/topic/peek?topic=raw").await;
    assert_eq!(shown["messages"][0]["body_base64"], "/wA=");
    for path in [
        "/channel/peek?topic=t&channel=nope",
        "/topic/peek?topic=nope",
    ] {
        assert_eq!(ask(&node, &format!("GET {path}"), b"").await.status, 404);
    }
}

#[tokio::test]
async fn a_dropped_connections_messages_wait_again_at_once_if_asked() {
    let node = Node::start(&[]).await;
    node.post("/topic/create?topic=t").await;
    set(
        &node,
        "/topic/settings?topic=t",
        &json!({"requeue_on_disconnect": true}),
    )
    .await;
    node.attach().await.publish("t", "x").await;
    let mut first = node.consumer("t", "c", 1).await;
    let mut second = node.consumer("t", "c", 1).await;
    second.nothing_but_ok().await;
    let taken = tokio::select! {
        message = first.message() => { drop(first); (message, second) }
        message = second.message() => { drop(second); (message, first) }
    };
    let again = taken.1;
    let mut again = again;
    let message = again.message().await;
    assert_eq!((message.id, message.attempts), (taken.0.id, 2));
}

#[tokio::test]
async fn settings_are_kept_shown_and_checked() {
    let node = Node::start(&["--durability=memory"]).await;
    node.post("/topic/create?topic=t").await;
    node.post("/channel/create?topic=t&channel=c").await;
    let own = json!({"durability": "fsync", "max_depth": 5});
    set(&node, "/topic/settings?topic=t", &own).await;
    set(
        &node,
        "/channel/settings?topic=t&channel=c",
        &json!({"max_attempts": 7}),
    )
    .await;
    assert_eq!(
        node.nsqd.find_topic("t").unwrap().level(),
        Durability::Fsync
    );
    for (path, body, why) in [
        (
            "/topic/settings?topic=t",
            r#"{"max_dept":1}"#,
            "unknown field `max_dept`",
        ),
        (
            "/topic/settings?topic=t",
            r#"{"durability":"perhaps"}"#,
            "durability must be",
        ),
        (
            "/topic/settings?topic=t",
            r#"{"dead_letter_topic":"t"}"#,
            "another topic",
        ),
        (
            "/topic/settings?topic=t",
            r#"{"dead_letter_topic":"a b"}"#,
            "not a valid name",
        ),
        (
            "/channel/settings?topic=t&channel=c",
            r#"{"max_bytes":1}"#,
            "of a topic",
        ),
    ] {
        let answer = ask(&node, &format!("PUT {path}"), body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(why), "{}", answer.body);
    }
    node.attach().await.publish("t", "x").await;
    let memory = ask(&node, "PUT /topic/settings?topic=t", br#"{}"#).await;
    assert_eq!(memory.status, 409, "{}", memory.body);
    let node = Node::start_in(node.stop().await, &["--durability=memory"]).await;
    let told = get(&node, "/topic/settings?topic=t").await;
    assert_eq!(
        (&told["durability"], &told["max_depth"]),
        (&json!("fsync"), &json!(5))
    );
    assert_eq!(
        node.nsqd.find_topic("t").unwrap().level(),
        Durability::Fsync
    );
    let stats = node.topic("t").await;
    assert_eq!(
        stats.settings.unwrap()["max_depth"],
        5,
        "as set before the stop"
    );
    let client = nsq_http_api::Client::default();
    let nsqd = client.nsqd(&node.http);
    let told = nsqd.channel_settings("t", "c").await.unwrap();
    assert_eq!(told["max_attempts"], 7);
    let fewer = json!({"max_depth": 4});
    nsqd.set_topic_settings("t", &fewer).await.unwrap_err(); // durability would change
    let fewer = json!({"max_depth": 4, "durability": "write"});
    nsqd.set_topic_settings("t", &fewer).await.unwrap();
    let told = nsqd.topic_settings("t").await.unwrap();
    assert_eq!(told["max_depth"], 4);
    assert_eq!(
        node.channel("t", "c").await.settings.unwrap()["max_attempts"],
        7
    );
}

/// From the journal alone, without a checkpoint; and a limit drops nothing while it is replayed.
#[tokio::test]
async fn a_crash_changes_no_settings() {
    let disk = SimDisk::new();
    let start = || {
        let journal = JournalOptions {
            segment_bytes: 1 << 20,
            chunk_bytes: 1 << 16,
            free_floor: 0,
            threads: false,
            ..JournalOptions::default()
        };
        let options = Options::command("simulated").defaults();
        let clock = Clock::simulated(1_700_000_000_000_000_000);
        let housekeeping = Housekeeping::on_volume(1 << 30, 0);
        open_on(disk.clone(), journal, options, clock, housekeeping).unwrap()
    };
    let nsqd = start();
    let topic = nsqd.topic("t").unwrap();
    topic.create_channel(&nsqd, "c").unwrap();
    let settings: nsq_queue::Settings =
        serde_json::from_value(json!({"max_depth": 4, "overflow": "drop-oldest"})).unwrap();
    topic.set_settings(&nsqd, None, settings.clone()).unwrap();
    let other = serde_json::from_value(json!({"max_attempts": 9})).unwrap();
    topic.set_settings(&nsqd, Some("c"), other).unwrap();
    for _ in 0..3 {
        topic.publish(&nsqd, b"x", &[(0, 1)], 0).unwrap();
    }
    nsqd.journal.write(nsqd.journal.tail()).unwrap();
    disk.kill();
    let nsqd = start();
    let topic = nsqd.find_topic("t").unwrap();
    topic.read(|queue| {
        assert_eq!(*queue.settings(), settings);
        assert_eq!(queue.channel_settings("c").unwrap().max_attempts, Some(9));
        assert_eq!(queue.stats().channels[0].depth, 3);
    });
}
