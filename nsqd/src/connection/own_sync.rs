//! Waits for the own sync of what the peer has to keep too.

use std::sync::Arc;

use nsq_journal::{Journal, Waiter};

use crate::client::Client;

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
}

#[cfg(test)]
mod tests {
    use nsq_journal::sim::{Faults, SimDisk};
    use nsq_journal::{JournalOptions, Lsn, Record, Replay};

    use super::*;

    struct Nobody;
    impl Replay for Nobody {
        fn checkpoint(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
        fn record(
            &mut self,
            _: Lsn,
            _: Lsn,
            _: Record<'_>,
            _: &Arc<nsq_journal::Chunk>,
        ) -> Result<(), String> {
            Ok(())
        }
        fn quarantined(&mut self, _: Lsn, _: Lsn, _: &str) {}
    }

    #[test]
    fn only_a_journal_that_failed_wakes_the_client() -> Result<(), nsq_journal::JournalError> {
        let disk = SimDisk::new();
        let options = JournalOptions {
            threads: false,
            free_floor: 0,
            ..JournalOptions::default()
        };
        let journal = Journal::open(disk.clone(), options, &mut Nobody)?;
        let client = Client::new(1, "client".to_owned(), 0);
        let own = OwnSync::new(&journal, &client);
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
