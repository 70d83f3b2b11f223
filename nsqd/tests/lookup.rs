//! The links to nsqlookupds: a real one, and fakes that misbehave.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::time::Duration;

use nsq_protocol::lookup::PeerInfo;
use nsqd::lookup::{LookupConfig, LookupLinks, Presence, StateSource, Testimony};
use nsqd::{Announcer, Change};
use nsqlookupd::Nsqlookupd;
use parking_lot::Mutex;
use support::lookupd::nsqlookupd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn identity() -> PeerInfo {
    PeerInfo {
        broadcast_address: "127.0.0.1".into(),
        hostname: "vm".into(),
        http_port: 9251,
        tcp_port: 9250,
        version: "1.3.0".into(),
        ..PeerInfo::default()
    }
}

fn config(addresses: &[&str]) -> LookupConfig {
    LookupConfig {
        identity: identity(),
        addresses: addresses
            .iter()
            .map(|&address| address.to_owned())
            .collect(),
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(5),
        // None comes by chance: tests that wait for a PING say so.
        ping_interval: Duration::from_secs(3600),
    }
}

/// What nsqd has, as a test may change it.
#[derive(Clone, Default)]
struct State(Arc<Mutex<Topics>>);

type Topics = Vec<(String, Vec<String>)>;

impl State {
    fn of(topics: &[(&str, &[&str])]) -> Self {
        let state = Self::default();
        state.set(topics);
        state
    }

    fn set(&self, topics: &[(&str, &[&str])]) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        *self.0.lock() = topics
            .iter()
            .map(|(topic, c)| ((*topic).to_owned(), owned(c)))
            .collect();
    }

    fn source(&self) -> StateSource {
        let state = self.0.clone();
        Arc::new(move || state.lock().clone())
    }
}

fn created(topic: &str, channel: &str) -> Change {
    match channel {
        "" => Change::TopicCreated(topic.to_owned()),
        channel => Change::ChannelCreated(topic.to_owned(), channel.to_owned()),
    }
}

fn deleted(topic: &str, channel: &str) -> Change {
    match channel {
        "" => Change::TopicDeleted(topic.to_owned()),
        channel => Change::ChannelDeleted(topic.to_owned(), channel.to_owned()),
    }
}

