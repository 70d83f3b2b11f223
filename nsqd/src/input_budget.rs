//! Memory of commands that are still arriving. Large ones take their share before they are read, or
//! wait: a thousand clients that each send most of a large command and then nothing cannot take more
//! than this, and are cut off by `--command-timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::client::Client;

/// Commands of fewer bytes than this are not counted: all of a consumer's are.
pub(crate) const COUNTED_FROM: usize = 4096;

#[derive(Debug)]
pub(crate) struct InputBudget {
    left: AtomicUsize,
    whole: usize,
    waiting: Mutex<Vec<Arc<Client>>>,
}

impl InputBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
            whole: bytes,
            waiting: Mutex::default(),
        }
    }

    /// Takes `bytes`, or has `client` woken when it is worth another try. Nobody gets more than all
    /// there is.
    pub(crate) fn take(&self, bytes: usize, client: &Arc<Client>) -> Option<usize> {
        let bytes = bytes.min(self.whole);
        if self.try_take(bytes) {
            return Some(bytes);
        }
        self.waiting.lock().push(Arc::clone(client));
        // Some may have come back in between.
        self.try_take(bytes).then_some(bytes)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok()
    }

    /// All there is.
    pub(crate) fn whole(&self) -> usize {
        self.whole
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.left.fetch_add(bytes, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for client in waiting {
            client.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_until_something_comes_back() {
        let budget = InputBudget::new(100);
        let client = Client::new(1, String::new(), 0);
        assert_eq!(budget.take(60, &client), Some(60));
        assert_eq!(budget.take(60, &client), None);
        assert!(!client.take_woken());
        assert_eq!(budget.take(40, &client), Some(40));
        budget.give_back(60);
        assert!(client.take_woken());
        assert_eq!(budget.take(60, &client), Some(60));
        budget.give_back(100);
        assert_eq!(budget.take(1000, &client), Some(100), "all there is");
        assert_eq!(budget.take(1, &client), None);
    }
}
