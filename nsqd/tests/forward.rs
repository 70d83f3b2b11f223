//! Messages that are consumed and published elsewhere, as `nsq_to_nsq` does it, with the client library on every kind of
//! connection.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use nsq_client::{Config, Consumer, Producer, Sources};
use nsq_tools::forward::{Options, Plan, forward};
use support::auth_server::{AuthServer, everything};
use support::lookupd::nsqlookupd;
use support::upgrade::Cert;
use support::{Message, Node};
use tokio::sync::oneshot;

fn plan(flags: &[String]) -> Plan {
    let args = flags.iter().map(OsString::from).collect();
    Options::from_args(args).unwrap_or_else(|_| panic!("{flags:?}"))
}

fn from_to(from: &Node, to: &[&Node], more: &[&str]) -> Vec<String> {
    let mut flags = vec![
        "--topic=t".to_owned(),
        format!("--nsqd-tcp-address={}", from.tcp),
    ];
    let to = to.iter();
    flags.extend(to.map(|to| format!("--destination-nsqd-tcp-address={}", to.tcp)));
    flags.extend(more.iter().map(|&more| more.to_owned()));
    flags
}

async fn publish(node: &Node, topic: &str, bodies: &[String]) {
    let mut wire = node.connect().await;
    for body in bodies {
        wire.publish(topic, body).await;
    }
}

/// Takes and finishes so many.
async fn bodies(node: &Node, topic: &str, count: usize) -> Vec<String> {
    let mut wire = node.connect().await;
    wire.subscribe(topic, "judge", 1000).await;
    let mut all = Vec::new();
    for _ in 0..count {
        let message: Message = wire.message().await;
        wire.finish(&message).await;
        all.push(message.body.clone());
    }
    wire.nothing_but_ok().await;
    all.sort();
    all
}