/// Asks until the topics and channels there with a producer are these: `t: c d`.
async fn registered(lookupd: &Nsqlookupd, expected: &[&str]) {
    let http = nsq_http_api::Client::default();
    let api = http.nsqlookupd(lookupd.http_address());
    loop {
        let mut found = vec![];
        for topic in api.topics().await.unwrap() {
            let Ok(answer) = api.lookup(&topic).await else {
                continue;
            };
            if !answer.producers.is_empty() {
                found.push(format!("{topic}: {}", answer.channels.join(" ")));
            }
        }
        if found == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn asks_about_an_nsqd_that_may_be_gone() {
    let lookupd = nsqlookupd().await;
    // Nobody listens on the port of a listener that was closed.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = nobody.local_addr().unwrap().to_string();
    let address = lookupd.tcp_address();
    let asking = LookupLinks::spawn(config(&[address, &nobody]), State::default().source());
    let mut of_pair = config(&[address]);
    of_pair.identity.pair_name = "a".to_owned();
    let named = LookupLinks::spawn(of_pair, State::default().source());
    let found = |testimony: &Testimony| matches!(testimony.answer, Ok(Presence::Silent(_)));
    loop {
        let said = asking.testimonies("a").await;
        assert_eq!(said[&nobody].connected_for, None);
        assert_eq!(said[&nobody].answer, Err("not connected".to_owned()));
        if found(&said[address]) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let other = asking.testimonies("127.0.0.1").await;
    assert_eq!(other[address].answer, Ok(Presence::Absent));
    assert!(other[address].connected_for.is_some());
    drop(named);
    while asking.testimonies("a").await[address].answer != Ok(Presence::Absent) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tells_everything_then_changes() {
    let lookupd = nsqlookupd().await;
    let state = State::of(&[("t", &["c", "e#ephemeral"]), ("u", &[])]);
    let links = LookupLinks::spawn(config(&[lookupd.tcp_address()]), state.source());
    registered(&lookupd, &["t: c e#ephemeral", "u: "]).await;

    let http = nsq_http_api::Client::default();
    let found = http
        .nsqlookupd(lookupd.http_address())
        .lookup("t")
        .await
        .unwrap();
    let producer = &found.producers[0];
    assert_eq!(
        (
            producer.broadcast_address.as_str(),
            producer.hostname.as_str()
        ),
        ("127.0.0.1", "vm")
    );
    assert_eq!((producer.tcp_port, producer.http_port), (9250, 9251));
    assert!(links.status()[0].connected);

    links.announce(created("v#ephemeral", "c"));
    links.announce(deleted("t", "e#ephemeral"));
    links.announce(deleted("u", ""));
    registered(&lookupd, &["t: c", "v#ephemeral: c"]).await;
}

#[tokio::test]
async fn links_follow_the_list() {
    let (one, two) = (nsqlookupd().await, nsqlookupd().await);
    let state = State::of(&[("t", &["c"])]);
    let links = LookupLinks::spawn(config(&[one.tcp_address()]), state.source());
    registered(&one, &["t: c"]).await;

    links.set_addresses(&[one.tcp_address().to_owned(), two.tcp_address().to_owned()]);
    registered(&two, &["t: c"]).await;
    let (three, removed) = (nsqlookupd().await, two);
    links.set_addresses(&[one.tcp_address().to_owned(), three.tcp_address().to_owned()]);
    registered(&three, &["t: c"]).await;
    registered(&removed, &[]).await;
    registered(&one, &["t: c"]).await;
    drop(links);
    registered(&one, &[]).await;
}

#[tokio::test]
async fn new_topic_learns_channels_of_all_that_answer() {
    let (one, two) = (nsqlookupd().await, nsqlookupd().await);
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let http = nsq_http_api::Client::default();
    for (lookupd, channel) in [(&one, "b"), (&one, "e#ephemeral"), (&two, "a"), (&two, "b")] {
        http.nsqlookupd(lookupd.http_address())
            .create_channel("t", channel)
            .await
            .unwrap();
    }
    let addresses = [one.tcp_address(), two.tcp_address(), &nobody];
    // With a topic to wait for: asking makes sense only once the links stand.
    let links = LookupLinks::spawn(config(&addresses), State::of(&[("x", &[])]).source());
    registered(&one, &["x: "]).await;
    registered(&two, &["x: "]).await;
    assert_eq!(links.channels_of("t").await, ["a", "b"]);
    assert_eq!(links.channels_of("nope").await, [""; 0]);
    let connected: Vec<_> = links
        .status()
        .into_iter()
        .filter(|link| link.connected)
        .collect();
    assert_eq!(connected.len(), 2);

    // One that has stopped is left out.
    two.stop().await;
    while links.channels_of("t").await != ["b"] {}
}

/// An nsqlookupd that answers as told.
struct Fake(TcpListener);

struct FakePeer(BufReader<TcpStream>);

impl Fake {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (Self(listener), address)
    }

    async fn accept(&self) -> FakePeer {
        FakePeer(BufReader::new(self.0.accept().await.unwrap().0))
    }

    /// Accepted, and introduced to each other.
    async fn greeted(&self) -> FakePeer {
        let mut peer = self.accept().await;
        peer.expect_greeting().await;
        peer.answer(br#"{"broadcast_address":"127.0.0.1","http_port":1,"tcp_port":2}"#)
            .await;
        peer
    }
}

impl FakePeer {
    /// The very bytes that NSQ's nsqd sends.
    async fn expect_greeting(&mut self) {
        let expected = b"  V1IDENTIFY\n\x00\x00\x00d{\"broadcast_address\":\"127.0.0.1\",\"hostname\":\"vm\",\"http_port\":9251,\"tcp_port\":9250,\"version\":\"1.3.0\"}";
        let mut greeting = vec![0; expected.len()];
        self.0.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, expected);
    }

    async fn answer(&mut self, body: &[u8]) {
        self.0
            .write_u32(u32::try_from(body.len()).unwrap())
            .await
            .unwrap();
        self.0.write_all(body).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.line().await, format!("{line}\n"));
            self.answer(b"OK").await;
        }
    }
}

#[tokio::test]
async fn everything_is_told_again_whenever_the_connection_breaks() {
    let (fake, address) = Fake::start().await;
    let state = State::of(&[("a1", &["c1"])]);
    let links = LookupLinks::spawn(config(&[&address]), state.source());
    // Hangs up at once, after the greeting, before an answer.
    drop(fake.accept().await);
    drop(fake.greeted().await);
    let mut peer = fake.greeted().await;
    assert_eq!(peer.line().await, "REGISTER a1\n");
    drop(peer);

    let mut peer = fake.greeted().await;
    peer.expect(&["REGISTER a1", "REGISTER a1 c1"]).await;
    state.set(&[("a1", &["c1"]), ("a2", &[])]);
    links.announce(created("a2", ""));
    peer.expect(&["REGISTER a2"]).await;
    state.set(&[("a2", &[])]);
    links.announce(deleted("a1", "c1"));
    links.announce(deleted("a1", ""));
    peer.expect(&["UNREGISTER a1 c1", "UNREGISTER a1"]).await;

    // Hangs up while nothing is said: noticed without waiting for the next PING.
    drop(peer);
    fake.greeted().await.expect(&["REGISTER a2"]).await;
}

#[tokio::test]
async fn refusal_breaks_the_connection() {
    let (fake, address) = Fake::start().await;
    let _links = LookupLinks::spawn(config(&[&address]), State::of(&[("t", &[])]).source());
    let mut peer = fake.accept().await;
    peer.expect_greeting().await;
    peer.answer(b"E_BAD_BODY IDENTIFY missing fields").await;
    let mut peer = fake.greeted().await;
    assert_eq!(peer.line().await, "REGISTER t\n");
    peer.answer(b"E_INVALID full").await;
    fake.greeted().await.expect(&["REGISTER t"]).await;
}

#[tokio::test]
async fn too_many_changes_at_once_are_told_as_a_whole() {
    let (fake, address) = Fake::start().await;
    let state = State::default();
    let ping_interval = Duration::from_millis(50);
    let config = LookupConfig {
        ping_interval,
        ..config(&[&address])
    };
    let links = LookupLinks::spawn(config, state.source());
    let mut peer = fake.greeted().await;
    while !links.status()[0].connected {
        tokio::task::yield_now().await;
    }
    // The link waits for the answer to this one, while more comes than it can keep.
    links.announce(created("first", ""));
    while peer.line().await == "PING\n" {
        peer.answer(b"OK").await;
    }
    state.set(&[("last", &[])]);
    for _ in 0..5000 {
        links.announce(created("more", ""));
    }
    peer.answer(b"OK").await;
    assert_eq!(
        peer.line().await,
        "",
        "the link goes on as if nothing were lost"
    );
    fake.greeted().await.expect(&["REGISTER last"]).await;
}

#[tokio::test]
async fn pings_an_idle_nsqlookupd() {
    let (fake, address) = Fake::start().await;
    let config = LookupConfig {
        ping_interval: Duration::from_millis(5),
        ..config(&[&address])
    };
    let _links = LookupLinks::spawn(config, State::default().source());
    fake.greeted().await.expect(&["PING"; 5]).await;
}
