//! Clients that behave badly: what is bounded, and who is not harmed.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use support::wire::sized;
use support::{Frame, Node};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// A command that comes a byte at a time is given up, one that is merely slow is not.
#[tokio::test(start_paused = true)]
async fn a_command_has_to_arrive() {
    let node = Node::start(&["--command-timeout=10s"]).await;
    let command = sized("PUB t", &[&[b'x'; 100_000]]);
    let mut loris = node.attach().await;
    let begun = Instant::now();
    let mut sent = 0;
    while loris.stream.write_all(&command[sent..=sent]).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(2)).await;
        sent += 1;
    }
    assert!((10..15).contains(&begun.elapsed().as_secs()), "{sent}");
    // 100 kB at 10 kB a second take ten seconds, with pauses more.
    let mut slow = node.attach().await;
    for part in command.chunks(10_000) {
        slow.send(part).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    loop {
        match slow.frame().await.unwrap() {
            Frame::Response(text) if text == "OK" => break,
            other => assert_eq!(other, Frame::Response("_heartbeat_".to_owned())),
        }
    }
    assert_eq!(node.topic("t").await.depth, 1);
}

/// Large commands that are still arriving share a part of the memory; the others wait, and get
/// their turn when one arrives or is given up.
#[tokio::test(start_paused = true)]
async fn unfinished_commands_are_bounded_together() {
    // An eighth of it, 1 MiB, is for commands that arrive.
    let node = Node::start(&["--memory-limit=8388608", "--command-timeout=60s"]).await;
    let command = sized("PUB t", &[&[b'x'; 400_000]]);
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut holder = node.attach().await;
        holder.send(&command[..300_000]).await;
        holders.push(holder);
    }
    let settled = || tokio::time::sleep(Duration::from_millis(1));
    settled().await;
    let (small, large) = ("y".repeat(1000), vec![b'z'; 400_000]);
    let mut third = node.attach().await;
    let mut consumer = node.consumer("t", "c", 5).await;
    // Small ones pass, a third large one does not.
    third.publish("t", &small).await;
    assert_eq!(consumer.message().await.body.len(), 1000);
    third.send(&sized("PUB t", &[&large])).await;
    settled().await;
    assert_eq!(node.queue_stats("t").message_count, 1);
    // One of them is given up after its time: 60 s, and 300 kB at 8 KiB a second.
    let begun = Instant::now();
    let message = loop {
        match third.frame().await.unwrap() {
            Frame::Response(text) if text == "OK" => break consumer.message().await,
            Frame::Response(_) => third.say("NOP").await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(message.body.len(), 400_000);
    let waited = begun.elapsed().as_secs();
    assert!((55..110).contains(&waited), "{waited}");
}

/// A consumer that does not read hoards no more than its buffer's worth; another one gets the rest.
#[tokio::test(start_paused = true)]
async fn a_stuck_consumer_does_not_hoard() {
    let node = Node::start(&[]).await;
    let mut stuck = node.consumer("t", "c", 2500).await;
    stuck.nothing_but_ok().await;
    let mut publisher = node.attach().await;
    let body = "x".repeat(100_000);
    for _ in 0..100 {
        publisher.publish("t", &body).await;
    }
    let channel = node.queue_stats("t").channels.remove(0);
    // The socket's buffer of 1 MiB, and one pull more.
    assert!(channel.in_flight_count < 15, "{}", channel.in_flight_count);
    let mut good = node.consumer("t", "c", 2500).await;
    for _ in 0..85 {
        let message = good.message().await;
        good.finish(&message).await;
    }
    // It takes no output for a heartbeat's time: it is closed, and its messages come again.
    for _ in 0..(100 - 85) {
        let message = good.message().await;
        good.finish(&message).await;
    }
    assert_eq!(node.queue_stats("t").channels[0].consumers.len(), 1);
}

/// Beyond the cap connections wait in the backlog, and get their turn.
#[tokio::test]
async fn connections_are_capped() {
    let node = Node::start(&["--max-connections=2"]).await;
    let mut first = node.connect().await;
    let mut second = node.connect().await;
    first.publish("t", "1").await;
    second.publish("t", "2").await;
    let mut third = node.connect().await;
    third.send(&sized("PUB t", &[b"3"])).await;
    first.publish("t", "4").await;
    assert_eq!(node.topic("t").await.depth, 3, "the third waits");
    drop(second);
    third.response("OK").await;
    assert_eq!(node.topic("t").await.depth, 4);
}