/// Runs until what is looked for is there.
async fn until(node: &Node, topic: &str, channel: &str, finished: u64) {
    loop {
        let stats = node.topic(topic).await;
        let found = stats.channels.iter().find(|it| it.channel_name == channel);
        let left = |it: &nsq_http_api::stats::ChannelStats| {
            it.depth.unsigned_abs()
                + it.in_flight_count.unsigned_abs()
                + it.deferred_count.unsigned_abs()
        };
        if stats.message_count >= finished && found.is_some_and(|it| left(it) == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn numbered(count: usize) -> Vec<String> {
    let mut all: Vec<String> = (0..count).map(|n| format!("{n:05}")).collect();
    all.sort();
    all
}

#[tokio::test]
async fn everything_arrives_and_is_finished() {
    for mode in ["hostpool", "round-robin", "epsilon-greedy"] {
        let (from, a, b) = (
            Node::start(&[]).await,
            Node::start(&[]).await,
            Node::start(&[]).await,
        );
        from.post("/topic/create?topic=t").await;
        from.post("/channel/create?topic=t&channel=nsq_to_nsq")
            .await;
        publish(&from, "t", &numbered(500)).await;
        for to in [&a, &b] {
            to.post("/topic/create?topic=t").await;
            to.post("/channel/create?topic=t&channel=judge").await;
        }
        let mode = format!("--mode={mode}");
        let plan = plan(&from_to(&from, &[&a, &b], &[&mode]));
        let (stop, stopped) = oneshot::channel::<()>();
        let forwarding = tokio::spawn(async move {
            forward(&plan, async {
                let _ = stopped.await;
            })
            .await
        });
        until(&from, "t", "nsq_to_nsq", 500).await;
        stop.send(()).unwrap();
        forwarding.await.unwrap().unwrap();
        let (at_a, at_b) = (
            a.topic("t").await.message_count,
            b.topic("t").await.message_count,
        );
        assert!(at_a > 0 && at_b > 0, "{mode}: {at_a} {at_b}");
        let mut all = bodies(&a, "t", at_a as usize).await;
        all.extend(bodies(&b, "t", at_b as usize).await);
        all.sort();
        assert_eq!(all, numbered(500), "{mode}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_finished_and_goes_nowhere() {
    let (from, to) = (Node::start(&[]).await, Node::start(&[]).await);
    from.post("/topic/create?topic=t").await;
    from.post("/channel/create?topic=t&channel=nsq_to_nsq")
        .await;
    let sent = [r#"{"a":1,"b":2}"#, r#"{"a":2,"b":3}"#, "no json"].map(str::to_owned);
    publish(&from, "t", &sent).await;
    to.post("/topic/create?topic=u").await;
    to.post("/channel/create?topic=u&channel=judge").await;
    let more = [
        "--destination-topic=u",
        "--require-json-field=a",
        "--require-json-value=1",
        "--whitelist-json-field=b",
    ];
    let plan = plan(&from_to(&from, &[&to], &more));
    let (stop, stopped) = oneshot::channel::<()>();
    let forwarding = tokio::spawn(async move {
        forward(&plan, async {
            let _ = stopped.await;
        })
        .await
    });
    until(&from, "t", "nsq_to_nsq", 3).await;
    stop.send(()).unwrap();
    forwarding.await.unwrap().unwrap();
    assert_eq!(bodies(&to, "u", 1).await, [r#"{"b":2}"#]);
}

#[tokio::test]
async fn nothing_goes_round_in_circles() {
    let lookupd = nsqlookupd().await;
    let tells = format!("--lookupd-tcp-address={}", lookupd.tcp_address());
    let (from, to) = (Node::start(&[&tells]).await, Node::start(&[&tells]).await);
    for node in [&from, &to] {
        node.post("/topic/create?topic=t").await;
    }
    from.post("/channel/create?topic=t&channel=nsq_to_nsq")
        .await;
    to.post("/channel/create?topic=t&channel=judge").await;
    let http = nsq_http_api::Client::default();
    let api = http.nsqlookupd(lookupd.http_address());
    while api
        .lookup("t")
        .await
        .map_or(0, |found| found.producers.len())
        < 2
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    publish(&from, "t", &numbered(50)).await;
    let plan = plan(&[
        "--topic=t".to_owned(),
        format!("--lookupd-http-address={}", lookupd.http_address()),
        format!("--destination-nsqd-tcp-address={}", to.tcp),
        // Found again and again, and refused each time.
        "--consumer-opt=lookupd_poll_interval,10ms".to_owned(),
    ]);
    let (stop, stopped) = oneshot::channel::<()>();
    let forwarding = tokio::spawn(async move {
        forward(&plan, async {
            let _ = stopped.await;
        })
        .await
    });
    until(&from, "t", "nsq_to_nsq", 50).await;
    stop.send(()).unwrap();
    forwarding.await.unwrap().unwrap();
    let there = to.topic("t").await;
    assert_eq!((there.message_count, there.channels.len()), (50, 1));
    assert_eq!(bodies(&to, "t", 50).await, numbered(50));
}

#[tokio::test]
async fn a_source_that_is_a_destination_is_refused() {
    let node = Node::start(&[]).await;
    let plan_of = |more: &[&str]| plan(&from_to(&node, &[&node], more));
    let refused = forward(&plan_of(&[]), std::future::ready(())).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("round for ever"), "{told}");
    let other = plan_of(&["--destination-topic=u"]);
    forward(&other, std::future::ready(())).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_connection() {
    let cert = Cert::new();
    let auth = AuthServer::start(|_| everything(3600, r#""publish","subscribe""#));
    let flags = cert.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let asks = auth.flag();
    flags.push(&asks);
    let node = Node::start(&flags).await;
    let port = node.tcp.rsplit_once(':').unwrap().1;
    let address = format!("localhost:{port}");
    let authority = format!("tls_root_ca_file,{}", cert.path("cert").display());
    for (topic, more) in [
        ("plain", vec![]),
        ("snappy", vec!["snappy"]),
        ("deflate", vec!["deflate", "deflate_level,9"]),
        ("tls", vec!["tls_v1", &authority]),
        ("tls_anybody", vec!["tls_v1", "tls_insecure_skip_verify"]),
        ("tls_snappy", vec!["tls_v1", &authority, "snappy"]),
        ("tls_deflate", vec!["tls_v1", &authority, "deflate"]),
    ] {
        let mut config = Config::default();
        // A busy machine is no failure.
        let patient = ["dial_timeout,1m", "write_timeout,1m"];
        let all = ["auth_secret,open", "max_in_flight,10"];
        for option in more.iter().chain(&all).chain(&patient) {
            config.set_pair(option).unwrap();
        }
        let producer = Producer::new(&address, config.clone());
        for body in numbered(200) {
            producer.publish(topic, body.as_bytes()).await.unwrap();
        }
        let sources = Sources {
            nsqds: vec![address.clone()],
            lookupds: Vec::new(),
            admits: Arc::new(|_| true),
        };
        let mut consumer = Consumer::start(config, topic, "c", sources).unwrap();
        let mut come = BTreeSet::new();
        while come.len() < 200 {
            let message = consumer.next().await.unwrap();
            assert_eq!(message.attempts, 1);
            come.insert(String::from_utf8(message.body.clone()).unwrap());
            message.finish().await;
        }
        assert_eq!(
            come.into_iter().collect::<Vec<_>>(),
            numbered(200),
            "{topic}"
        );
        consumer.stopper().stop();
        assert!(consumer.next().await.is_none());
        until(&node, topic, "c", 200).await;
    }
    let unknown = Producer::new(&address, Config::default());
    let refused = unknown
        .publish("plain", b"x")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("auth_secret"), "{refused}");
}

#[tokio::test]
async fn a_message_that_fails_comes_again_and_is_given_up() {
    let node = Node::start(&[]).await;
    publish(&node, "t", &numbered(1)).await;
    let mut config = Config::default();
    for option in [
        "max_attempts,3",
        "default_requeue_delay,0",
        "backoff_multiplier,1ms",
    ] {
        config.set_pair(option).unwrap();
    }
    let sources = Sources {
        nsqds: vec![node.tcp.clone()],
        lookupds: Vec::new(),
        admits: Arc::new(|_| true),
    };
    let mut consumer = Consumer::start(config, "t", "c", sources).unwrap();
    for attempt in 1..=3 {
        let message = consumer.next().await.unwrap();
        assert_eq!(message.attempts, attempt);
        message.requeue(None).await;
    }
    until(&node, "t", "c", 1).await;
}
