//! Wakes those whom a sync served from within the runtime: there a wake-up is a push to a worker's own queue, from
//! the journal's thread each one is a lock, and often a system call.

use std::sync::Arc;

use nsq_journal::{Journal, Waiter};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Who is to be woken. At most what waits in the journal: everybody stands in one of the two.
#[derive(Default)]
struct Sleepers {
    served: Mutex<Vec<Arc<dyn Waiter>>>,
    some: Notify,
}

/// Takes the waking over from the journal. Runs until its task is ended.
pub async fn run(journal: Arc<Journal>) {
    let sleepers = Arc::new(Sleepers::default());
    let told = Arc::clone(&sleepers);
    journal.wake_by(Box::new(move |mut served| {
        told.served.lock().append(&mut served);
        told.some.notify_one();
    }));
    drop(journal);
    loop {
        sleepers.some.notified().await;
        let served = std::mem::take(&mut *sleepers.served.lock());
        served.into_iter().for_each(Waiter::wake);
    }
}
