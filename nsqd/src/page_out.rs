//! Messages go to spill files, so that neither memory nor the journal has to hold them.

use std::sync::Arc;

use nsq_journal::{JournalError, Lsn, SpillBlock, SpillEntry};
use nsq_queue::PageOut;

use crate::host::{ChunkRef, NsqHost, Page};
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;
use crate::options::Durability;

type Queue = nsq_queue::Topic<NsqHost>;

impl Nsqd {
    /// Writes blocks to the topic's spill files, as long as `next` names one and the disk is not
    /// full: what is left then is for finishes and checkpoints. Written without the topic's lock.
    pub(crate) fn page_out(
        self: &Arc<Self>,
        topic: &Arc<LiveTopic>,
        next: impl Fn(&mut Queue) -> Option<PageOut<ChunkRef>>,
    ) -> Result<(), JournalError> {
        self.page_out_while(topic, || self.journal.look_at_space(), next)
    }

    /// As [`Nsqd::page_out`], however full the disk is.
    pub(crate) fn page_out_all(
        self: &Arc<Self>,
        topic: &Arc<LiveTopic>,
    ) -> Result<(), JournalError> {
        let next = |queue: &mut Queue| queue.next_page_out_of(|_| true);
        self.page_out_while(topic, || Ok(true), next)
    }

    fn page_out_while(
        self: &Arc<Self>,
        topic: &Arc<LiveTopic>,
        may: impl Fn() -> Result<bool, JournalError>,
        next: impl Fn(&mut Queue) -> Option<PageOut<ChunkRef>>,
    ) -> Result<(), JournalError> {
        while may()? {
            let Some(block) = topic.change_now(self, |queue, _| next(queue)) else {
                break;
            };
            let page = self.write_block(topic.number, &block)?;
            let count = block.messages.len();
            let unneeded = topic.change_now(self, |queue, _| {
                queue.paged_out(block.first_pos, count, page)
            });
            if let Some(page) = unneeded {
                // Finished or grown meanwhile: there is no point in running after it.
                self.spill.release(&(&page).into());
                return Ok(());
            }
            if topic.is_deleted() {
                self.spill.delete_topic(topic.number);
                return Ok(());
            }
        }
        Ok(())
    }

    fn write_block(&self, topic: u32, block: &PageOut<ChunkRef>) -> Result<Page, JournalError> {
        let entry = |(&(timestamp, _, len, _), &base): (&(i64, u32, u32, u32), &u64)| SpillEntry {
            timestamp,
            base,
            len,
        };
        let messages = block.messages.iter().zip(&block.bases);
        let entries: Vec<SpillEntry> = messages.map(entry).collect();
        let spilled = SpillBlock {
            first_id: block.first_id,
            first_pos: block.first_pos,
            entries: &entries,
        };
        let bodies = block.messages.iter().map(|&(_, offset, len, chunk)| {
            let chunk = block.chunks.get(chunk as usize);
            chunk.map_or(&[][..], |chunk| chunk.0.bytes(offset, len))
        });
        Ok(self.spill.write_block(topic, &spilled, bodies)?.into())
    }

    /// Pages out what lies in the journal before `limit`.
    pub(crate) fn let_journal_go(self: &Arc<Self>, limit: Lsn) -> Result<(), JournalError> {
        for topic in self.topics().into_iter().chain(self.pair.mirrored_topics()) {
            if topic.level() == Durability::Memory {
                continue;
            }
            self.page_out(&topic, |queue| {
                queue.next_page_out_of(|chunk| chunk.0.base() < limit)
            })?;
        }
        Ok(())
    }
}
