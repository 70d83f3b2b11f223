//! Group commit: who waits for the disk, and the threads that serve them.
//!
//! One thread syncs. While it does, the next group gathers; there is no artificial delay. A second thread keeps
//! house (spare segments, free space), because that may take long and must not hold up a group.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::log::Log;
use crate::{JournalError, Lsn};

/// Somebody who waits for a position to become durable.
pub trait Waiter: Send + Sync {
    /// Called once `durable()` has reached the position, or the journal is poisoned: look at
    /// [`crate::Journal::health`]. Must not block; may be called from within [`crate::Journal::sync_soon`].
    fn wake(self: Arc<Self>);
}

/// Wakes all of them.
pub type WakeAll = Box<dyn Fn(Vec<Arc<dyn Waiter>>) + Send + Sync>;

/// How long a full disk is left alone before the next try.
const RETRY: Duration = Duration::from_millis(50);
/// How often the keeper looks at the free space when nothing happens.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The next group.
#[derive(Default)]
pub(crate) struct Waiting {
    group: Vec<(Lsn, Arc<dyn Waiter>)>,
    stop: bool,
}

impl Waiting {
    /// Adds a waiter. One that asks twice in a row is kept once, with the later position.
    pub(crate) fn push(&mut self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        match self.group.last_mut() {
            Some((last, same)) if Arc::ptr_eq(same, &waiter) => *last = upto.max(*last),
            _ => self.group.push((upto, waiter)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Takes out, each once, the waiters all of whose positions are reached.
    pub(crate) fn reached(&mut self, durable: Lsn) -> Vec<Arc<dyn Waiter>> {
        let (mut ready, rest): (Vec<_>, Vec<_>) =
            self.group.drain(..).partition(|(upto, _)| *upto <= durable);
        self.group = rest;
        ready.sort_by_key(|(_, waiter)| Arc::as_ptr(waiter).cast::<()>() as usize);
        ready.dedup_by(|one, other| Arc::ptr_eq(&one.1, &other.1));
        ready.into_iter().map(|(_, waiter)| waiter).collect()
    }
}

impl Log {
    /// See [`crate::Journal::sync_soon`].
    pub(crate) fn sync_soon(&self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        if self.durable.load(Ordering::Acquire) >= upto || self.poison.check().is_err() {
            return waiter.wake();
        }
        self.waiting.lock().push(upto, waiter);
        self.work.notify_one();
        // A poisoning between the first look and the push has already woken everybody else.
        if self.poison.check().is_err() {
            self.wake(Lsn::MAX);
        }
    }

    /// Wakes those whose position is reached.
    pub(crate) fn wake(&self, durable: Lsn) {
        let ready = self.waiting.lock().reached(durable);
        match self.wake_all.get() {
            Some(wake_all) if ready.len() > 1 => wake_all(ready),
            _ => ready.into_iter().for_each(Waiter::wake),
        }
    }

    /// One group: sync and wake. Returns true when the disk is full and the group goes on waiting.
    pub(crate) fn commit(&self) -> bool {
        match self.sync() {
            Ok(durable) => {
                self.wake(durable);
                false
            }
            // What was written before the segment that could not be made is still there to be synced by the next try.
            Err(JournalError::DiskFull(_)) => true,
            Err(_) => {
                self.wake(Lsn::MAX);
                false
            }
        }
    }

    fn run_sync(&self) {
        let mut waiting = self.waiting.lock();
        while !waiting.stop {
            if waiting.group.is_empty() {
                self.work.wait(&mut waiting);
                continue;
            }
            drop(waiting);
            let full = self.commit();
            waiting = self.waiting.lock();
            if full && !waiting.stop {
                self.work.wait_for(&mut waiting, RETRY);
            }
        }
    }

    fn run_keeper(&self) {
        let mut idle = true;
        loop {
            if self.keep_house(idle).is_err() && self.poison.check().is_err() {
                return;
            }
            let mut waiting = self.waiting.lock();
            if waiting.stop {
                return;
            }
            idle = self.chores.wait_for(&mut waiting, HOUSEKEEPING).timed_out();
            if waiting.stop {
                return;
            }
        }
    }

    /// Asks the threads to end.
    pub(crate) fn stop(&self) {
        self.waiting.lock().stop = true;
        self.work.notify_all();
        self.chores.notify_all();
    }
}

/// Starts both threads.
pub(crate) fn spawn(log: &Arc<Log>) -> Result<Vec<JoinHandle<()>>, JournalError> {
    let start = |name: &'static str, run: fn(&Log)| {
        let log = Arc::clone(log);
        let spawned = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&log));
        spawned.map_err(|error| JournalError::io("start thread", name, &error))
    };
    Ok(vec![
        start("journal-sync", Log::run_sync)?,
        start("journal-keep", Log::run_keeper)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Somebody(#[allow(dead_code)] u8);
    impl Waiter for Somebody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn each_waiter_of_a_group_is_woken_once() {
        let people: Vec<Arc<dyn Waiter>> = (0..2)
            .map(|n| Arc::new(Somebody(n)) as Arc<dyn Waiter>)
            .collect();
        let mut waiting = Waiting::default();
        for (upto, who) in [(10, 0), (20, 0), (15, 1), (25, 0), (90, 1)] {
            waiting.push(upto, Arc::clone(&people[who]));
        }
        assert_eq!(waiting.group.len(), 4);
        assert_eq!(waiting.reached(9).len(), 0);
        assert_eq!(waiting.reached(30).len(), 2);
        assert_eq!(waiting.group.len(), 1);
        assert_eq!(waiting.reached(Lsn::MAX).len(), 1);
    }
}
