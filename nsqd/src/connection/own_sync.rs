//! Waits for the own sync of what the peer has to keep too.

use std::sync::Arc;

use nsq_daemon::stream::Socket;
use nsq_journal::{Journal, Waiter};

use super::Connection;
use crate::client::Client;
use crate::live_topic::Kept;

/// The own sync lets no answer go that waits for the peer as well, and the peer is later nearly always. So it wakes
/// nobody: the pair does so, once the peer has the message and the own disk too. A journal that failed ends the
/// connection at once.
pub(super) struct OwnSync {
    journal: Arc<Journal>,
    client: Arc<Client>,
}

impl OwnSync {
    pub(super) fn new(journal: &Arc<Journal>, client: &Arc<Client>) -> Arc<Self> {
        Arc::new(Self {
            journal: Arc::clone(journal),
            client: Arc::clone(client),
        })
    }
}

impl Waiter for OwnSync {
    fn wake(self: Arc<Self>) {
        if self.journal.health().is_err() {
            Client::wake(&self.client);
        }
    }

    fn is_light(&self) -> bool {
        true
    }
}

impl<S: Socket> Connection<S> {
    /// Sees to it that what was `kept` at level `fsync` gets there. `alone`: nobody else waits for the peer.
    pub(super) fn sync_soon(&mut self, kept: Kept, alone: bool) {
        let journal = &self.nsqd.journal;
        if !kept.mirrored {
            return journal.sync_soon(kept.at, self.client.clone());
        }
        let make = || OwnSync::new(journal, &self.client);
        let own_sync = self.own_sync.get_or_insert_with(make);
        if alone {
            // The peer need not wait until the sync thread is awake, nor the link for a word from there. Where several
            // wait, that writes for all; and if it cannot be written now, the sync thread sees the same.
            let _ = journal.try_write(kept.at);
        }
        journal.sync_soon(kept.at, own_sync.clone());
    }
}

#[cfg(test)]
mod tests {
    use nsq_journal::Record;
    use nsq_journal::sim::{Faults, SimDisk};

    use super::*;

    #[test]
    fn only_a_journal_that_failed_wakes_the_client() -> Result<(), nsq_journal::JournalError> {
        let disk = SimDisk::new();
        let nsqd = crate::test_node::open_disk(disk.clone(), None);
        let journal = &nsqd.journal;
        let client = Client::new(1, "client".to_owned(), 0);
        let own = OwnSync::new(journal, &client);
        for (sync_fails, woken) in [(false, false), (true, true)] {
            disk.set_faults(Faults {
                sync_fails_after: sync_fails.then_some(1),
                ..Faults::default()
            });
            let end = journal.append(&Record::TopicDelete { topic: 1 })?;
            journal.sync_soon(end, own.clone());
            journal.commit();
            assert_eq!(client.take_woken(), woken, "sync fails: {sync_fails}");
        }
        Ok(())
    }
}
