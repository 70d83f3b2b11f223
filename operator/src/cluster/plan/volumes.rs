//! Volumes that are to grow: each claim is told, then the set is made anew around its pods, for the size that a set
//! gives to new volumes cannot be changed. No pod is restarted.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::super::build;
use super::super::names::{claim, pair_of_set};
use super::super::object::{Object, quantity};
use super::super::observed::{Observed, Volume};
use super::super::validate::ValidatedCluster;
use super::Action;

/// Whether the set makes smaller volumes than are wanted.
fn is_outgrown(cluster: &ValidatedCluster, set: &StatefulSet) -> bool {
    let made = build::claim_size(set).and_then(|size| quantity(&size.0));
    made.is_some() && made < quantity(&cluster.storage.size.0)
}

fn outgrown<'a>(
    cluster: &'a ValidatedCluster,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a StatefulSet> {
    observed.stateful_sets().filter(|set| {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        pair_of_set(&cluster.name, name).is_some() && is_outgrown(cluster, set)
    })
}

/// The next steps: claims first; a set once all of its claims have been told.
pub fn decide(cluster: &ValidatedCluster, observed: &Observed) -> Vec<Action> {
    let wanted = &cluster.storage.size;
    let is_small = |size: &str| quantity(size) < quantity(&wanted.0);
    let small = observed
        .volumes
        .iter()
        .filter(|volume| is_small(&volume.size));
    let mut actions: Vec<Action> = small
        .map(|volume| Action::GrowVolume {
            claim: volume.claim.clone(),
            size: wanted.0.clone(),
        })
        .collect();
    // One at a time; and none that sleeps, for it remembers how many pods it had.
    let ready = outgrown(cluster, observed).find(|set| {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let prefix = claim(&format!("{name}-"));
        let own = |volume: &&Volume| volume.claim.starts_with(&prefix);
        let mut own = observed.volumes.iter().filter(own);
        own.all(|volume| !is_small(&volume.size)) && build::nodes_asleep(set).is_none()
    });
    actions.extend(
        ready
            .filter(|set| set.metadata.deletion_timestamp.is_none())
            .map(|set| Action::ReplaceSet {
                set: set.metadata.name.clone().unwrap_or_default(),
                uid: set.metadata.uid.clone().unwrap_or_default(),
            }),
    );
    actions
}

/// What can be wanted of sets that are there: the size they have, until they are made anew. So a volume that does not
/// grow holds up nothing else.
pub fn as_they_are(
    cluster: &ValidatedCluster,
    wanted: Vec<Object>,
    observed: &Observed,
) -> Vec<Object> {
    let live_size = |name: Option<&str>| {
        let mut sets = observed.stateful_sets();
        let live = sets.find(|set| set.metadata.name.as_deref() == name)?;
        build::claim_size(live).cloned()
    };
    let settle = |object: Object| match object {
        Object::StatefulSet(set) => match live_size(set.metadata.name.as_deref()) {
            Some(size) if quantity(&size.0) != quantity(&cluster.storage.size.0) => {
                let set = build::with_claim_size(*set, &size);
                Object::StatefulSet(Box::new(set)).sealed()
            }
            _ => Object::StatefulSet(set),
        },
        other => other,
    };
    wanted.into_iter().map(settle).collect()
}
