use proptest::prelude::*;

use super::*;
use crate::record::{IdRange, Requeued, StoredBodies};

fn round_trip(record: Record<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    record.encode(&mut payload);
    assert_eq!(Record::decode(record.code(), &payload, 0), Some(record));
    payload
}

/// Checks code and size of the payload, which are fixed for ever.
fn check(code: u8, len: usize, record: Record<'_>) {
    assert_eq!(record.code(), code);
    let payload = round_trip(record);
    assert_eq!(payload.len(), len, "{record:?}");
    for cut in 0..payload.len() {
        // Only what ends in free text, a body or a list can be cut and still be read.
        assert_ne!(Record::decode(code, &payload[..cut], 0), Some(record));
    }
}

const AREA: [u8; 9] = [0, 0, 0, 1, b'x', 0, 0, 0, 0];

#[test]
fn records_of_messages_keep_code_and_layout() {
    let (topic, channel) = (1, 2);
    let ranges = [IdRange {
        first_id: 5,
        count: 2,
    }];
    let ranges = List::Given(&ranges[..]);
    let items = [Requeued {
        id: 9,
        attempts: 3,
        due: -1,
    }];
    let items = List::Given(&items[..]);
    let bodies = StoredBodies {
        count: 2,
        area: &AREA,
        bodies_at: 0,
    };
    let (id, first_id, through_id) = (2, 2, 3);
    let (timestamp, due, attempts) = (3, 4, 5);
    let (finished, body) = (List::Given(&[6, 7][..]), &b"body"[..]);
    check(
        2,
        41,
        Record::Publish {
            topic,
            first_id,
            timestamp,
            due,
            bodies,
        },
    );
    check(
        3,
        24,
        Record::Finish {
            topic,
            channel,
            ranges,
        },
    );
    check(
        4,
        26,
        Record::Requeue {
            topic,
            channel,
            items,
        },
    );
    check(
        5,
        16,
        Record::Delivered {
            topic,
            channel,
            through_id,
        },
    );
    check(
        14,
        47,
        Record::Import {
            topic,
            id,
            timestamp,
            attempts,
            due,
            held: true,
            finished,
            body,
            body_at: 43,
        },
    );
}

#[test]
fn records_of_topics_and_channels_keep_code_and_layout() {
    let (topic, channel, paused) = (1, 2, true);
    let (name, from_id, through_id) = ("name", 3, 4);
    check(6, 8, Record::TopicCreate { topic, name });
    check(7, 4, Record::TopicDelete { topic });
    check(8, 12, Record::TopicEmpty { topic, through_id });
    check(9, 5, Record::TopicPause { topic, paused });
    check(
        10,
        20,
        Record::ChannelCreate {
            topic,
            channel,
            name,
            from_id,
        },
    );
    check(11, 8, Record::ChannelDelete { topic, channel });
    check(
        12,
        16,
        Record::ChannelEmpty {
            topic,
            channel,
            through_id,
        },
    );
    check(
        13,
        9,
        Record::ChannelPause {
            topic,
            channel,
            paused,
        },
    );
}

#[test]
fn records_of_positions_keep_code_and_layout() {
    let (incarnation, run, lsn) = (1, 2, 3);
    let from = Position { run: 1, lsn: 2 };
    let through = Position { run: 3, lsn: 4 };
    let position = Position { run: 5, lsn: 6 };
    check(
        1,
        18,
        Record::Boot {
            incarnation,
            run,
            node: "n0",
        },
    );
    check(15, 16, Record::Release { through });
    check(
        16,
        40,
        Record::Adopt {
            incarnation,
            from,
            through,
        },
    );
    check(
        17,
        40,
        Record::Adopted {
            incarnation,
            through,
            position,
        },
    );
    check(18, 8, Record::CheckpointMark { lsn });
    let (node, whole, slice) = ("b", true, &b"slice"[..]);
    check(
        19,
        29,
        Record::Mirror {
            run,
            from: lsn,
            to: 9,
            slice,
            at: MIRROR_FIXED as u32,
        },
    );
    check(
        20,
        26,
        Record::MirrorFrom {
            incarnation,
            position,
            whole,
            node,
        },
    );
    check(21, 16, Record::MirrorCut { position });
    check(22, 8, Record::Listed { from: lsn });
    let json = r#"{"max_depth":1}"#;
    check(
        23,
        8 + json.len(),
        Record::Settings {
            topic: 1,
            channel: 2,
            json,
        },
    );
    check(24, 8, Record::Drain { since: 7 });
    let ranges = [IdRange {
        first_id: 5,
        count: 2,
    }];
    let ranges = List::Given(&ranges[..]);
    check(25, 20, Record::Moved { topic: 1, ranges });
    assert_eq!(CODE_MAX, 25);
}

#[test]
fn bodies_are_found_where_they_lie_in_the_chunk() {
    let area = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 1, b'c'];
    let record = Record::Publish {
        topic: 1,
        first_id: 1,
        timestamp: 0,
        due: 0,
        bodies: StoredBodies {
            count: 2,
            area: &area,
            bodies_at: 0,
        },
    };
    let mut payload = Vec::new();
    record.encode(&mut payload);
    let Some(Record::Publish { bodies, .. }) = Record::decode(2, &payload, 100) else {
        panic!("not a publish record")
    };
    let found: Vec<_> = bodies.iter().collect();
    assert_eq!(found, [(104, &b"ab"[..]), (110, &b"c"[..])]);
    let mut miscounted = payload.clone();
    let count_at = area.len() + 4;
    assert_eq!(miscounted[count_at], 2);
    miscounted[count_at] = 3;
    assert_eq!(Record::decode(2, &miscounted, 100), None);
    miscounted[count_at] = 1;
    assert_eq!(Record::decode(2, &miscounted, 100), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(code in 0u8..30, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(record) = Record::decode(code, &payload, 0) {
            let mut again = Vec::new();
            record.encode(&mut again);
            prop_assert_eq!(again, payload);
        }
    }

    #[test]
    fn finishes_and_requeues_survive(
        ranges in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20),
        items in proptest::collection::vec((any::<u64>(), any::<u16>(), any::<i64>()), 0..20),
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(first_id, count)| IdRange { first_id, count }).collect();
        let items: Vec<_> = items.into_iter().map(|(id, attempts, due)| Requeued { id, attempts, due }).collect();
        round_trip(Record::Finish { topic: 3, channel: 4, ranges: List::Given(&ranges) });
        round_trip(Record::Requeue { topic: 3, channel: 4, items: List::Given(&items) });
    }
}
