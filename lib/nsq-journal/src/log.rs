//! The journal's state, shared by the callers and the journal's own threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};

use crate::chunk::ChunkPool;
use crate::commit::{Waiter, Waiting, WakeAll};
use crate::disk::Disk;
use crate::durations::Durations;
use crate::record::MIRROR_CODES;
use crate::record::frame::{self, Seed};
use crate::segment::Catalog;
use crate::space::Space;
use crate::staging::{Spot, Staging};
use crate::writer::Writer;
use crate::{JournalError, JournalOptions, Lsn};

/// Locks are taken in this order: `syncing`, `writer`, `catalog` or `staging`. `waiting`, `unwritten` and the pool's are leaves.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: JournalOptions,
    pub(crate) incarnation: u64,
    pub(crate) run: u64,
    pub(crate) seed: Seed,
    pub(crate) pool: Arc<ChunkPool>,
    pub(crate) staging: Mutex<Staging>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) catalog: Mutex<Catalog>,
    /// Held for one sync; the data is the number of the next checkpoint.
    pub(crate) syncing: Mutex<()>,
    pub(crate) checkpoints: Mutex<crate::checkpoint::Kept>,
    pub(crate) waiting: Mutex<Waiting>,
    /// Those who found the writer's place taken.
    pub(crate) unwritten: Mutex<Waiting>,
    /// How waiters are woken, if not one by one.
    pub(crate) wake_all: OnceLock<WakeAll>,
    pub(crate) work: Condvar,
    pub(crate) chores: Condvar,
    pub(crate) space: Space,
    pub(crate) poison: Poison,
    /// Told whenever something was written.
    pub(crate) watchers: Mutex<Vec<Arc<dyn Waiter>>>,
    pub(crate) watched: AtomicBool,
    /// Behind this nothing is staged but what a peer is not sent: the mirror of its own journal.
    pub(crate) streamed: AtomicU64,
    /// Watchers were told of everything before this.
    pub(crate) told: AtomicU64,
    pub(crate) tail: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) counters: Counters,
}

/// Totals since the journal was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) sync_times: Durations,
}

impl Log {
    /// Stages one record. `payload` is its size, `fill` writes it.
    pub(crate) fn stage(
        &self,
        code: u8,
        payload: usize,
        crc: u32,
        fill: impl FnOnce(&mut [u8]),
    ) -> Spot {
        let size = frame::framed(payload);
        let seed = self.seed;
        let mut staging = self.staging.lock();
        let spot = staging.place(size, |lsn, buffer| {
            // `payload` was checked against PAYLOAD_BYTES_MAX, which fits in 32 bits.
            buffer[..frame::HEADER].copy_from_slice(&frame::header(
                seed,
                lsn,
                code,
                payload as u32,
                crc,
            ));
            fill(&mut buffer[frame::HEADER..frame::HEADER + payload]);
            buffer[frame::HEADER + payload..].fill(0);
        });
        let tail = staging.tail();
        if !MIRROR_CODES.contains(&code) {
            self.streamed.store(tail, Ordering::Release);
        }
        self.tail.store(tail, Ordering::Release);
        spot
    }

    /// Stops the journal for good and wakes everybody who waits.
    pub(crate) fn fail(&self, error: JournalError) -> JournalError {
        self.poison.set(error.to_string());
        self.wake(Lsn::MAX);
        self.poison.check().err().unwrap_or(error)
    }
}

/// Set by the first write or sync error and never cleared.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    set: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Poison {
    /// The first reason stays.
    fn set(&self, reason: String) {
        self.reason.lock().get_or_insert(reason);
        self.set.store(true, Ordering::Release);
    }

    pub(crate) fn check(&self) -> Result<(), JournalError> {
        if !self.set.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(JournalError::Poisoned(
            self.reason.lock().clone().unwrap_or_default(),
        ))
    }
}
