use proptest::prelude::*;

use super::*;

const INACTIVE: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(45);
const START: Duration = Duration::from_secs(1000);

fn registry() -> Registry {
    Registry::new(INACTIVE, LIFETIME)
}

fn peer(port: i32) -> Peer {
    let info = PeerInfo {
        broadcast_address: "10.1.2.3".into(),
        hostname: "peer".into(),
        http_port: port + 1,
        tcp_port: port,
        version: "1.3.0".into(),
        ..PeerInfo::default()
    };
    Peer {
        info,
        remote_address: format!("127.0.0.1:{port}"),
        last_seen: START,
    }
}

fn with_peers<const N: usize>(ids: [PeerId; N]) -> Registry {
    let mut registry = registry();
    for id in ids {
        registry.identify(id, peer(9000 + 10 * i32::try_from(id).unwrap()));
    }
    registry
}

fn what(topic: &str, channel: &str) -> Registration {
    let channel = (!channel.is_empty()).then(|| channel.to_owned());
    Registration {
        topic: topic.to_owned(),
        channel,
    }
}

fn ports(registry: &Registry, topic: &str, now: Duration) -> Vec<i32> {
    registry
        .lookup(topic, now)
        .unwrap()
        .producers
        .iter()
        .map(|p| p.tcp_port)
        .collect()
}

#[test]
fn registered_is_found() {
    let mut registry = with_peers([1, 2]);
    registry.register(1, &what("t", "c")).unwrap();
    registry.register(2, &what("t", "")).unwrap();
    let found = registry.lookup("t", START).unwrap();
    assert_eq!(found.channels, ["c"]);
    assert_eq!(found.producers[0], peer(9010).producer());
    assert_eq!(ports(&registry, "t", START), [9010, 9020]);
    assert_eq!(registry.lookup("nope", START), None);
    assert_eq!(registry.channels("nope"), [""; 0]);
}

#[test]
fn names_outlive_their_nsqds_unless_ephemeral() {
    let mut registry = with_peers([1, 2]);
    for (topic, channel) in [
        ("t", "c"),
        ("t", "e#ephemeral"),
        ("et#ephemeral", "c"),
        ("et#ephemeral", "e#ephemeral"),
    ] {
        registry.register(1, &what(topic, channel)).unwrap();
    }
    registry.register(2, &what("t", "e#ephemeral")).unwrap();
    registry.disconnect(1);
    assert_eq!(registry.topics(), ["t"]);
    assert_eq!(
        registry.channels("t"),
        ["c", "e#ephemeral"],
        "2 still has it"
    );
    registry.unregister(2, &what("t", "e#ephemeral"));
    assert_eq!(registry.channels("t"), ["c"]);
    registry.unregister(2, &what("t", ""));
    assert_eq!(registry.lookup("t", START).unwrap().producers, []);
    registry.unregister(2, &what("nope", "nope"));
}

#[test]
fn unregistered_topic_leaves_its_channels() {
    let mut registry = with_peers([1]);
    registry.register(1, &what("t", "c")).unwrap();
    registry.unregister(1, &what("t", ""));
    assert!(registry.dump(START).all(|entry| entry.key == "client::"));
    assert_eq!(registry.channels("t"), ["c"]);
}

#[test]
fn silent_nsqds_are_hidden_until_they_speak() {
    let mut registry = with_peers([1]);
    registry.register(1, &what("t", "")).unwrap();
    assert_eq!(ports(&registry, "t", START + INACTIVE).len(), 1);
    let late = START + INACTIVE + Duration::from_nanos(1);
    assert_eq!(ports(&registry, "t", late), [0; 0]);
    assert_eq!(
        (registry.nodes(late), registry.counts(late).active),
        (vec![], 0)
    );
    assert_eq!(
        registry.seen(1, late),
        Some(INACTIVE + Duration::from_nanos(1))
    );
    assert_eq!(ports(&registry, "t", late).len(), 1);
    assert_eq!(registry.seen(7, late), None);
}

#[test]
fn tombstone_hides_one_nsqd_of_one_topic_for_a_while() {
    let mut registry = with_peers([1, 2]);
    for (id, topic) in [(1, "t"), (2, "t"), (1, "u")] {
        registry.register(id, &what(topic, "")).unwrap();
    }
    registry.tombstone("t", "10.1.2.3:9011", START);
    registry.tombstone("t", "10.1.2.3:9010", START);
    registry.tombstone("nope", "10.1.2.3:9021", START);
    assert_eq!(ports(&registry, "t", START), [9020]);
    assert_eq!(ports(&registry, "u", START), [9010]);
    let nodes = registry.nodes(START);
    assert_eq!(
        (&nodes[0].topics, &nodes[0].tombstones),
        (&vec!["t".into(), "u".into()], &vec![true, false])
    );
    assert_eq!(nodes[1].tombstones, [false]);

    // Registering again does not undo it; time and a new connection do.
    registry.register(1, &what("t", "")).unwrap();
    assert_eq!(
        ports(&registry, "t", START + LIFETIME - Duration::from_nanos(1)),
        [9020]
    );
    assert_eq!(ports(&registry, "t", START + LIFETIME), [9010, 9020]);
    assert_eq!(
        registry.nodes(START + LIFETIME)[0].tombstones,
        [false, false]
    );
}

