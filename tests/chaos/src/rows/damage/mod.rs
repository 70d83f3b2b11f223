//! Damaged files: tails torn at every byte, flipped bits, segments that are gone, blank, swapped or
//! somebody else's. The real recovery on real files, and for a slice of them the real process.

mod bits;
mod node;
mod pristine;
mod segments;
mod tail;

pub use bits::run as bit_flips;
pub use segments::run as segments;
pub use tail::run as torn_tail;
