//! Append-only buffers that are written once and read by many.
//!
//! A chunk is at once the journal's write buffer and the place where message bodies live until
//! their last channel is done with them. One [`ChunkWriter`] fills it from the front; everybody
//! else holds an [`Arc<Chunk>`] and reads what lies below the published length. When the last
//! holder lets go the memory returns to the [`ChunkPool`].
//!
//! This is the only module of the crate with `unsafe` code. The argument for it:
//!
//! * A chunk's memory is one boxed slice of initialised bytes. It is leaked when the chunk is made and
//!   boxed again when the chunk is dropped; nothing in between moves, grows or frees it.
//! * `published` only ever grows, and only through the chunk's one `ChunkWriter`, which cannot be cloned
//!   and whose methods take `&mut self`.
//! * Readers get shared slices of `[0, published)` only, the writer exclusive ones of
//!   `[published, capacity)` only: never the same byte at the same time.
//! * `published` is stored with `Release` after the bytes were written and loaded with `Acquire` before a
//!   reader's slice is made, so that whoever sees the length sees the bytes.
#![allow(unsafe_code)] // For the reasons given above; `cargo test -p nsq-journal chunk` stresses them.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Lsn;

/// Empty buffers kept for reuse: 8 of 256 KiB ride out the swing between publishers and consumers,
/// and cost at most 2 MiB when idle.
const SPARES_MAX: usize = 8;

/// Bytes at the end of a new buffer which the kernel provides when they are written, a few pages under a lock: a record
/// that does not fit leaves them empty. Batches of 40 kB would else pay 6 % of a backlog's memory for nothing.
const LATE: usize = 32 << 10;

/// Largest chunk, and so the largest record: offsets in a chunk are `u32`, and one record of a
/// gibibyte is far above any message size that NSQ allows.
pub const CHUNK_BYTES_MAX: usize = 1 << 30;

/// An append-only buffer; see the module's documentation.
pub struct Chunk {
    number: u64,
    base: Lsn,
    data: NonNull<u8>,
    capacity: usize,
    published: AtomicU32,
    pool: Arc<ChunkPool>,
}

// SAFETY: the raw pointer is the only field that is not Send and Sync by itself. It owns its memory, and
// all access goes through `bytes` (shared, below `published`) and `ChunkWriter` (exclusive, above it).
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Unique in the process and rising in the order of creation.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Log position of the first byte; 0 for chunks that are no part of a journal.
    pub fn base(&self) -> Lsn {
        self.base
    }

    /// Bytes readable so far.
    pub fn len(&self) -> u32 {
        self.published.load(Ordering::Acquire)
    }

    /// True while nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this chunk keeps alive.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The bytes `[offset, offset + len)`.
    ///
    /// # Panics
    /// When the range is not wholly published. Ranges come from [`crate::Placed`] and from decoded records,
    /// both of which name published bytes only.
    pub fn bytes(&self, offset: u32, len: u32) -> &[u8] {
        let end = u64::from(offset) + u64::from(len);
        let published = self.published.load(Ordering::Acquire);
        assert!(
            end <= u64::from(published),
            "{offset}+{len} is beyond the {published} bytes of this chunk"
        );
        // SAFETY: the range lies below `published`, whose bytes were written before it was raised
        // (Acquire above, Release in `advance`) and are never written again.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().add(offset as usize), len as usize) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let slice = std::ptr::slice_from_raw_parts_mut(self.data.as_ptr(), self.capacity);
        // SAFETY: pointer and length are those of the box leaked in `ChunkPool::chunk`; this is the only place
        // that takes it back, and the last `Arc` is gone, so that no slice of it is alive.
        let buffer = unsafe { Box::from_raw(slice) };
        self.pool.take_back(buffer);
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Chunk {{ number: {}, base: {}, len: {} }}",
            self.number,
            self.base,
            self.len()
        )
    }
}

/// The one hand that writes a chunk. Dropping it seals the chunk.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk: Arc<Chunk>,
}

impl ChunkWriter {
    /// The chunk being filled.
    pub fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    /// Bytes written so far: the offset of the next one.
    pub fn filled(&self) -> u32 {
        self.chunk.published.load(Ordering::Relaxed)
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.chunk.capacity - self.filled() as usize
    }

    /// The part not yet published, to be written to and then given out by [`ChunkWriter::advance`].
    pub fn unfilled(&mut self) -> &mut [u8] {
        let filled = self.filled() as usize;
        // SAFETY: `[filled, capacity)` is initialised memory that no reader can reach before `advance`, and
        // `&mut self` of the only writer makes this the only exclusive slice.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.data.as_ptr().add(filled), self.room()) }
    }

    /// Publishes the next `len` bytes of [`ChunkWriter::unfilled`].
    ///
    /// # Panics
    /// When fewer bytes are left.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.room(), "advanced beyond the end of the chunk");
        // Capacity is at most CHUNK_BYTES_MAX, so the sum fits.
        self.chunk
            .published
            .store(self.filled() + len as u32, Ordering::Release);
    }
}

/// Makes chunks, numbers them, counts their memory and keeps a few empty buffers.
pub struct ChunkPool {
    standard: usize,
    next_number: AtomicU64,
    live_bytes: AtomicUsize,
    spares: Mutex<Vec<Box<[u8]>>>,
}