#[test]
fn created_and_deleted_by_hand() {
    let mut registry = registry();
    registry.create_topic("t").unwrap();
    registry.create_channel("u", "c").unwrap();
    assert_eq!(registry.topics(), ["t", "u"]);
    assert_eq!(
        registry.lookup("u", START).unwrap(),
        Lookup {
            channels: vec!["c".into()],
            producers: vec![]
        }
    );
    assert!(!registry.delete_channel("u", "nope") && !registry.delete_channel("nope", "c"));
    assert!(registry.delete_channel("u", "c"));
    registry.delete_topic("u");
    registry.delete_topic("nope");
    assert_eq!(registry.topics(), ["t"]);
}

#[test]
fn takes_no_more_than_its_bound() {
    let mut registry = with_peers([1]);
    registry.max_entries = 10;
    let taken = (0..10).filter(|n| registry.register(1, &what("t", &format!("c{n}"))).is_ok());
    assert_eq!(taken.count(), 3);
    assert_eq!(registry.create_topic("u"), Err(Full));
    registry.unregister(1, &what("t", ""));
    assert_eq!(registry.create_topic("u"), Ok(()));
    registry.delete_topic("t");
    assert_eq!(registry.entries, 1);
}

#[test]
fn dump_names_everything_as_nsq_does() {
    let mut registry = with_peers([1]);
    registry.register(1, &what("t", "c")).unwrap();
    registry.tombstone("t", "10.1.2.3:9011", START);
    let dump: Vec<_> = registry
        .dump(START)
        .map(|e| (e.key, e.tombstoned_at))
        .collect();
    let expected = [
        ("client::", None),
        ("topic:t:", Some(START)),
        ("channel:t:c", None),
    ];
    assert_eq!(dump, expected.map(|(key, at)| (key.to_owned(), at)));
    assert_eq!(
        registry
            .dump(START + LIFETIME)
            .filter(|e| e.tombstoned_at.is_some())
            .count(),
        0
    );
}

#[derive(Debug, Clone)]
enum Step {
    Register(PeerId, usize, usize),
    Unregister(PeerId, usize, usize),
    Reconnect(PeerId),
    Create(usize, usize),
    Delete(usize, usize),
}

const TOPICS: [&str; 3] = ["t", "u", "e#ephemeral"];
const CHANNELS: [&str; 3] = ["", "c", "e#ephemeral"];

fn step() -> impl Strategy<Value = Step> {
    let (peer, topic, channel) = (0..3u64, 0..TOPICS.len(), 0..CHANNELS.len());
    prop_oneof![
        (peer.clone(), topic.clone(), channel.clone())
            .prop_map(|(p, t, c)| Step::Register(p, t, c)),
        (peer.clone(), topic.clone(), channel.clone())
            .prop_map(|(p, t, c)| Step::Unregister(p, t, c)),
        peer.prop_map(Step::Reconnect),
        (topic.clone(), channel.clone()).prop_map(|(t, c)| Step::Create(t, c)),
        (topic, channel).prop_map(|(t, c)| Step::Delete(t, c)),
    ]
}

fn take(registry: &mut Registry, step: &Step) {
    match *step {
        Step::Register(p, t, c) => registry.register(p, &what(TOPICS[t], CHANNELS[c])).unwrap(),
        Step::Unregister(p, t, c) => registry.unregister(p, &what(TOPICS[t], CHANNELS[c])),
        Step::Reconnect(p) => {
            registry.disconnect(p);
            registry.identify(p, peer(9000));
        }
        Step::Create(t, 0) => registry.create_topic(TOPICS[t]).unwrap(),
        Step::Create(t, c) => registry.create_channel(TOPICS[t], CHANNELS[c]).unwrap(),
        Step::Delete(t, 0) => registry.delete_topic(TOPICS[t]),
        Step::Delete(t, c) => drop(registry.delete_channel(TOPICS[t], CHANNELS[c])),
    }
}

proptest! {
    /// Whatever happens, the bound counts what is there, and nothing speaks of an nsqd that is gone.
    #[test]
    fn books_balance(steps in prop::collection::vec(step(), 0..60)) {
        let mut registry = with_peers([0, 1, 2]);
        for step in &steps {
            take(&mut registry, step);
            prop_assert_eq!(registry.entries, registry.topics.values().map(Topic::entries).sum::<usize>());
        }
        for id in 0..3 {
            registry.disconnect(id);
        }
        prop_assert_eq!(registry.dump(START).count(), 0);
        let left = registry.topics.values();
        prop_assert!(left.flat_map(|t| t.channels.values()).all(BTreeSet::is_empty));
    }
}

#[test]
fn a_pairs_name_finds_its_nsqds_with_how_long_they_are_silent() {
    let mut registry = with_peers([1]);
    for id in [2, 3] {
        let mut named = peer(9000 + i32::try_from(id).unwrap());
        named.info.pair_name = "a".into();
        registry.identify(id, named);
    }
    registry.register(2, &what("t", "")).unwrap();
    // Longer than nsqds are shown for.
    let now = START + 2 * INACTIVE;
    registry.seen(3, now - LIFETIME);
    let nodes = registry.nodes_of_pair("a", now);
    let told: Vec<_> = nodes
        .iter()
        .map(|node| (node.tcp_port, node.silent_ns, node.topics.len()))
        .collect();
    let nanos = |age: Duration| Some(u64::try_from(age.as_nanos()).unwrap());
    assert_eq!(
        told,
        [(9002, nanos(2 * INACTIVE), 1), (9003, nanos(LIFETIME), 0)]
    );
    assert_eq!(registry.nodes_of_pair("b", now), []);
    registry.disconnect(3);
    assert_eq!(registry.nodes_of_pair("a", now).len(), 1);
    assert!(registry.nodes(now).is_empty());
}
