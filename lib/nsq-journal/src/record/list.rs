//! Lists of fixed-size items inside records: given as a slice by the writer, read in place by the reader.

use super::wire::{Fields, put_i64, put_u16, put_u32, put_u64};

/// An item with a fixed size on disk.
pub trait Item: Copy + Eq + std::fmt::Debug {
    /// Bytes on disk.
    const SIZE: usize;
    /// Appends the item.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads the item; `None` when the bytes run out.
    fn get(from: &mut Fields<'_>) -> Option<Self>;
}

/// A run of finished messages: `count` ids from `first_id` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id of the run.
    pub first_id: u64,
    /// Number of ids, at least 1.
    pub count: u64,
}

impl Item for IdRange {
    const SIZE: usize = 16;
    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.first_id);
        put_u64(out, self.count);
    }
    fn get(from: &mut Fields<'_>) -> Option<Self> {
        Some(IdRange {
            first_id: from.u64()?,
            count: from.u64()?,
        })
    }
}

/// A message put back, at once or for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued {
    /// Message id.
    pub id: u64,
    /// Deliveries so far.
    pub attempts: u16,
    /// When it is due, in nanoseconds since the Unix epoch; 0 = at once.
    pub due: i64,
}

impl Item for Requeued {
    const SIZE: usize = 18;
    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.id);
        put_u16(out, self.attempts);
        put_i64(out, self.due);
    }
    fn get(from: &mut Fields<'_>) -> Option<Self> {
        Some(Requeued {
            id: from.u64()?,
            attempts: from.u16()?,
            due: from.i64()?,
        })
    }
}

/// A channel's number.
impl Item for u32 {
    const SIZE: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        put_u32(out, *self);
    }
    fn get(from: &mut Fields<'_>) -> Option<Self> {
        from.u32()
    }
}

/// Items of one record, either the writer's slice or the bytes of a decoded record.
#[derive(Debug, Clone, Copy)]
pub enum List<'a, T> {
    /// What a writer hands in.
    Given(&'a [T]),
    /// What a reader gets; a whole number of items.
    Stored(&'a [u8]),
}

impl<T: Item> List<'_, T> {
    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            List::Given(items) => items.len(),
            List::Stored(bytes) => bytes.len() / T::SIZE,
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let (given, stored) = match *self {
            List::Given(items) => (items, &[][..]),
            List::Stored(bytes) => (&[][..], bytes),
        };
        let decoded = stored
            .chunks_exact(T::SIZE)
            .filter_map(|item| T::get(&mut Fields::new(item)));
        given.iter().copied().chain(decoded)
    }
}

impl<T: Item> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Item> Eq for List<'_, T> {}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        List::Given(items)
    }
}
