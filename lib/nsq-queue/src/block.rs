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
    /// Journal position behind its record, counted from the block's first.
    pub base: u32,
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
    /// Journal positions behind the records of the first and the last message.
    pub first_base: u64,
    pub last_base: u64,
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

    /// `base` as an entry keeps it.
    pub(crate) fn base_offset(&self, base: u64) -> u32 {
        u32::try_from(base.saturating_sub(self.first_base)).unwrap_or(u32::MAX)
    }

    /// Whether a message with this base fits behind the others.
    pub(crate) fn reaches(&self, base: u64) -> bool {
        base >= self.last_base && base - self.first_base <= u64::from(u32::MAX)
    }

    /// The base of a message, if it is known exactly; else that of the block's last.
    pub(crate) fn base_of(&self, pos: u64) -> u64 {
        let index = (pos - self.first_pos) as usize;
        let entry = self
            .content
            .as_ref()
            .and_then(|content| content.entries.get(index));
        entry.map_or(self.last_base, |entry| {
            (self.first_base + u64::from(entry.base)).min(self.last_base)
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= BLOCK_MESSAGES || self.bytes >= BLOCK_BYTES
    }

    /// Takes `count` messages that follow those it has.
    pub(crate) fn push(&mut self, mut entry: Entry, base: u64, chunk: &H::Chunk) {
        self.last_base = base;
        entry.base = self.base_offset(base);
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
