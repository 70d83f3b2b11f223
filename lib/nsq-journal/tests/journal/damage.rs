//! Torn tails, flipped bits, and segments that are missing, foreign, swapped or used before.

use std::sync::Arc;

use nsq_journal::sim::SimDisk;
use nsq_journal::{Disk, IdRange, Journal, JournalError, JournalOptions, List, Record};

use crate::world::{Recorder, Seen, append, open, options, own, publish};

/// A closed journal with a few records, some of them longer than a chunk, and what they were.
fn written(records: usize) -> (Arc<SimDisk>, Vec<Seen>) {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let mut seen = Vec::new();
    for n in 0..records {
        seen.push(publish(&journal, &vec![n as u8; 40 + n * 150]).unwrap().1);
        let ranges = [IdRange {
            first_id: n as u64,
            count: 3,
        }];
        let record = Record::Finish {
            topic: 1,
            channel: 1,
            ranges: List::Given(&ranges),
        };
        seen.push(append(&journal, &record).unwrap());
    }
    journal.close().unwrap();
    drop(journal);
    disk.kill();
    (disk, seen)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let names = disk.list("journal").unwrap();
    names
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .map(|name| format!("journal/{name}"))
        .collect()
}

/// Where a record lies in the first segment's file.
fn offset(record: &Seen) -> usize {
    4096 + record.0 as usize
}

#[test]
fn a_tail_torn_at_any_byte_loses_the_torn_record_only() {
    let (disk, seen) = written(4);
    let segment = &segments(&disk)[0];
    let last = seen.last().unwrap();
    for (from, filler) in (offset(last)..offset(last) + 40).flat_map(|at| [(at, 0u8), (at, 0xa5)]) {
        let torn = disk.duplicate();
        let mut is_torn = false;
        torn.corrupt(segment, |bytes| {
            is_torn = bytes[from..offset(last) + 40]
                .iter()
                .any(|byte| *byte != filler);
            bytes[from..].fill(filler);
        });
        if !is_torn {
            continue;
        }
        let (journal, recorder) = open(&torn).unwrap();
        assert_eq!(
            own(&recorder.records),
            seen[..seen.len() - 1],
            "torn at {from}"
        );
        assert_eq!(recorder.holes, []);
        let len = torn.open(segment).unwrap().len().unwrap();
        assert_eq!(len, offset(last) as u64, "the tail is cut off");
        let more = publish(&journal, b"after").unwrap().1;
        journal.close().unwrap();
        torn.kill();
        let (_, recorder) = open(&torn).unwrap();
        let mut expected = seen[..seen.len() - 1].to_vec();
        expected.push(more);
        assert_eq!(
            own(&recorder.records),
            expected,
            "a run after the tear at {from}"
        );
    }
}

