//! Wakes those whom a sync served from within the runtime: there a wake-up is a push to a worker's own queue, from
//! the journal's thread each one is a lock, and often a system call.
//!
//! The journal's thread tells by a pipe, so that its word comes as input does: what a worker finds in its own queue
//! after that, it serves itself. For a task that another thread woke, it would wake a second worker to look for more.

use std::io::{self, Write};
use std::sync::Arc;

use nsq_journal::{Journal, Waiter};
use parking_lot::Mutex;
use tokio::net::unix::pipe;

/// Who is to be woken. At most what waits in the journal: everybody stands in one of the two.
struct Sleepers {
    served: Mutex<Vec<Arc<dyn Waiter>>>,
    /// Does not block. When it is full, the task has been told; when it is broken, the task has ended.
    some: io::PipeWriter,
}

impl Sleepers {
    fn tell(&self, mut served: Vec<Arc<dyn Waiter>>) {
        self.served.lock().append(&mut served);
        let told = match (&self.some).write(&[1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            told => told.is_ok(),
        };
        if !told {
            self.wake();
        }
    }

    fn wake(&self) {
        let served = std::mem::take(&mut *self.served.lock());
        served.into_iter().for_each(Waiter::wake);
    }
}

/// Wakes, at the end of the task, those of whom it was told last. From then on the journal's thread wakes them itself.
struct Ends(Arc<Sleepers>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Takes the waking over from the journal. Runs until its task is ended.
///
/// # Errors
/// No pipe can be had; the journal goes on waking by itself.
pub async fn run(journal: Arc<Journal>) -> io::Result<()> {
    let (writer, heard) = pipe::pipe()?;
    let sleepers = Arc::new(Sleepers {
        served: Mutex::default(),
        some: writer.into_nonblocking_fd()?.into(),
    });
    let told = Arc::clone(&sleepers);
    journal.wake_by(Box::new(move |served| told.tell(served)));
    drop(journal);
    let _ends = Ends(Arc::clone(&sleepers));
    // Is dropped before `_ends`: whatever was told until then is seen there.
    let heard = heard;
    let mut words = [0; 64];
    loop {
        heard.readable().await?;
        match heard.try_read(&mut words) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => sleepers.wake(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use nsq_journal::Record;
    use nsq_journal::sim::SimDisk;
    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Sleeper {
        light: bool,
        woken: AtomicBool,
        told: Notify,
    }

    impl Waiter for Sleeper {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::SeqCst);
            self.told.notify_one();
        }

        fn is_light(&self) -> bool {
            self.light
        }
    }

    /// Syncs for one who is woken at once, or is not.
    fn sync(journal: &Journal, light: bool) -> (Arc<Sleeper>, bool) {
        let sleeper = Arc::new(Sleeper {
            light,
            ..Sleeper::default()
        });
        let end = journal.append(&Record::TopicDelete { topic: 1 }).unwrap();
        journal.sync_soon(end, sleeper.clone());
        journal.commit();
        let at_once = sleeper.woken.load(Ordering::SeqCst);
        (sleeper, at_once)
    }

    #[tokio::test]
    async fn the_task_wakes_and_after_its_end_the_journals_thread() {
        let nsqd = crate::test_node::open_disk(SimDisk::new(), None);
        let journal = &nsqd.journal;
        let task = tokio::spawn(run(Arc::clone(journal)));
        // One thread runs all tasks here: the other one waits for the pipe after this.
        tokio::task::yield_now().await;

        for _ in 0..2 {
            let (sleeper, at_once) = sync(journal, false);
            assert!(!at_once);
            sleeper.told.notified().await;
        }
        assert!(sync(journal, true).1, "light ones need no task");

        let (sleeper, _) = sync(journal, false);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(sleeper.woken.load(Ordering::SeqCst), "told before the end");
        assert!(sync(journal, false).1, "after the end");
    }
}
