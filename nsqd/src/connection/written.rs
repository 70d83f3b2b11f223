//! Who writes the journal, and when: at level `write` an OK means that the kernel has the message.

use nsq_daemon::stream::Socket;
use nsq_journal::{JournalError, Lsn};

use super::Connection;
use crate::live_topic::Kept;
use crate::options::Durability;

impl<S: Socket> Connection<S> {
    /// Publishes what is left of a read, and writes all that it staged, once: now, or when the other connections that
    /// have something to do have had their turn, so that one write serves them all.
    pub(super) fn finish_publishes(&mut self, input: &[u8]) {
        self.hand_over(input);
        match self.among_others && !self.run.staged.is_empty() {
            true => self.write_due = true,
            false => self.write_staged(),
        }
    }

    /// Writes what was staged.
    pub(super) fn write_staged(&mut self) {
        if self.run.staged.is_empty() {
            return;
        }
        let is_written = self.write_or_wait(self.run.write_to);
        for (topic, then) in std::mem::take(&mut self.run.staged) {
            match is_written {
                true => then.happen(&self.nsqd, &topic),
                false => then.happen_once_written(&self.nsqd, &topic, self.run.write_to),
            }
        }
    }

    /// Writes the journal as far as that. False: this connection is woken when that is done, or to be done by it.
    pub(super) fn write_or_wait(&mut self, upto: Lsn) -> bool {
        let journal = &self.nsqd.journal;
        match journal.try_write(upto) {
            Ok(true) => return true,
            Ok(false) => {}
            // The records are written, and the answers given, when there is room. Others are told that now.
            Err(JournalError::DiskFull(_)) => {}
            Err(error) => tracing::error!("journal: {error}"),
        }
        journal.written_soon(upto, self.client.clone());
        false
    }

    /// Sees to it that an answer which waits for `kept` is released.
    pub(super) fn keep_soon(&mut self, kept: Kept) {
        match kept.level {
            Durability::Memory => {}
            Durability::Write => drop(self.write_or_wait(kept.at)),
            Durability::Fsync => self.nsqd.journal.sync_soon(kept.at, self.client.clone()),
        }
    }
}
