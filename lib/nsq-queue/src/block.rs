use crate::Host;
use crate::deliver::Delivery;

/// A block is closed at this many messages ...
pub(crate) const BLOCK_MESSAGES: u32 = 1024;
/// ... or at this many bytes of bodies, whichever comes first.
pub(crate) const BLOCK_BYTES: u64 = 256 * 1024;

/// One message: when it was published and where its body lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub timestamp: i64,
    pub offset: u32,
    pub len: u32,
    /// Index into the block's chunks.
    pub chunk: u32,
}

/// What a block keeps in memory while it is not (only) on disk.
pub(crate) struct Content<H: Host> {
    pub entries: Vec<Entry>,
    pub chunks: Vec<H::Chunk>,
}

impl<H: Host> Content<H> {
    /// One of its messages, on its way.
    #[inline]
    pub(crate) fn delivery(&self, id: u64, attempts: u16, entry: &Entry) -> Delivery<'_, H::Chunk> {
        Delivery {
            id,
            timestamp: entry.timestamp,
            attempts,
            chunk: &self.chunks[entry.chunk as usize],
            offset: entry.offset,
            len: entry.len,
        }
    }
}

/// Neighbouring messages of one lane: ids and positions rise by one within it.
pub(crate) struct Block<H: Host> {
    pub first_id: u64,
    pub first_pos: u64,
    pub count: u32,
    pub bytes: u64,
    /// When its youngest message was published; 0: not known.
    pub newest: i64,
    /// Pairs of (message, channel) that are not finished; a message that no channel has got
    /// yet counts once, for the topic.
    pub live: u64,
    pub content: Option<Content<H>>,
    /// Where it also, or only, lies on disk.
    pub page: Option<H::Page>,
}

impl<H: Host> Block<H> {
    pub(crate) fn end_pos(&self) -> u64 {
        self.first_pos + u64::from(self.count)
    }

    pub(crate) fn end_id(&self) -> u64 {
        self.first_id + u64::from(self.count)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= BLOCK_MESSAGES || self.bytes >= BLOCK_BYTES
    }

    /// Takes `count` messages that follow those it has.
    pub(crate) fn push(&mut self, entry: Entry, chunk: &H::Chunk) {
        let Some(content) = self.content.as_mut() else {
            return; // an open block always has its content: only closed ones are paged out
        };
        let same = content.chunks.last().is_some_and(|last| last == chunk);
        if !same {
            content.chunks.push(chunk.clone());
        }
        let chunk = content.chunks.len() as u32 - 1;
        content.entries.push(Entry { chunk, ..entry });
        self.count += 1;
        self.bytes += u64::from(entry.len);
        self.newest = self.newest.max(entry.timestamp);
    }
}