#[test]
fn a_flipped_bit_costs_at_most_the_record_it_hits() {
    let (disk, seen) = written(6);
    let segment = segments(&disk)[0].clone();
    let end = offset(seen.last().unwrap()) + 40;
    for bit in (0..end * 8).step_by(11) {
        let flipped = disk.duplicate();
        flipped.corrupt(&segment, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let (journal, recorder) = open(&flipped).unwrap();
        let found = own(&recorder.records);
        let missing: Vec<&Seen> = seen
            .iter()
            .filter(|record| !found.contains(record))
            .collect();
        let mut in_order = seen.iter();
        assert!(
            found
                .iter()
                .all(|record| in_order.any(|seen| seen == record)),
            "bit {bit}: an altered record"
        );
        assert!(
            missing.len() <= 1,
            "bit {bit}: {} records are gone",
            missing.len()
        );
        if let Some(lost) = missing.first() {
            assert!(
                (offset(lost)..4096 + lost.1 as usize).contains(&(bit / 8)),
                "bit {bit}: another record is gone"
            );
            let is_last = **lost == *seen.last().unwrap();
            let expected = if is_last {
                vec![]
            } else {
                vec![(lost.0, lost.1)]
            };
            let holes: Vec<_> = recorder.holes.iter().map(|hole| (hole.0, hole.1)).collect();
            assert_eq!(holes, expected, "bit {bit}");
            if !is_last {
                let copy = format!("journal/quarantine/{:016x}-{:016x}", lost.0, lost.1);
                assert_eq!(flipped.open(&copy).unwrap().len().unwrap(), lost.1 - lost.0);
                assert_eq!(journal.stats().recovery.quarantined_ranges, 1);
            }
        }
    }
}

#[test]
fn of_a_segment_with_many_holes_the_whole_is_copied_once() {
    let disk = SimDisk::new();
    let large = JournalOptions {
        segment_bytes: 1 << 20,
        chunk_bytes: 64 << 10,
        ..options()
    };
    let reopen = || {
        let mut recorder = Recorder::default();
        let journal = Journal::open(Arc::clone(&disk) as _, large.clone(), &mut recorder);
        (journal.unwrap(), recorder)
    };
    let (journal, _) = reopen();
    let seen: Vec<Seen> = (0..400u32)
        .map(|n| publish(&journal, &n.to_le_bytes()).unwrap().1)
        .collect();
    journal.close().unwrap();
    drop(journal);
    disk.kill();
    let segment = segments(&disk)[0].clone();
    let mut whole = Vec::new();
    disk.corrupt(&segment, |bytes| {
        for record in seen.iter().step_by(2) {
            bytes[offset(record) + 20] ^= 1;
        }
        whole = bytes.to_vec();
    });
    let (journal, recorder) = reopen();
    let left: Vec<Seen> = seen.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(own(&recorder.records), left);
    assert_eq!(recorder.holes.len(), 200);
    let copies = disk.list("journal/quarantine").unwrap();
    assert_eq!(copies.len(), 33, "{copies:?}");
    let name = segment.trim_start_matches("journal/");
    let copy = copies.iter().find(|copy| copy.ends_with(name)).unwrap();
    let file = disk.open(&format!("journal/quarantine/{copy}")).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.pread(0, &mut bytes).unwrap();
    assert!(bytes.len() > offset(seen.last().unwrap()));
    assert_eq!(bytes, whole[..bytes.len()]);
    // The recorder holds the memory of every record, each of which is alone in its chunk.
    assert!(journal.pool().live_bytes() < 200 * 8192);
}

#[test]
fn a_missing_segment_is_a_reported_hole() {
    let (disk, seen) = written(30);
    let names = segments(&disk);
    assert!(names.len() >= 4, "{names:?}");
    disk.remove(&names[1]).unwrap();
    let (_, recorder) = open(&disk).unwrap();
    let [(from, to, _)] = &recorder.holes[..] else {
        panic!("{:?}", recorder.holes)
    };
    let expected: Vec<Seen> = seen
        .iter()
        .filter(|record| record.1 <= *from || record.0 >= *to)
        .cloned()
        .collect();
    assert!(expected.len() < seen.len());
    assert_eq!(own(&recorder.records), expected);
}

#[test]
fn swapped_segment_files_are_put_right_by_their_headers() {
    let (disk, seen) = written(30);
    let names = segments(&disk);
    disk.rename(&names[0], "journal/aside").unwrap();
    disk.rename(&names[1], &names[0]).unwrap();
    disk.rename("journal/aside", &names[1]).unwrap();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!((own(&recorder.records), recorder.holes.len()), (seen, 0));
}

#[test]
fn a_segment_without_header_is_read_by_what_lies_around_it_and_gets_one() {
    let (disk, seen) = written(30);
    let name = segments(&disk)[1].clone();
    disk.corrupt(&name, |bytes| bytes[..4096].fill(0));
    let (journal, recorder) = open(&disk).unwrap();
    assert_eq!(
        (own(&recorder.records), recorder.holes.len()),
        (seen.clone(), 0)
    );
    let middle = seen[seen.len() / 2].0;
    journal.checkpoint(b"", middle).unwrap();
    disk.kill();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(
        (own(&recorder.records), recorder.holes.len()),
        (seen[seen.len() / 2..].to_vec(), 0)
    );
}

#[test]
fn a_foreign_segment_is_set_aside_and_reported() {
    let (disk, seen) = written(3);
    let foreign = SimDisk::new();
    let strange = JournalOptions {
        incarnation: Some(7),
        ..options()
    };
    let other =
        Journal::open(Arc::clone(&foreign) as _, strange, &mut Recorder::default()).unwrap();
    publish(&other, b"not ours").unwrap();
    other.close().unwrap();
    let mut bytes = vec![0; 16 << 10];
    foreign
        .open(&segments(&foreign)[0])
        .unwrap()
        .pread(0, &mut bytes)
        .unwrap();
    let stray = "00000000000000ff.log";
    disk.create(&format!("journal/{stray}"))
        .unwrap()
        .pwrite(0, &bytes)
        .unwrap();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(own(&recorder.records), seen);
    assert_eq!(recorder.holes.len(), 1);
    assert!(
        recorder.holes[0].2.contains("another journal"),
        "{:?}",
        recorder.holes
    );
    assert!(
        disk.list("journal/quarantine")
            .unwrap()
            .contains(&stray.to_owned())
    );
}

#[test]
fn recycled_segments_never_bring_old_records_back() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let mut last = Vec::new();
    for round in 0..40u8 {
        for _ in 0..5 {
            last.push(publish(&journal, &[round; 1500]).unwrap().1);
        }
        let keep_from = journal.tail();
        journal.checkpoint(&[round], keep_from).unwrap();
        if round == 38 {
            last.clear();
        }
    }
    let stats = journal.stats();
    assert!(stats.segments + stats.spare_segments <= 7, "{stats:?}");
    let tail = publish(&journal, b"tail").unwrap().1;
    journal.close().unwrap();
    disk.kill();
    let (_, recorder) = open(&disk.duplicate()).unwrap();
    assert_eq!(
        (recorder.checkpoint.as_deref(), own(&recorder.records)),
        (Some(&[39][..]), vec![tail.clone()])
    );

    // With the newest checkpoint damaged the one before takes over, without a gap.
    let newest = disk
        .list("journal")
        .unwrap()
        .into_iter()
        .rfind(|name| name.starts_with("checkpoint-"))
        .unwrap();
    disk.corrupt(&format!("journal/{newest}"), |bytes| bytes[50] ^= 1);
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(recorder.checkpoint.as_deref(), Some(&[38][..]));
    assert_eq!(
        recorder.holes.len(),
        1,
        "only the checkpoint itself: {:?}",
        recorder.holes
    );
    last.push(tail);
    assert_eq!(own(&recorder.records), last);
}

#[test]
fn a_later_version_is_refused_with_its_name() {
    let (disk, _) = written(1);
    disk.corrupt(&segments(&disk)[0], |bytes| {
        for copy in [0, 2048] {
            bytes[copy + 8] = 2;
            let sum = crc32c::crc32c(&bytes[copy..copy + 48]);
            bytes[copy + 48..copy + 52].copy_from_slice(&sum.to_le_bytes());
        }
    });
    let error = open(&disk).err().unwrap();
    assert!(
        matches!(
            error,
            JournalError::Version {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_volume_that_was_wiped_is_a_new_incarnation() {
    let disk = SimDisk::new();
    let random = || JournalOptions {
        incarnation: None,
        ..options()
    };
    let start =
        || Journal::open(Arc::clone(&disk) as _, random(), &mut Recorder::default()).unwrap();
    let first = start();
    let again = (start().incarnation(), start().run());
    assert_eq!(again, (first.incarnation(), 3));
    for name in segments(&disk) {
        disk.remove(&name).unwrap();
    }
    let blank = start();
    assert_ne!(blank.incarnation(), first.incarnation());
    assert_eq!(blank.run(), 1);
}