impl ChunkPool {
    /// A pool whose ordinary chunks have `standard` bytes.
    pub fn new(standard: usize) -> Arc<ChunkPool> {
        Arc::new(ChunkPool {
            standard: standard.clamp(64, CHUNK_BYTES_MAX),
            next_number: AtomicU64::new(1),
            live_bytes: AtomicUsize::new(0),
            spares: Mutex::new(Vec::with_capacity(SPARES_MAX)),
        })
    }

    /// Size of an ordinary chunk in bytes.
    pub fn standard(&self) -> usize {
        self.standard
    }

    /// Memory of all chunks that somebody holds, in bytes (empty spares not included).
    pub fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// A new chunk for at least `needed` bytes: of the standard size, or exactly `needed` when that is more.
    pub fn chunk(self: &Arc<Self>, base: Lsn, needed: usize) -> ChunkWriter {
        let spare = if needed <= self.standard {
            self.spares.lock().pop()
        } else {
            None
        };
        let buffer = spare.unwrap_or_else(|| fresh(needed.max(self.standard)));
        self.lend(base, buffer)
    }

    /// A new chunk of exactly so many bytes, for what is known not to grow.
    pub(crate) fn exact(self: &Arc<Self>, base: Lsn, bytes: usize) -> ChunkWriter {
        if bytes == self.standard {
            return self.chunk(base, bytes);
        }
        self.lend(base, fresh(bytes))
    }

    fn lend(self: &Arc<Self>, base: Lsn, buffer: Box<[u8]>) -> ChunkWriter {
        debug_assert!(buffer.len() <= CHUNK_BYTES_MAX);
        let capacity = buffer.len();
        self.live_bytes.fetch_add(capacity, Ordering::Relaxed);
        let data = NonNull::from(Box::leak(buffer)).cast::<u8>();
        let chunk = Arc::new(Chunk {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            base,
            data,
            capacity,
            published: AtomicU32::new(0),
            pool: Arc::clone(self),
        });
        ChunkWriter { chunk }
    }

    /// Sees to it that a faulted-in buffer is at hand, so that nobody has to fetch 64 pages from the kernel
    /// while holding a lock. Called where no lock is held.
    pub fn prepare(&self) {
        if self.spares.lock().is_empty() {
            let buffer = fresh(self.standard);
            let mut spares = self.spares.lock();
            if spares.len() < SPARES_MAX {
                spares.push(buffer);
            }
        }
    }

    fn take_back(&self, buffer: Box<[u8]>) {
        self.live_bytes.fetch_sub(buffer.len(), Ordering::Relaxed);
        if buffer.len() == self.standard {
            let mut spares = self.spares.lock();
            if spares.len() < SPARES_MAX {
                spares.push(buffer);
            }
        }
    }
}

/// Zeroed memory whose pages are present, but for the last: a write to each makes the kernel provide it now.
fn fresh(len: usize) -> Box<[u8]> {
    let mut buffer = vec![0u8; len].into_boxed_slice();
    let first = len.saturating_sub(LATE);
    for page in buffer[..first].chunks_mut(4096) {
        std::hint::black_box(&mut page[0]);
        page[0] = 0;
        std::hint::black_box(&mut page[0]);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_and_reused() {
        let pool = ChunkPool::new(1024);
        let mut writer = pool.chunk(7, 10);
        writer.unfilled()[..3].copy_from_slice(b"abc");
        writer.advance(3);
        let chunk = Arc::clone(writer.chunk());
        let address = chunk.bytes(0, 1).as_ptr();
        assert_eq!(
            (chunk.base(), chunk.len(), chunk.bytes(1, 2)),
            (7, 3, &b"bc"[..])
        );
        assert_eq!(pool.live_bytes(), 1024);
        let large = pool.chunk(0, 5000);
        assert_eq!(pool.live_bytes(), 6024);
        drop((writer, large));
        assert_eq!(
            pool.live_bytes(),
            1024,
            "a reader keeps the chunk alive after its writer is gone"
        );
        drop(chunk);
        assert_eq!(pool.live_bytes(), 0);
        let mut again = pool.chunk(0, 1);
        assert_eq!(again.unfilled().as_ptr(), address);
    }

    #[test]
    #[should_panic(expected = "beyond")]
    fn unpublished_bytes_cannot_be_read() {
        let mut writer = ChunkPool::new(64).chunk(0, 1);
        writer.unfilled()[..8].fill(1);
        writer.advance(4);
        let _ = writer.chunk().bytes(0, 5);
    }

    #[test]
    fn readers_see_whole_records_while_the_writer_goes_on() {
        let pool = ChunkPool::new(16 * 1024);
        for _round in 0..20 {
            let mut writer = pool.chunk(0, 1);
            let chunk = Arc::clone(writer.chunk());
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let chunk = Arc::clone(&chunk);
                    std::thread::spawn(move || {
                        while (chunk.len() as usize) < chunk.capacity() {
                            let len = chunk.len();
                            for (at, pair) in chunk.bytes(0, len).chunks(2).enumerate() {
                                assert_eq!(pair, (at as u16).to_le_bytes());
                            }
                        }
                    })
                })
                .collect();
            for at in 0..(chunk.capacity() / 2) as u16 {
                writer.unfilled()[..2].copy_from_slice(&at.to_le_bytes());
                writer.advance(2);
            }
            for reader in readers {
                reader.join().unwrap();
            }
        }
    }
}
