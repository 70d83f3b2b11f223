//! Two nodes that mirror each other, the links between them, and everything that can happen to
//! both: the promises of `docs/pairs.md` under fire.

mod director;
mod emptying;
mod finishes;
mod node;
mod people;
mod plan;
mod rest;
mod world;

pub use plan::PairPlan;
pub use world::{PairOutcome, run};
