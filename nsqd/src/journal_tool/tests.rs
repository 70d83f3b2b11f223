use std::fs;

use super::*;

/// A data path with two topics, 30 messages and a channel; what its files hold.
fn written(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let nsqd = crate::test_node::open(dir, Some(16 << 10));
    for name in ["orders", "events"] {
        let topic = nsqd.topic(name).unwrap();
        for _ in 0..15 {
            topic
                .publish(&nsqd, &[b'x'; 1000], &[(0, 1000)], 0)
                .unwrap();
        }
    }
    let topic = nsqd.topic("orders").unwrap();
    topic.create_channel(&nsqd, "billing").unwrap();
    nsqd.journal.close().unwrap();
    files(dir)
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        files.push((path.clone(), fs::read(path).unwrap()));
    }
    files.sort();
    files
}

#[test]
fn everything_is_told_and_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let before = written(dir.path());
    let report = examine(dir.path(), true).unwrap();
    assert!(!report.is_damaged() && !report.in_use);
    assert_eq!(report.records["publish"].count, 30);
    assert_eq!(
        report.listed.len() as u64,
        report.records.values().map(|kind| kind.count).sum::<u64>()
    );
    let depths: Vec<_> = report
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.depth))
        .collect();
    assert_eq!(depths, [("events", 15), ("orders", 0)]);
    assert_eq!(report.topics[1].channels[0].depth, 15);
    let text = table::whole(&report);
    for told in ["orders", "billing", "publish", "whole: everything"] {
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn damage_is_found_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let segment = fs::read_dir(dir.path().join("journal")).unwrap();
    let mut segments: Vec<_> = segment.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[4096 + 3000] ^= 1;
    fs::write(&segments[0], bytes).unwrap();
    let before = files(dir.path());
    let report = examine(dir.path(), false).unwrap();
    assert!(report.is_damaged());
    assert_eq!(report.holes.len(), 1);
    assert_eq!(report.records["publish"].count, 29);
    assert!(table::verdict(&report).contains("DAMAGED"));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_directory_without_a_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        examine(dir.path(), false)
            .unwrap_err()
            .to_string()
            .contains("journal")
    );
}

#[test]
fn a_running_server_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let _lock = lock_directory(dir.path()).unwrap();
    assert!(examine(dir.path(), false).unwrap().in_use);
}
