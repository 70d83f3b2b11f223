use proptest::prelude::*;

use super::*;
use crate::record::{IdRange, Requeued};

fn round_trip(record: Record<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    record.encode(&mut payload);
    assert_eq!(Record::decode(record.code(), &payload, 0), Some(record));
    payload
}

/// One of each kind, with the payload it must have for ever.
#[test]
fn every_record_keeps_its_code_and_layout() {
    let at = |run, lsn| Position { run, lsn };
    let ranges = [IdRange {
        first_id: 5,
        count: 2,
    }];
    let items = [Requeued {
        id: 9,
        attempts: 3,
        due: -1,
    }];
    let area = [1, 0, 0, 0, b'x', 0, 0, 0, 0];
    let bodies = StoredBodies {
        count: 2,
        area: &area,
        bodies_at: PUBLISH_FIXED as u32,
    };
    let cases: Vec<(u8, usize, Record<'_>)> = vec![
        (
            1,
            18,
            Record::Boot {
                incarnation: 1,
                run: 2,
                node: "n0",
            },
        ),
        (
            2,
            41,
            Record::Publish {
                topic: 1,
                first_id: 2,
                timestamp: 3,
                due: 4,
                bodies,
            },
        ),
        (
            3,
            24,
            Record::Finish {
                topic: 1,
                channel: 2,
                ranges: List::Given(&ranges),
            },
        ),
        (
            4,
            26,
            Record::Requeue {
                topic: 1,
                channel: 2,
                items: List::Given(&items),
            },
        ),
        (
            5,
            16,
            Record::Delivered {
                topic: 1,
                channel: 2,
                through_id: 3,
            },
        ),
        (
            6,
            5,
            Record::TopicCreate {
                topic: 1,
                name: "t",
            },
        ),
        (7, 4, Record::TopicDelete { topic: 1 }),
        (
            8,
            12,
            Record::TopicEmpty {
                topic: 1,
                through_id: 2,
            },
        ),
        (
            9,
            5,
            Record::TopicPause {
                topic: 1,
                paused: true,
            },
        ),
        (
            10,
            18,
            Record::ChannelCreate {
                topic: 1,
                channel: 2,
                name: "ch",
                from_id: 3,
            },
        ),
        (
            11,
            8,
            Record::ChannelDelete {
                topic: 1,
                channel: 2,
            },
        ),
        (
            12,
            16,
            Record::ChannelEmpty {
                topic: 1,
                channel: 2,
                through_id: 3,
            },
        ),
        (
            13,
            9,
            Record::ChannelPause {
                topic: 1,
                channel: 2,
                paused: false,
            },
        ),
        (
            14,
            46,
            Record::Import {
                topic: 1,
                id: 2,
                timestamp: 3,
                attempts: 4,
                due: 5,
                finished: List::Given(&[6, 7]),
                body: b"body",
            },
        ),
        (15, 16, Record::Release { through: at(1, 2) }),
        (
            16,
            40,
            Record::Adopt {
                incarnation: 1,
                from: at(2, 3),
                through: at(4, 5),
            },
        ),
        (
            17,
            40,
            Record::Adopted {
                incarnation: 1,
                through: at(2, 3),
                position: at(4, 5),
            },
        ),
        (18, 8, Record::CheckpointMark { lsn: 1 }),
    ];
    assert_eq!(cases.len(), usize::from(CODE_MAX));
    for (code, len, record) in cases {
        assert_eq!(record.code(), code);
        let payload = round_trip(record);
        assert_eq!(payload.len(), len, "{record:?}");
        for cut in 0..payload.len() {
            if let Some(shorter) = Record::decode(code, &payload[..cut], 0) {
                // Only what ends in free text, a body or a list can be cut and still be read.
                assert_ne!(shorter, record);
            }
        }
    }
}

#[test]
fn bodies_are_found_where_they_lie_in_the_chunk() {
    let area = [2, 0, 0, 0, b'a', b'b', 1, 0, 0, 0, b'c'];
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
    assert_eq!(found, [(136, &b"ab"[..]), (142, &b"c"[..])]);
    let mut miscounted = payload.clone();
    miscounted[4] = 3;
    assert_eq!(Record::decode(2, &miscounted, 100), None);
    miscounted[4] = 1;
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
