//! The real session, queue and journal of nsqd in virtual time, over a disk that keeps only what
//! was synced. Publishers and consumers talk to it through pipes; a director kills it, cuts its
//! power, fills its disk and fails its syncs; the auditor judges. One seed decides everything.

#![forbid(unsafe_code)]

mod client;
mod consumer;
mod course;
mod director;
mod node;
pub mod pair;
mod plan;
mod publisher;
mod world;

pub use plan::{Level, Plan};
pub use world::{Outcome, run};
