//! Two nodes that mirror each other, the links between them, and everything that can happen to
//! both: the promises of `docs/pairs.md` under fire.

mod director;
mod faults;
mod finishes;
mod node;
mod people;
mod plan;
mod removals;
mod rest;
mod spite;
mod world;

pub use plan::PairPlan;
pub use world::{PairOutcome, run};
