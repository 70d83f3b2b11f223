//! The controller of `NsqCluster`.

mod act;
pub mod apply;
pub mod build;
mod certificate;
pub mod controller;
pub mod flags;
pub mod leaving;
pub mod machines;
pub mod names;
pub mod object;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod pods;
pub mod pulse;
pub mod relocations;
pub mod validate;

use crate::api::NsqCluster;

/// The pure middle of every pass: validate, then plan, or say what is wrong.
#[must_use]
pub fn decide(cluster: &NsqCluster, observed: &observed::Observed) -> plan::Plan {
    let previous = cluster.status_or_default();
    match validate::validate(cluster) {
        Ok(valid) => plan::plan(&valid, &previous, observed),
        Err(invalid) => {
            let generation = cluster.metadata.generation;
            plan::refuse(generation, &invalid, &previous, observed.now)
        }
    }
}
