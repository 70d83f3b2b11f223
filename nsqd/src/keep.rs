//! Waiting until what was appended is kept: here, and by the peer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_journal::{JournalError, Lsn};
use nsq_protocol::MessageId;
use tokio::sync::Notify;

use crate::live_topic::Kept;
use crate::nsqd::Nsqd;
use crate::options::Durability;
use crate::pair::PeerLost;

/// Why a message is not acknowledged.
#[derive(Debug)]
pub(crate) enum NotKept {
    Journal(JournalError),
    Peer(PeerLost),
}

impl Nsqd {
    /// A message came in with its id: if it was ours once, none like it is given again.
    pub(crate) fn note_id(&self, id: u64) {
        let id = MessageId(id);
        if id.node() == self.options.node() {
            self.next_sequence
                .fetch_max(id.sequence() + 1, Ordering::Relaxed);
        }
    }

    /// Returns once what was appended is kept at its level.
    ///
    /// # Errors
    /// The journal's: it may not be kept.
    pub async fn keep(&self, kept: Kept) -> Result<(), JournalError> {
        match kept.level {
            Durability::Memory => Ok(()),
            Durability::Write => self.journal.write(kept.at).map(|_| ()),
            Durability::Fsync => self.sync(kept.at).await,
        }
    }

    async fn sync(&self, at: Lsn) -> Result<(), JournalError> {
        struct Told(Notify);
        impl nsq_journal::Waiter for Told {
            fn wake(self: Arc<Self>) {
                self.0.notify_one();
            }
        }
        let told = Arc::new(Told(Notify::new()));
        self.journal.sync_soon(at, told.clone());
        told.0.notified().await;
        self.journal.health()
    }

    /// As [`Nsqd::keep`], and by the peer if it has to be.
    pub(crate) async fn keep_mirrored(&self, kept: Kept) -> Result<(), NotKept> {
        // Both disks work at the same time.
        let here = self.keep(kept);
        let there = async {
            match kept.mirrored {
                true => self.pair.wait(self, kept.at).await,
                false => Ok(()),
            }
        };
        let (here, there) = tokio::join!(here, there);
        here.map_err(NotKept::Journal)?;
        there.map_err(NotKept::Peer)
    }
}
