//! Nodes that are to go: what they say, and what moves their messages.

use k8s_openapi::api::batch::v1::Job;

use super::LocalCluster;
use crate::cluster::leaving::backlog;
use crate::cluster::names::Component;
use crate::cluster::object::WANTED_HASH;
use crate::cluster::observed::{Leaving, Observed, Relocation};
use crate::cluster::plan::surplus_pods;
use crate::cluster::validate::ValidatedCluster;

/// Where a node's messages are moved to.
pub struct Moving {
    /// Names of pods.
    pub to: Vec<String>,
    wanted_hash: String,
}

impl Moving {
    pub fn new(to: Vec<String>, job: &Job) -> Self {
        let annotations = job.metadata.annotations.as_ref();
        let hash = annotations.and_then(|annotations| annotations.get(WANTED_HASH));
        Self {
            to,
            wanted_hash: hash.cloned().unwrap_or_default(),
        }
    }
}

impl LocalCluster {
    pub(super) fn move_from(&mut self, pod: &str, moving: Option<Moving>) {
        if let Some(pod) = self.pods.get_mut(pod) {
            pod.moving = moving;
        }
    }

    /// What the nodes have said of draining.
    pub(super) fn observe_leaving(&mut self, valid: &ValidatedCluster, observed: &mut Observed) {
        let surplus = surplus_pods(valid, observed);
        self.sightings.keep_only(&surplus);
        for (name, pod) in &self.pods {
            let drains = pod.drain.as_ref().is_some_and(|said| said.draining);
            if pod.node.component == Component::Nsqd && drains && !surplus.contains(name) {
                observed.draining.push(name.clone());
            }
            observed
                .relocations
                .extend(pod.moving.as_ref().map(|moving| Relocation {
                    pod: name.clone(),
                    wanted_hash: moving.wanted_hash.clone(),
                    ..Relocation::default()
                }));
        }
        for name in surplus {
            let status = self.pods.get(&name).and_then(|pod| pod.drain.as_ref());
            let said = match status {
                Some(status) => Ok(backlog(status)),
                None => Err("it does not answer".to_owned()),
            };
            let draining = status.is_some_and(|status| status.draining);
            let state = self.sightings.record(&name, "", said, observed.now);
            observed.leaving.push(Leaving {
                pod: name,
                state,
                draining,
            });
        }
    }
}
