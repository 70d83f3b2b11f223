//! Hibernation: no pod runs, everything else stays.

use super::super::build;
use super::super::observed::Observed;
use super::super::validate::ValidatedCluster;
use super::running_nodes;
use super::scale::Scaling;

/// Whether no pod is to run now. Nodes that are to be removed are removed first, for nobody would empty them
/// afterwards; a cluster that sleeps already is not woken for that.
pub fn is_due(cluster: &ValidatedCluster, observed: &Observed, scaling: &Scaling) -> bool {
    let sleeps = observed
        .stateful_sets()
        .any(|set| build::nodes_asleep(set).is_some());
    let leaving = scaling.surplus > 0 || !scaling.removed.is_empty();
    cluster.hibernate && (sleeps || !leaving)
}

/// As many nodes as there were, or are wanted at first; nobody is asked for anything.
pub fn keeping(cluster: &ValidatedCluster, observed: &Observed) -> Scaling {
    let nodes = match running_nodes(cluster, observed) {
        0 => cluster.nsqd.replicas,
        running => running,
    };
    Scaling {
        nodes,
        ..Scaling::default()
    }
}
