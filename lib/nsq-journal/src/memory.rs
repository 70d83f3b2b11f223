//! Chunks without a journal, for topics at level `memory`.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::chunk::{CHUNK_BYTES_MAX, ChunkPool, ChunkWriter};
use crate::{JournalError, Measured, Placed};

/// Keeps bodies in the same chunks as the journal, without any file. Numbers come from the shared pool, so
/// they never clash with those of journal chunks; positions are 0, which is always written and durable.
pub struct MemoryLog {
    pool: Arc<ChunkPool>,
    writer: Mutex<Option<ChunkWriter>>,
}

impl MemoryLog {
    /// Takes its chunks from `pool`, usually [`crate::Journal::pool`].
    pub fn new(pool: Arc<ChunkPool>) -> MemoryLog {
        MemoryLog {
            pool,
            writer: Mutex::new(None),
        }
    }

    /// Copies the bodies, laid out as in a publish record.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`] above a gibibyte.
    pub fn publish(&self, measured: &Measured<'_>) -> Result<Placed, JournalError> {
        let bytes = measured.bytes;
        let max = CHUNK_BYTES_MAX as u64;
        if bytes > max {
            return Err(JournalError::TooLarge { bytes, max });
        }
        let size = bytes as usize;
        let mut current = self.writer.lock();
        let writer = match current.take() {
            Some(writer) if writer.room() >= size => writer,
            _ => self.pool.chunk(0, size),
        };
        let writer = current.insert(writer);
        let bodies_at = writer.filled();
        measured.bodies.copy_to(&mut writer.unfilled()[..size]);
        writer.advance(size);
        Ok(Placed {
            lsn: 0,
            end: 0,
            chunk: Arc::clone(writer.chunk()),
            bodies_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bodies;
    use crate::record::StoredBodies;

    #[test]
    fn bodies_are_kept_as_in_a_record() {
        let pool = ChunkPool::new(128);
        let log = MemoryLog::new(Arc::clone(&pool));
        let buffer = b"hello, world";
        let placed: Vec<_> = (0..20)
            .map(|_| {
                let bodies = Bodies {
                    buffer,
                    ranges: &[(0, 5), (7, 5), (3, 0)],
                };
                log.publish(&bodies.measure().unwrap()).unwrap()
            })
            .collect();
        for placed in &placed {
            let area = placed.chunk.bytes(placed.bodies_at, 22);
            let stored = StoredBodies {
                count: 3,
                area,
                bodies_at: placed.bodies_at,
            };
            let found: Vec<_> = stored
                .iter()
                .map(|(at, body)| (placed.chunk.bytes(at, body.len() as u32), body))
                .collect();
            assert_eq!(
                found,
                [
                    (&b"hello"[..], &b"hello"[..]),
                    (b"world", b"world"),
                    (b"", b"")
                ]
            );
        }
        assert_eq!(pool.live_bytes(), 4 * 128);
        drop(placed);
        assert_eq!(
            pool.live_bytes(),
            128,
            "only the chunk being filled is left"
        );
    }
}
