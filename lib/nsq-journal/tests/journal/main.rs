//! The journal as its owner uses it, on a disk that does its worst.
#![allow(clippy::unwrap_used)] // Tests fail by panicking.

mod commit;
mod crash;
mod damage;
mod space;
mod world;
