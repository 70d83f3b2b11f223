//! Messages that were paged out come back.

use std::sync::Arc;

use nsq_journal::JournalError;
use nsq_queue::Paged;

use crate::host::{ChunkRef, Page};
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

impl Nsqd {
    /// Reads a page back into its topic, for whoever wants its messages. What is damaged is passed over, counted and
    /// logged, and its file stays for people to look at; that is the error given in `Ok`.
    ///
    /// # Errors
    /// The journal's, which may be over the next time.
    pub(crate) fn page_in(
        self: &Arc<Self>,
        topic: &Arc<LiveTopic>,
        page: &Page,
        pos: u64,
    ) -> Result<Option<JournalError>, JournalError> {
        let damage = match self.read_block(page) {
            Ok(paged) => {
                if topic.change_now(self, |queue, _| queue.page_in(pos, paged)) {
                    return Ok(None);
                }
                JournalError::Damaged {
                    path: format!("{page:?}"),
                    why: "it holds other messages than it should".to_owned(),
                }
            }
            Err(damage @ JournalError::Damaged { .. }) => damage,
            Err(error) => return Err(error),
        };
        let lost = topic.change_now(self, |queue, _| queue.page_lost(pos));
        let name = &topic.name;
        tracing::error!("TOPIC({name}): {lost} messages are lost - {damage}");
        Ok(Some(damage))
    }

    pub(crate) fn read_block(&self, page: &Page) -> Result<Paged<ChunkRef>, JournalError> {
        let block = self.spill.read_block(&page.into())?;
        let entries = block.entries.iter().zip(&block.offsets);
        Ok(Paged {
            messages: entries
                .map(|(entry, &offset)| (entry.timestamp, offset, entry.len))
                .collect(),
            bases: block.entries.iter().map(|entry| entry.base).collect(),
            chunk: ChunkRef(block.chunk),
        })
    }
}
