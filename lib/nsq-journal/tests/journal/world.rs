//! A recorder for replays and a journal small enough to break at every place.

use std::sync::Arc;

use nsq_journal::sim::SimDisk;
use nsq_journal::{
    Bodies, Chunk, Journal, JournalError, JournalOptions, Lsn, Placed, PublishHead, Record, Replay,
};

/// A record as replayed: position, position after it, code, payload.
pub type Seen = (Lsn, Lsn, u8, Vec<u8>);

/// Notes everything a replay brings.
#[derive(Default)]
pub struct Recorder {
    pub checkpoint: Option<Vec<u8>>,
    pub records: Vec<Seen>,
    pub holes: Vec<(Lsn, Lsn, String)>,
    pub chunks: Vec<Arc<Chunk>>,
}

impl Replay for Recorder {
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), String> {
        assert!(
            self.records.is_empty() && self.checkpoint.is_none(),
            "the checkpoint comes first and once"
        );
        self.checkpoint = Some(bytes.to_vec());
        Ok(())
    }

    fn record(
        &mut self,
        lsn: Lsn,
        end: Lsn,
        record: Record<'_>,
        chunk: &Arc<Chunk>,
    ) -> Result<(), String> {
        if let Record::Publish { bodies, .. } = record {
            for (at, body) in bodies.iter() {
                assert_eq!(
                    chunk.bytes(at, body.len() as u32),
                    body,
                    "bodies are where the record says"
                );
            }
        }
        assert!(
            chunk.base() <= lsn && end <= chunk.base() + u64::from(chunk.len()),
            "the record lies in its chunk"
        );
        self.records
            .push((lsn, end, record.code(), payload(&record)));
        if self
            .chunks
            .last()
            .is_none_or(|last| !Arc::ptr_eq(last, chunk))
        {
            self.chunks.push(Arc::clone(chunk));
        }
        Ok(())
    }

    fn quarantined(&mut self, from: Lsn, to: Lsn, why: &str) {
        self.holes.push((from, to, why.to_owned()));
    }
}

pub fn payload(record: &Record<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    record.encode(&mut payload);
    payload
}

/// Small segments and chunks, no threads, always the same incarnation.
pub fn options() -> JournalOptions {
    JournalOptions {
        node: "n".to_owned(),
        segment_bytes: 16 << 10,
        chunk_bytes: 1 << 10,
        free_floor: 0,
        recycle_bytes: 8 * (16 << 10),
        zero_segments: false,
        incarnation: Some(0x1234_5678_9abc_def0),
        threads: false,
    }
}

pub fn open(disk: &Arc<SimDisk>) -> Result<(Arc<Journal>, Recorder), JournalError> {
    let mut recorder = Recorder::default();
    let journal = Journal::open(Arc::clone(disk) as _, options(), &mut recorder)?;
    Ok((journal, recorder))
}

pub const HEAD: PublishHead = PublishHead {
    topic: 1,
    first_id: 10,
    timestamp: 1_000,
    due: 0,
};

/// Publishes one body and returns where it went and what a replay must bring.
pub fn publish(journal: &Journal, body: &[u8]) -> Result<(Placed, Seen), JournalError> {
    let bodies = Bodies {
        buffer: body,
        ranges: &[(0, body.len() as u32)],
    };
    let placed = journal.publish(&HEAD, &bodies.sum()?)?;
    assert_eq!(
        placed.chunk.bytes(placed.bodies_at + 4, body.len() as u32),
        body
    );
    let area = placed
        .chunk
        .bytes(placed.bodies_at, 36 + body.len() as u32)
        .to_vec();
    let seen = (placed.lsn, placed.end, 2, area);
    Ok((placed, seen))
}

/// Appends a record and returns what a replay must bring.
pub fn append(journal: &Journal, record: &Record<'_>) -> Result<Seen, JournalError> {
    let lsn = journal.tail();
    let end = journal.append(record)?;
    Ok((lsn, end, record.code(), payload(record)))
}

/// The records without the boot records.
pub fn own(records: &[Seen]) -> Vec<Seen> {
    records
        .iter()
        .filter(|(_, _, code, _)| *code != 1)
        .cloned()
        .collect()
}
