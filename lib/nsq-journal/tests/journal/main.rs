//! The journal as its owner uses it, on a disk that does its worst.

mod commit;
mod crash;
mod damage;
mod space;
mod world;
