//! What stands in a journal: records, positions, and lists with a bound.

use std::hash::{Hash, Hasher};

/// A place in a journal: how many records lie before it.
pub type Lsn = u8;

/// Messages of a world, at most.
pub const MESSAGES_MAX: usize = 4;
/// Channels of a world, at most.
pub const CHANNELS_MAX: u8 = 2;
/// Records of a journal, at most.
pub const JOURNAL_MAX: usize = 32;
/// Writes that are not synced, at most.
pub const TAIL_MAX: usize = 20;
/// Runs of a journal, at most.
pub const RUNS_MAX: usize = 8;

/// Channels, one bit each.
pub type Channels = u8;

/// A place in a journal, with the run that wrote what lies before it. Ordered by run, then place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub run: u8,
    pub lsn: Lsn,
}

/// A record of a node's own journal, as its peer is sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Record {
    /// Recycled, or unreadable: only its place is left.
    #[default]
    Gone,
    /// A run begins.
    Boot,
    /// A message was published; all channels wait for it.
    Publish(u8),
    /// A channel has finished a message.
    Finish(u8, u8),
    /// A message was taken over, or is listed; these channels are done with it.
    Import(u8, Channels),
    /// Everything with a base up to here is the peer's.
    Release(Lsn),
    /// Everything unfinished was imported again since.
    Listed(Lsn),
    /// A channel was emptied.
    Empty(u8),
}

impl Record {
    /// Cannot be undone in a copy.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Release(_) | Self::Listed(_) | Self::Empty(_))
    }
}

/// What a node writes: to its own journal, about its mirror, and about adoptions, in one order on one disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Write {
    /// Was not written after all.
    #[default]
    Nothing,
    Own(Record),
    /// A record of the peer's journal, from its run and place.
    Copied(u8, Lsn, Record),
    /// The mirror begins, or goes on, here; `whole`: nothing unfinished lies before.
    MirrorFrom {
        incarnation: u8,
        position: Position,
        whole: bool,
    },
    MirrorCut(Position),
    Adopt {
        incarnation: u8,
        from: Position,
        through: Position,
    },
    /// The position behind the last import.
    Adopted(Position),
    /// As `Adopted`, while imports are still to come: only without R10.
    AdoptedEarly(Position),
}

/// A list with a bound; what does not fit is noted, and ends the search with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<T, const N: usize> {
    len: u8,
    full: bool,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for Line<T, N> {
    fn default() -> Self {
        Self {
            len: 0,
            full: false,
            items: [T::default(); N],
        }
    }
}

impl<T: Copy + Default, const N: usize> Line<T, N> {
    pub fn len(&self) -> u8 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Something did not fit.
    pub fn is_overfull(&self) -> bool {
        self.full
    }

    pub fn items(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }

    pub fn get(&self, at: u8) -> Option<T> {
        self.items().get(usize::from(at)).copied()
    }

    pub fn set(&mut self, at: u8, item: T) {
        if at < self.len {
            self.items[usize::from(at)] = item;
        }
    }

    pub fn push(&mut self, item: T) {
        match self.items.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = item;
                self.len += 1;
            }
            None => self.full = true,
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<T: Hash, const N: usize> Hash for Line<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.len);
        self.items[..usize::from(self.len)]
            .iter()
            .for_each(|item| item.hash(state));
    }
}
