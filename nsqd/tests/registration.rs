//! A node and its nsqlookupds, and publishers that do not wait for their answer.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_http_api::Client;
use nsqlookupd::Nsqlookupd;
use support::Node;
use support::http::ask;
use support::lookupd::nsqlookupd;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// (broadcast address, TCP port, HTTP port) of the topic's only producer, once there is one.
async fn producer(lookupd: &Nsqlookupd, topic: &str) -> (String, i32, i32) {
    let http = Client::default();
    loop {
        let found = http.nsqlookupd(lookupd.http_address()).lookup(topic).await;
        if let Ok(mut lookup) = found
            && lookup.producers.len() == 1
        {
            let producer = lookup.producers.remove(0);
            return (
                producer.broadcast_address,
                producer.tcp_port,
                producer.http_port,
            );
        }
    }
}

fn port(address: &str) -> i32 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_node_is_found_by_its_topics() {
    let lookupd = nsqlookupd().await;
    let flag = format!("--lookupd-tcp-address={}", lookupd.tcp_address());
    let node = Node::start(&[&flag]).await;
    node.post("/topic/create?topic=t").await;
    let own = ("127.0.0.1".to_owned(), port(&node.tcp), port(&node.http));
    assert_eq!(producer(&lookupd, "t").await, own);
    // What is there before the node stops is there again after it.
    let data = node.stop().await;
    let node = Node::start_in(
        data,
        &[&flag, "--broadcast-tcp-port=1", "--broadcast-http-port=2"],
    )
    .await;
    while producer(&lookupd, "t").await.1 != 1 {}
    assert_eq!(producer(&lookupd, "t").await.2, 2);
    node.stop().await;
}

#[tokio::test]
async fn a_new_topic_has_the_channels_it_has_elsewhere() {
    let lookupd = nsqlookupd().await;
    let node = Node::start(&[]).await;
    // Told at run time.
    let addresses = format!("[\"{}\"]", lookupd.tcp_address());
    let put = ask(
        &node,
        "PUT /config/nsqlookupd_tcp_addresses",
        addresses.as_bytes(),
    )
    .await;
    assert_eq!((put.status, put.body), (200, addresses));
    node.post("/topic/create?topic=first").await;
    producer(&lookupd, "first").await;
    let http = Client::default();
    let lookup = http.nsqlookupd(lookupd.http_address());
    for channel in ["a", "b", "e#ephemeral"] {
        lookup.create_channel("t", channel).await.unwrap();
    }
    assert_eq!(ask(&node, "POST /pub?topic=t", b"x").await.body, "OK");
    // The message is held until the nsqlookupd has answered.
    let depths = loop {
        let topic = node.topic("t").await;
        if topic.depth == 0 {
            let channels = topic.channels.into_iter();
            break channels
                .map(|channel| (channel.channel_name, channel.depth))
                .collect::<Vec<_>>();
        }
    };
    assert_eq!(depths, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let metrics = ask(&node, "GET /metrics", b"").await.body;
    let link = format!(
        "nsqd_lookupd_connected{{address=\"{}\"}} 1\n",
        lookupd.tcp_address()
    );
    assert!(metrics.contains(&link));
}

/// The consumer hears of the message when it is kept, whether or not the publisher still waits.
#[tokio::test]
async fn a_publisher_may_leave_before_its_answer() {
    for level in ["memory", "write", "fsync"] {
        let node = Node::start(&[&format!("--durability={level}")]).await;
        let mut consumer = node.consumer("t", "c", 10).await;
        consumer.nothing_but_ok().await;
        for n in 0..20 {
            let mut socket = TcpStream::connect(&node.http).await.unwrap();
            let request = "POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
            socket.write_all(request.as_bytes()).await.unwrap();
            drop(socket);
            // Each one arrives, without another one to wake the consumer.
            let message = consumer.message().await;
            assert_eq!(message.attempts, 1, "{level} {n}");
            consumer.finish(&message).await;
        }
    }
}
