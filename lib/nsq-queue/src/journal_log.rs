/// What happened to a channel and has not been journalled yet. The host takes it every few
/// milliseconds: a crash then costs duplicates of the last finishes, never a message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ChannelLog {
    /// Finished ids: (first, count), neighbours merged.
    pub finished: Vec<(u64, u64)>,
    pub requeued: Vec<Requeued>,
    /// Everything up to this id was delivered at least once.
    pub delivered_through: Option<u64>,
}

/// A message that waits again: with its attempts so far, not before `due` (0 = at once).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued {
    pub id: u64,
    pub attempts: u16,
    pub due: i64,
}

impl ChannelLog {
    pub(crate) fn finish(&mut self, id: u64) {
        match self.finished.last_mut() {
            Some(last) if last.0 + last.1 == id => last.1 += 1,
            _ => self.finished.push((id, 1)),
        }
    }

    pub(crate) fn finish_range(&mut self, first: u64, count: u64) {
        match self.finished.last_mut() {
            Some(last) if last.0 + last.1 == first => last.1 += count,
            _ => self.finished.push((first, count)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.requeued.is_empty() && self.delivered_through.is_none()
    }
}
