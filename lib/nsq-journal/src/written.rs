//! Level `write`: one writes for all, and the others go on.
//!
//! Whoever finds the writer's place taken does not wait for it. It leaves word, and who holds the place writes
//! what was staged meanwhile and wakes it: while one core is in the kernel the other reads the next batch.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::commit::Waiter;
use crate::log::Log;
use crate::writer::Writer;
use crate::{JournalError, Lsn};

/// How often in a row one writes for others, who are woken then to see to it themselves: it has an own client
/// who waits for its answer.
const TURNS: usize = 4;

/// The writer's place. Who leaves it looks after those who found it taken.
pub(crate) struct Place<'a> {
    log: &'a Log,
    guard: Option<MutexGuard<'a, Writer>>,
}

impl Deref for Place<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        self.guard.as_ref().expect("given up only when dropped")
    }
}

impl DerefMut for Place<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        self.guard.as_mut().expect("given up only when dropped")
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.guard = None;
        self.log.serve_written();
    }
}

impl Log {
    /// Takes the writer's place, waiting for it.
    pub(crate) fn writer(&self) -> Place<'_> {
        Place {
            log: self,
            guard: Some(self.writer.lock()),
        }
    }

    /// See [`crate::Journal::try_write`].
    pub(crate) fn try_write(&self, upto: Lsn) -> Result<bool, JournalError> {
        self.poison.check()?;
        if self.written.load(Ordering::Acquire) >= upto {
            return Ok(true);
        }
        let Some(guard) = self.writer.try_lock() else {
            return Ok(false);
        };
        let mut place = Place {
            log: self,
            guard: Some(guard),
        };
        let written = self.write_locked(&mut place);
        drop(place);
        self.pool.prepare();
        Ok(written? >= upto)
    }

    /// See [`crate::Journal::written_soon`].
    pub(crate) fn written_soon(&self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        self.unwritten.lock().push(upto, waiter);
        self.serve_written();
    }

    /// Wakes those whose records are written, and writes for the others unless somebody is at it, who will come
    /// here after that.
    fn serve_written(&self) {
        for _ in 0..TURNS {
            let written = match self.poison.check() {
                Ok(()) => self.written.load(Ordering::Acquire),
                Err(_) => Lsn::MAX,
            };
            let (ready, all) = {
                let mut unwritten = self.unwritten.lock();
                (unwritten.reached(written), unwritten.is_empty())
            };
            ready.into_iter().for_each(Waiter::wake);
            if all {
                return;
            }
            let Some(mut writer) = self.writer.try_lock() else {
                return;
            };
            // The keeper tries again once there is space. After any other error the next look wakes everybody.
            if let Err(JournalError::DiskFull(_)) = self.write_locked(&mut writer) {
                return;
            }
        }
        let rest = self.unwritten.lock().reached(Lsn::MAX);
        rest.into_iter().for_each(Waiter::wake);
    }
}
