//! Kept here and by the peer, and what came in with its id.

use std::sync::atomic::Ordering;

use nsq_journal::JournalError;
use nsq_protocol::MessageId;

use super::PeerLost;
use crate::live_topic::Kept;
use crate::nsqd::Nsqd;

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
