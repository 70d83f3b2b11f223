//! What a consumer lives through: delivery, time-outs, pauses, ends. Time is the runtime's and
//! stands still while something can happen, so durations are exact.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use support::wire::{batch, sized};
use support::{Frame, Node};
use tokio::time::Instant;

fn millis(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// Times are exact to this: the runtime's timers count whole milliseconds.
const EXACT: u128 = 2;

fn assert_after(since: Instant, expected: u128) {
    let took = millis(since);
    assert!(
        (expected..=expected + EXACT).contains(&took),
        "{took} ms, not {expected}"
    );
}

#[tokio::test(start_paused = true)]
async fn from_publish_to_finish() {
    let node = Node::start(&[]).await;
    let mut client = node.attach().await;
    client
        .identify(r#"{"msg_timeout":1000,"heartbeat_interval":1000}"#)
        .await;
    client.publish("flow", "body-1").await;
    client.subscribe("flow", "ch", 1).await;
    let first = client.message().await;
    assert_eq!((first.attempts, first.body.as_str()), (1, "body-1"));
    client.say(&format!("TOUCH {}", first.id)).await;
    client.say(&format!("REQ {} 0", first.id)).await;
    let again = client.message().await;
    assert_eq!(
        (again.attempts, &again.id, again.timestamp),
        (2, &first.id, first.timestamp)
    );
    // Without an answer it comes again when its time is over.
    let delivered = Instant::now();
    let third = client.message().await;
    assert_after(delivered, 1000);
    assert_eq!((third.attempts, &third.id), (3, &first.id));
    client.finish(&third).await;
    client.finish(&third).await;
    client
        .error(&format!(
            "E_FIN_FAILED FIN {} failed ID not in flight",
            third.id
        ))
        .await;
    client.publish("flow", "body-2").await;
    assert_eq!(client.message().await.body, "body-2");
    let stats = node
        .nsqd
        .find_topic("flow")
        .unwrap()
        .read(|queue| queue.stats());
    let channel = &stats.channels[0];
    assert_eq!((stats.message_count, channel.message_count), (2, 2));
    assert_eq!((channel.requeue_count, channel.timeout_count), (1, 1));
    assert_eq!((channel.in_flight_count, channel.depth), (1, 0));
    let consumer = channel.consumers[0].1;
    assert_eq!((consumer.message_count, consumer.finish_count), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn two_missed_heartbeats_end_the_connection() {
    let node = Node::start(&[]).await;
    let mut client = node.attach().await;
    client.identify(r#"{"heartbeat_interval":1000}"#).await;
    let silent = Instant::now();
    client.response("_heartbeat_").await;
    assert_after(silent, 1000);
    client.closed().await;
    assert_after(silent, 2000);
    assert_eq!(node.nsqd.clients().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn answered_heartbeats_keep_the_connection() {
    let node = Node::start(&[]).await;
    let mut client = node.attach().await;
    client.identify(r#"{"heartbeat_interval":1000}"#).await;
    let started = Instant::now();
    for _ in 0..100 {
        client.response("_heartbeat_").await;
        client.say("NOP").await;
    }
    assert_after(started, 100_000);
}

#[tokio::test(start_paused = true)]
async fn deferred_messages_come_when_they_are_due() {
    let node = Node::start(&[]).await;
    let mut client = node.consumer("later", "ch", 5).await;
    let sent = Instant::now();
    for (delay, body) in [(300, "third"), (100, "first"), (200, "second")] {
        client
            .send(&sized(&format!("DPUB later {delay}"), &[body.as_bytes()]))
            .await;
        client.response("OK").await;
    }
    for (due, body) in [(100, "first"), (200, "second"), (300, "third")] {
        let message = client.message().await;
        assert_eq!((message.body.as_str(), message.attempts), (body, 1));
        assert_after(sent, due);
    }
}

#[tokio::test(start_paused = true)]
async fn requeue_is_delayed_at_most_by_the_limit() {
    let node = Node::start(&["--max-req-timeout=10m"]).await;
    let mut client = node.consumer("clamp", "ch", 1).await;
    client.publish("clamp", "x").await;
    let message = client.message().await;
    let requeued = Instant::now();
    client.say(&format!("REQ {} 2500", message.id)).await;
    let message = client.message().await;
    assert_after(requeued, 2500);
    let requeued = Instant::now();
    client.say(&format!("REQ {} 99999999", message.id)).await;
    assert_eq!(client.message().await.attempts, 3);
    assert_after(requeued, 600_000);
}

#[tokio::test(start_paused = true)]
async fn touch_gives_more_time_up_to_the_limit() {
    let node = Node::start(&["--max-msg-timeout=3s", "--msg-timeout=1s"]).await;
    let mut client = node.consumer("slow", "ch", 1).await;
    client.publish("slow", "x").await;
    let message = client.message().await;
    let delivered = Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        client.say(&format!("TOUCH {}", message.id)).await;
    }
    // At 2.7 s it would get until 3.7 s.
    assert_eq!(client.message().await.attempts, 2);
    assert_after(delivered, 3000);
    client.say(&format!("TOUCH {}x", &message.id[1..])).await;
    let unknown = client.frame().await;
    assert!(matches!(unknown, Some(Frame::Error(text)) if text.starts_with("E_TOUCH_FAILED ")));
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_lost_consumer_wait_for_their_time() {
    let node = Node::start(&["--msg-timeout=5s"]).await;
    let mut lost = node.consumer("t", "ch", 1).await;
    let mut other = node.consumer("t", "ch", 1).await;
    other.say("RDY 0").await;
    other.nothing_but_ok().await;
    lost.publish("t", "x").await;
    assert_eq!(lost.message().await.attempts, 1);
    let delivered = Instant::now();
    drop(lost);
    other.say("RDY 1").await;
    assert_eq!(other.message().await.attempts, 2);
    assert_after(delivered, 5000);
}

#[tokio::test(start_paused = true)]
async fn ready_count_bounds_what_is_in_flight() {
    let node = Node::start(&[]).await;
    let mut client = node.consumer("many", "ch", 3).await;
    let bodies: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    client.send(&sized("MPUB many", &[&batch(&bodies)])).await;
    client.response("OK").await;
    let mut held = Vec::new();
    for body in &bodies[..3] {
        held.push(client.message().await);
        assert_eq!(held.last().unwrap().body, **body);
    }
    client.nothing_but_ok().await;
    client.finish(&held[0]).await;
    assert_eq!(client.message().await.body, "3");
    client.say("RDY 0").await;
    client.finish(&held[1]).await;
    client.finish(&held[2]).await;
    client.nothing_but_ok().await;
    client.say("RDY 100").await;
    for body in &bodies[4..] {
        assert_eq!(client.message().await.body, **body);
    }
}

#[tokio::test(start_paused = true)]
async fn each_channel_gets_every_message_and_its_consumers_share_them() {
    let node = Node::start(&[]).await;
    let mut alone = node.consumer("cast", "alone", 100).await;
    let mut shared = [
        node.consumer("cast", "shared", 100).await,
        node.consumer("cast", "shared", 100).await,
    ];
    for n in 0..20 {
        alone
            .send(&sized("PUB cast", &[n.to_string().as_bytes()]))
            .await;
    }
    let (mut oks, mut got) = (0, Vec::new());
    while oks < 20 || got.len() < 20 {
        match alone.frame().await.unwrap() {
            Frame::Message(message) => got.push(message.body),
            _ => oks += 1,
        }
    }
    let all: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(got, all);
    // Both are ready for all of them; neither takes more than its share.
    let mut between = Vec::new();
    for consumer in &mut shared {
        for _ in 0..10 {
            between.push(consumer.message().await.body.parse::<u32>().unwrap());
        }
    }
    between.sort_unstable();
    assert_eq!(between, (0..20).collect::<Vec<u32>>());
}

#[tokio::test(start_paused = true)]
async fn a_paused_channel_holds_and_a_paused_topic_too() {
    let node = Node::start(&[]).await;
    let mut client = node.consumer("p", "ch", 10).await;
    let topic = node.nsqd.find_topic("p").unwrap();
    let depths = || {
        topic.read(|queue| {
            let stats = queue.stats();
            (stats.depth, stats.channels[0].depth)
        })
    };
    topic
        .pause_channel(&node.nsqd, "ch", true)
        .unwrap()
        .unwrap();
    client.publish("p", "one").await;
    client.nothing_but_ok().await;
    assert_eq!(depths(), (0, 1));
    topic
        .pause_channel(&node.nsqd, "ch", false)
        .unwrap()
        .unwrap();
    assert_eq!(client.message().await.body, "one");

    topic.pause(&node.nsqd, true).unwrap();
    client.publish("p", "two").await;
    client.send(&sized("DPUB p 5", &[b"three"])).await;
    client.response("OK").await;
    client.nothing_but_ok().await;
    assert_eq!(depths(), (2, 0));
    topic.pause(&node.nsqd, false).unwrap();
    assert_eq!(client.message().await.body, "two");
    assert_eq!(client.message().await.body, "three");
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_the_first_channel() {
    let node = Node::start(&[]).await;
    let mut client = node.attach().await;
    client.publish("early", "kept").await;
    client.subscribe("early", "first", 1).await;
    assert_eq!(client.message().await.body, "kept");
    // A later channel begins with what comes later.
    let mut second = node.consumer("early", "second", 1).await;
    second.publish("early", "new").await;
    assert_eq!(second.message().await.body, "new");
}

#[tokio::test(start_paused = true)]
async fn the_ephemeral_go_with_their_last_client() {
    let node = Node::start(&[]).await;
    let one = node.consumer("t", "e#ephemeral", 1).await;
    let mut two = node.consumer("t", "e#ephemeral", 1).await;
    let three = node.consumer("gone#ephemeral", "e#ephemeral", 1).await;
    drop((one, three));
    // The end of a connection is seen when its task runs.
    while node.nsqd.clients().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(node.nsqd.find_topic("gone#ephemeral").is_none());
    two.publish("t", "x").await;
    assert_eq!(two.message().await.body, "x");
    drop(two);
    while !node.nsqd.clients().is_empty() {
        tokio::task::yield_now().await;
    }
    let topic = node.nsqd.find_topic("t").unwrap();
    assert_eq!(topic.read(|queue| queue.channels().count()), 0);
}

#[tokio::test(start_paused = true)]
async fn deleting_disconnects_consumers() {
    let node = Node::start(&[]).await;
    let mut of_channel = node.consumer("t", "one", 1).await;
    let mut of_topic = node.consumer("t", "two", 1).await;
    let topic = node.nsqd.find_topic("t").unwrap();
    topic.delete_channel(&node.nsqd, "one").unwrap().unwrap();
    of_channel.closed().await;
    of_topic.publish("t", "x").await;
    assert_eq!(of_topic.message().await.body, "x");
    node.nsqd.delete_topic("t").unwrap().unwrap();
    of_topic.closed().await;
    assert!(node.nsqd.find_topic("t").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_channel_has_so_many_consumers() {
    let node = Node::start(&["--max-channel-consumers=2"]).await;
    let _one = node.consumer("t", "c", 1).await;
    let two = node.consumer("t", "c", 1).await;
    let _other_channel = node.consumer("t", "d", 1).await;
    let mut three = node.attach().await;
    three.say("SUB t c").await;
    three
        .error("E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 2")
        .await;
    three.closed().await;
    drop(two);
    while node.nsqd.clients().len() > 2 {
        tokio::task::yield_now().await;
    }
    node.consumer("t", "c", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_a_part() {
    let node = Node::start(&[]).await;
    let mut client = node.attach().await;
    client.identify(r#"{"sample_rate":30}"#).await;
    client.subscribe("s", "c", 2500).await;
    let bodies = vec!["x"; 2000];
    client.send(&sized("MPUB s", &[&batch(&bodies)])).await;
    let mut taken = 0;
    // The heartbeat comes when nothing else does.
    loop {
        match client.frame().await.unwrap() {
            Frame::Message(_) => taken += 1,
            Frame::Response(text) if text == "OK" => {}
            Frame::Response(text) if text == "_heartbeat_" => break,
            other => panic!("{other:?}"),
        }
    }
    // 600 expected; nine standard deviations are 185.
    assert!((415..=785).contains(&taken), "{taken} of 2000");
    let depth = node
        .nsqd
        .find_topic("s")
        .unwrap()
        .read(|queue| queue.stats().channels[0].depth);
    assert_eq!(depth, 0, "what is not sampled is passed over");
}
