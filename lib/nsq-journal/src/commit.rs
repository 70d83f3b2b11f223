//! Group commit: who waits for the disk, and the threads that serve them.
//!
//! One thread syncs. While it does, the next group gathers. Those who are served by a sync are often back at once
//! with more: a sync that begins with the first of them makes all others wait for the one after it, so the thread
//! gives them a moment, a small part of what a sync takes ([`Gathering`]). A second thread keeps
//! house (spare segments, free space), because that may take long and must not hold up a group.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::{JournalError, Lsn};

/// Somebody who waits for a position to become durable.
pub trait Waiter: Send + Sync {
    /// Called once `durable()` has reached the position, or the journal is poisoned: look at
    /// [`crate::Journal::health`]. Must not block; may be called from within [`crate::Journal::sync_soon`].
    fn wake(self: Arc<Self>);

    /// Waking it wakes no task: whoever is at hand may do it.
    fn is_light(&self) -> bool {
        false
    }
}

/// Wakes all of them.
pub type WakeAll = Box<dyn Fn(Vec<Arc<dyn Waiter>>) + Send + Sync>;

/// How long a full disk is left alone before the next try.
const RETRY: Duration = Duration::from_millis(50);
/// How often the keeper looks at the free space when nothing happens.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A group is waited for at most this part of the time that the last sync took.
const PART_OF_A_SYNC: u32 = 8;

/// The next group.
#[derive(Default)]
pub(crate) struct Waiting {
    group: Vec<(Lsn, Arc<dyn Waiter>)>,
    /// So many are waited for: nobody before need tell the thread.
    wanted: usize,
    stop: bool,
}

/// For whom the next sync is worth waiting, and how long.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gathering {
    wanted: usize,
    patience: Duration,
}

impl Gathering {
    /// After a sync that took so long and served so many: three quarters of them, since one who is slow must not
    /// hold up the others. Nobody waits for a single client.
    fn after(served: usize, took: Duration) -> Self {
        Self {
            wanted: served * 3 / 4,
            patience: took / PART_OF_A_SYNC,
        }
    }
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

    /// Takes out, each once and in the order of their asking, the waiters whose positions are reached.
    pub(crate) fn reached(&mut self, durable: Lsn) -> Vec<Arc<dyn Waiter>> {
        let (ready, rest): (Vec<_>, Vec<_>) =
            self.group.drain(..).partition(|(upto, _)| *upto <= durable);
        self.group = rest;
        let mut seen = HashSet::with_capacity(ready.len());
        let ready = ready.into_iter().map(|(_, waiter)| waiter);
        ready
            .filter(|waiter| seen.insert(Arc::as_ptr(waiter).cast::<()>() as usize))
            .collect()
    }
}

impl Log {
    /// See [`crate::Journal::sync_soon`].
    pub(crate) fn sync_soon(&self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        if self.durable.load(Ordering::Acquire) >= upto || self.poison.check().is_err() {
            return waiter.wake();
        }
        let enough = {
            let mut waiting = self.waiting.lock();
            waiting.push(upto, waiter);
            waiting.group.len() >= waiting.wanted
        };
        if enough {
            self.work.notify_one();
        }
        // A poisoning between the first look and the push has already woken everybody else.
        if self.poison.check().is_err() {
            self.wake(Lsn::MAX);
        }
    }

    /// Wakes those whose position is reached; how many they are.
    pub(crate) fn wake(&self, durable: Lsn) -> usize {
        let ready = self.waiting.lock().reached(durable);
        let count = ready.len();
        match self.wake_all.get() {
            Some(wake_all) if !ready.iter().all(|one| one.is_light()) => wake_all(ready),
            _ => ready.into_iter().for_each(Waiter::wake),
        }
        count
    }

    /// One group: sync and wake. How many were served; `None` when the disk is full and the group goes on waiting.
    pub(crate) fn commit(&self) -> Option<usize> {
        match self.sync() {
            Ok(durable) => Some(self.wake(durable)),
            // What was written before the segment that could not be made is still there to be synced by the next try.
            Err(JournalError::DiskFull(_)) => None,
            Err(_) => Some(self.wake(Lsn::MAX)),
        }
    }

    fn run_sync(&self) {
        let mut gathering = Gathering::default();
        let mut waiting = self.waiting.lock();
        while !waiting.stop {
            if waiting.group.is_empty() {
                self.work.wait(&mut waiting);
                continue;
            }
            let Gathering { wanted, patience } = std::mem::take(&mut gathering);
            if waiting.group.len() < wanted {
                waiting.wanted = wanted;
                self.work.wait_for(&mut waiting, patience);
                waiting.wanted = 0;
            }
            drop(waiting);
            let began = Instant::now();
            let served = self.commit();
            if let Some(served) = served {
                gathering = Gathering::after(served, began.elapsed());
            }
            waiting = self.waiting.lock();
            if served.is_none() && !waiting.stop {
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
    fn a_lone_client_is_not_waited_for() {
        let took = Duration::from_millis(8);
        assert_eq!(Gathering::after(1, took).wanted, 0);
        let many = Gathering {
            wanted: 48,
            patience: Duration::from_millis(1),
        };
        assert_eq!(Gathering::after(64, took), many);
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
