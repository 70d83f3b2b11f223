//! Waiting for an answer to become another one: whoever asks `/lookup` with `wait` sees a new topic at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Who waits looks again at most so often: an nsqd that registers thousands of topics costs no more than this.
const LOOK: Duration = Duration::from_millis(100);
/// More than this do not wait: HTTP connections are for others too.
const WAITING_MAX: usize = 2048;

/// Changes of the registry.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    happened: Notify,
    waiting: AtomicUsize,
}

/// Counted while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Changes {
    /// Wakes everybody who waits.
    pub(crate) fn happened(&self) {
        self.happened.notify_waiters();
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What `look` gives, as soon as it is `wanted`, or after `wait` whatever it is.
    pub(crate) async fn wait<R>(
        &self,
        wait: Duration,
        look: impl Fn() -> R,
        wanted: impl Fn(&R) -> bool,
    ) -> R {
        let until = Instant::now() + wait;
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        loop {
            let mut happened = std::pin::pin!(self.happened.notified());
            happened.as_mut().enable(); // before the look: it may happen in between
            let (found, next) = (look(), Instant::now() + LOOK);
            if wanted(&found) || before >= WAITING_MAX {
                return found;
            }
            // What changes by time alone is seen at the end.
            if timeout_at(until, happened).await.is_err() {
                return look();
            }
            sleep_until(next.min(until)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_when_it_is_wanted_and_the_end_in_any_case() {
        let changes = Changes::default();
        let value = AtomicUsize::new(0);
        let look = || value.load(Ordering::Relaxed);
        let wait = Duration::from_secs(30);
        let waited = async {
            let started = Instant::now();
            (
                changes.wait(wait, look, |value| *value == 2).await,
                started.elapsed(),
            )
        };
        let changed = async {
            for step in 1..=2 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                value.store(step, Ordering::Relaxed);
                changes.happened();
            }
        };
        let ((found, after), ()) = tokio::join!(waited, changed);
        assert_eq!(found, 2);
        assert!(after < Duration::from_secs(11), "{after:?}");
        assert_eq!(changes.waiting(), 0);
        assert_eq!(changes.wait(wait, look, |value| *value == 3).await, 2);
    }
}
