use super::*;
use crate::sim::{Faults, SimDisk};

fn spill(disk: &Arc<SimDisk>) -> Spill {
    Spill::open(
        Arc::clone(disk) as _,
        ChunkPool::new(1 << 10),
        SpillOptions { file_bytes: 1000 },
    )
    .unwrap()
}

fn write(
    spill: &Spill,
    topic: u32,
    first_id: u64,
    bodies: &[&[u8]],
) -> Result<SpillRef, JournalError> {
    let entries: Vec<_> = bodies
        .iter()
        .map(|body| SpillEntry {
            timestamp: 5,
            base: 7,
            len: body.len() as u32,
        })
        .collect();
    let block = SpillBlock {
        first_id,
        first_pos: first_id + 1,
        entries: &entries,
    };
    spill.write_block(topic, &block, bodies.iter().copied())
}

fn bodies(loaded: &LoadedBlock) -> Vec<&[u8]> {
    let at = loaded.offsets.iter().zip(&loaded.entries);
    at.map(|(&offset, entry)| loaded.chunk.bytes(offset, entry.len))
        .collect()
}

fn files(disk: &SimDisk, topic: u32) -> usize {
    disk.list(&directory(topic)).unwrap().len()
}

#[test]
fn blocks_are_read_back_as_they_were_written() {
    let disk = SimDisk::new();
    let spill = spill(&disk);
    let large = vec![3; 4000];
    let refs: Vec<_> = (0..10u64)
        .map(|n| {
            write(
                &spill,
                (n % 2) as u32,
                n * 10,
                &[b"one", b"", &large[..n as usize * 400]],
            )
            .unwrap()
        })
        .collect();
    for (n, place) in (0..10u64).zip(&refs) {
        let loaded = spill.read_block(place).unwrap();
        assert_eq!((loaded.first_id, loaded.first_pos), (n * 10, n * 10 + 1));
        assert_eq!(
            (loaded.entries[0].timestamp, loaded.entries[2].base),
            (5, 7)
        );
        assert_eq!(
            bodies(&loaded),
            [&b"one"[..], b"", &large[..n as usize * 400]]
        );
    }
    assert!(files(&disk, 0) > 1);
    let two = SpillEntry {
        timestamp: 0,
        base: 0,
        len: 2,
    };
    for given in [&[b"x" as &[u8]][..], &[], &[b"xy", b"z"]] {
        let block = SpillBlock {
            first_id: 1,
            first_pos: 1,
            entries: &[two],
        };
        let refused = spill.write_block(1, &block, given.iter().copied());
        assert!(matches!(refused, Err(JournalError::Invalid(_))));
    }
}

#[test]
fn a_flipped_bit_or_a_wrong_place_is_noticed() {
    let disk = SimDisk::new();
    let spill = spill(&disk);
    let first = write(&spill, 1, 1, &[b"one", b"two"]).unwrap();
    let second = write(&spill, 1, 3, &[b"one", b"two"]).unwrap();
    for bit in 0..second.len as usize * 8 {
        let flip = |bytes: &mut Vec<u8>| bytes[second.offset as usize + bit / 8] ^= 1 << (bit % 8);
        disk.corrupt(&file_name(1, 1), flip);
        assert!(
            matches!(spill.read_block(&second), Err(JournalError::Damaged { .. })),
            "bit {bit}"
        );
        disk.corrupt(&file_name(1, 1), flip);
    }
    assert_eq!(spill.read_block(&second).unwrap().first_id, 3);
    let wrong = [
        SpillRef {
            offset: first.offset + 1,
            ..first
        },
        SpillRef {
            len: first.len - 1,
            ..first
        },
        SpillRef {
            len: first.len + 1,
            ..first
        },
        SpillRef {
            len: u32::MAX,
            ..first
        },
        SpillRef {
            offset: 1 << 40,
            ..first
        },
    ];
    for place in wrong {
        assert!(
            matches!(spill.read_block(&place), Err(JournalError::Damaged { .. })),
            "{place:?}"
        );
    }
    assert!(matches!(
        spill.read_block(&SpillRef { file: 9, ..first }),
        Err(JournalError::Io { .. })
    ));
}

#[test]
fn a_file_goes_with_the_second_sweep_after_its_last_block() {
    let disk = SimDisk::new();
    let spill = spill(&disk);
    let refs: Vec<_> = (0..4)
        .map(|n| write(&spill, 1, n, &[&[0; 600]]).unwrap())
        .collect();
    assert_eq!(
        refs.iter().map(|place| place.file).collect::<Vec<_>>(),
        [1, 1, 2, 2]
    );
    spill.release(&refs[0]);
    spill.release(&refs[2]);
    spill.release(&refs[3]);
    spill.sweep().unwrap();
    assert_eq!(files(&disk, 1), 2);
    spill.sweep().unwrap();
    assert_eq!(files(&disk, 1), 1);
    assert_eq!(spill.read_block(&refs[1]).unwrap().first_id, 1);
    let next = write(&spill, 1, 9, &[b"x"]).unwrap();
    assert_eq!(next.file, 3, "numbers are not used twice");
    spill.delete_topic(1);
    spill.sweep().unwrap();
    spill.sweep().unwrap();
    assert_eq!((files(&disk, 1), spill.disk_bytes()), (0, 0));
    assert_eq!(disk.list("spill").unwrap(), [""; 0]);
    write(&spill, 1, 1, &[b"a topic may come back"]).unwrap();
}

#[test]
fn synced_blocks_survive_a_power_cut_and_adoption_sorts_them() {
    for seed in 0..30 {
        let disk = SimDisk::new();
        let (kept, other) = {
            let spill = spill(&disk);
            let kept = write(&spill, 1, 1, &[b"kept"]).unwrap();
            spill.sync(1).unwrap();
            (kept, write(&spill, 2, 2, &[b"never synced"]).unwrap())
        };
        disk.power_cut(seed);
        let spill = spill(&disk);
        let gone = SpillRef { topic: 3, ..other };
        assert_eq!(spill.adopt(&[kept, gone]), [gone]);
        assert_eq!(bodies(&spill.read_block(&kept).unwrap()), [b"kept"]);
        let fresh = write(&spill, 1, 5, &[b"new"]).unwrap();
        assert!(
            fresh.file > kept.file,
            "files from before are not written to"
        );
        spill.sweep().unwrap();
        spill.sweep().unwrap();
        assert_eq!((files(&disk, 1), files(&disk, 2)), (2, 0));
    }
}

#[test]
fn a_full_disk_refuses_and_a_failed_sync_poisons() {
    let disk = SimDisk::new();
    let spill = spill(&disk);
    let first = write(&spill, 1, 1, &[b"first"]).unwrap();
    disk.set_capacity(Some(u64::from(first.len) + 10));
    assert!(matches!(
        write(&spill, 1, 2, &[b"second"]),
        Err(JournalError::DiskFull(_))
    ));
    disk.set_capacity(None);
    let second = write(&spill, 1, 2, &[b"second"]).unwrap();
    assert_eq!(second.offset, u64::from(first.len));
    disk.set_faults(Faults {
        sync_fails_after: Some(1),
        ..Faults::default()
    });
    for _ in 0..2 {
        assert!(matches!(spill.sync(1), Err(JournalError::Poisoned(_))));
    }
    assert!(matches!(
        write(&spill, 1, 3, &[b"third"]),
        Err(JournalError::Poisoned(_))
    ));
}
