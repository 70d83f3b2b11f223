//! Messages that move to other nodes, identity kept: this node is the source they leave, or a target they come to. What
//! is promised, and why it can be killed at any point, is in `docs/decisions/0004-relocation.md`.

mod source;
mod target;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use source::Source;
pub(crate) use target::Target;

/// Of a node.
#[derive(Debug, Default)]
pub(crate) struct Relocation {
    /// The latest source link: an older one is void.
    pub(crate) link: AtomicU64,
    /// Messages that left, and that came, since the start.
    pub(crate) moved: AtomicU64,
    pub(crate) taken: AtomicU64,
}

impl Relocation {
    /// Messages that left, and that came.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.moved.load(Ordering::Relaxed),
            self.taken.load(Ordering::Relaxed),
        )
    }
}

/// What the source and the target must agree on before the source lets go.
fn checksum(id: u64, timestamp: i64, body: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(&id.to_be_bytes()), &timestamp.to_be_bytes());
    crc32c::crc32c_append(head, body)
}
