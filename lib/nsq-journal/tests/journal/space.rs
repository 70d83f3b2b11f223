//! A full disk: publishing is refused, everything else goes on, and it ends by itself.

use nsq_journal::sim::SimDisk;
use nsq_journal::{IdRange, JournalError, List, Record};

use crate::world::{append, open, own, publish};

#[test]
fn finishes_fit_on_a_full_disk_and_publishing_resumes() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(6 * (16 << 10)));
    let (journal, _) = open(&disk).unwrap();
    let mut seen = Vec::new();
    let refused = loop {
        match publish(&journal, &[1; 1000]) {
            Ok((placed, record)) => {
                seen.push(record);
                journal.write(placed.end).unwrap();
                journal.keep_house().unwrap();
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::DiskFull(_)), "{refused}");
    assert!(journal.stats().disk_full && journal.health().is_ok());
    for id in 0..100 {
        let ranges = [IdRange {
            first_id: id,
            count: 1,
        }];
        seen.push(
            append(
                &journal,
                &Record::Finish {
                    topic: 1,
                    channel: 1,
                    ranges: List::Given(&ranges),
                },
            )
            .unwrap(),
        );
    }
    journal.sync().unwrap();
    for round in 0..2 {
        journal.checkpoint(&[round], journal.tail()).unwrap();
    }
    journal.keep_house().unwrap();
    assert!(!journal.stats().disk_full);
    publish(&journal, b"again").unwrap();
}

#[test]
fn a_checkpoint_on_a_full_disk_takes_the_place_of_the_oldest() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    publish(&journal, b"old").unwrap();
    for round in 0..2 {
        journal.checkpoint(&[round; 5000], journal.tail()).unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    journal.checkpoint(&[2; 5000], journal.tail()).unwrap();
    drop(journal);
    disk.set_capacity(None);
    disk.kill();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(recorder.checkpoint.as_deref(), Some(&[2; 5000][..]));
}

#[test]
fn when_even_the_reserve_is_used_up_nothing_staged_is_lost() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(4 * (16 << 10)));
    let (journal, _) = open(&disk).unwrap();
    let mut seen = Vec::new();
    while let Ok(record) = append(
        &journal,
        &Record::TopicCreate {
            topic: 1,
            name: &"t".repeat(500),
        },
    ) {
        seen.push(record);
        match journal.write(journal.tail()) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error, JournalError::DiskFull(_)), "{error}"),
        }
    }
    assert!(journal.written() < journal.tail() && journal.health().is_ok());
    assert!(matches!(
        publish(&journal, b"x"),
        Err(JournalError::DiskFull(_))
    ));
    disk.set_capacity(None);
    journal.keep_house().unwrap();
    assert_eq!(journal.written(), journal.tail());
    seen.push(append(&journal, &Record::TopicDelete { topic: 1 }).unwrap());
    journal.close().unwrap();
    disk.kill();
    let (_, recorder) = open(&disk).unwrap();
    assert_eq!(own(&recorder.records), seen);
}

#[test]
fn a_server_starts_on_a_disk_that_is_full() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let seen = publish(&journal, b"kept").unwrap().1;
    journal.close().unwrap();
    drop(journal);
    disk.kill();
    disk.set_capacity(Some(disk.used()));
    let (journal, recorder) = open(&disk).unwrap();
    assert_eq!(own(&recorder.records), [seen]);
    append(&journal, &Record::TopicDelete { topic: 1 }).unwrap();
    journal.sync().unwrap();
}
