//! What a topic's queue stores for us: memory of the journal, places in spill files, connections.

use std::sync::Arc;

use nsq_journal::{Chunk, SpillRef};
use nsq_queue::Host;
use serde::{Deserialize, Serialize};

use crate::client::Client;

pub struct NsqHost;

impl Host for NsqHost {
    type Chunk = ChunkRef;
    type Page = Page;
    type Waker = Arc<Client>;
}

/// Equal when it is the same memory.
#[derive(Debug, Clone)]
pub struct ChunkRef(pub Arc<Chunk>);

impl PartialEq for ChunkRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A block in a spill file, as checkpoints keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub topic: u32,
    pub file: u32,
    pub offset: u64,
    pub len: u32,
}

impl From<SpillRef> for Page {
    fn from(place: SpillRef) -> Self {
        Self {
            topic: place.topic,
            file: place.file,
            offset: place.offset,
            len: place.len,
        }
    }
}

impl From<&Page> for SpillRef {
    fn from(page: &Page) -> Self {
        Self {
            topic: page.topic,
            file: page.file,
            offset: page.offset,
            len: page.len,
        }
    }
}
