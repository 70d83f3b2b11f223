//! Disruption budgets: a node drain takes one node of a pair at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{self, Labels};
use super::metadata;
use crate::cluster::names::{self, Component, PAIR_SIZE};
use crate::cluster::validate::ValidatedCluster;

/// One per full pair, and one for the nsqlookupds. A node that stands alone gets none: a budget of one pod
/// would block the drain of its machine for ever.
pub(super) fn all(cluster: &ValidatedCluster, nodes: u32) -> Vec<PodDisruptionBudget> {
    let mut budgets = Vec::new();
    if cluster.nsqlookupd.replicas >= 2 {
        budgets.push(budget(
            cluster,
            names::nsqlookupd_set(&cluster.name),
            Component::Nsqlookupd,
            labels::selector(&cluster.name, Some(Component::Nsqlookupd)),
        ));
    }
    for pair in 0..names::pairs(nodes) {
        if names::nodes_of_pair(pair, nodes) == PAIR_SIZE {
            budgets.push(budget(
                cluster,
                names::nsqd_set(&cluster.name, pair),
                Component::Nsqd,
                labels::pair_selector(&cluster.name, pair),
            ));
        }
    }
    budgets
}

fn budget(
    cluster: &ValidatedCluster,
    name: String,
    component: Component,
    selector: Labels,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(cluster, name, Some(component)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            }),
            // A node that is down anyway must not hold up the drain of its machine.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
