//! The protocol of replication pairs as a model that is searched whole, within bounds: `docs/pairs.md` explains the
//! protocol, `docs/pairs-model.md` the model.
//!
//! [`world`] bounds, [`step`] moves, [`faults`] break, [`judge`] complains, [`search`] looks at everything, [`tell`] shows a history.

pub mod adoption;
pub mod faults;
pub mod judge;
pub mod link;
pub mod record;
pub mod rules;
pub mod search;
pub mod state;
pub mod step;
pub mod store;
pub mod tell;
pub mod world;
