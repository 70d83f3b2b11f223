//! Labels: how the operator, the Services and people find what belongs to a cluster.

use std::collections::BTreeMap;

use crate::cluster::names::Component;

pub const NAME: &str = "app.kubernetes.io/name";
pub const INSTANCE: &str = "app.kubernetes.io/instance";
pub const COMPONENT: &str = "app.kubernetes.io/component";
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "nsq-operator";
/// Number of the pair, on its pods and its disruption budget.
pub const PAIR: &str = "nsq.io/pair";
/// `true` on every nsqd pod that publishers may be sent to. Taken off a node that is to be removed.
pub const PUBLISH: &str = "nsq.io/publish";

/// On the Services by which those outside come in.
pub const EXTERNAL: &str = "nsq.io/external";

pub type Labels = BTreeMap<String, String>;

/// Labels of everything that belongs to the cluster, or to one component of it.
pub fn of(cluster: &str, component: Option<Component>) -> Labels {
    let mut labels = selector(cluster, component);
    labels.insert(NAME.to_owned(), "nsq".to_owned());
    labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    labels
}

/// The labels by which pods are selected; never changed, for selectors cannot be.
pub fn selector(cluster: &str, component: Option<Component>) -> Labels {
    let mut labels = Labels::from([(INSTANCE.to_owned(), cluster.to_owned())]);
    if let Some(component) = component {
        labels.insert(COMPONENT.to_owned(), component.to_string());
    }
    labels
}

/// Labels of one pair's pods.
pub fn of_pair(cluster: &str, pair: u32) -> Labels {
    with(of(cluster, Some(Component::Nsqd)), PAIR, &pair.to_string())
}

/// What selects one pair's pods.
pub fn pair_selector(cluster: &str, pair: u32) -> Labels {
    with(
        selector(cluster, Some(Component::Nsqd)),
        PAIR,
        &pair.to_string(),
    )
}

pub fn with(mut labels: Labels, key: &str, value: &str) -> Labels {
    labels.insert(key.to_owned(), value.to_owned());
    labels
}

/// A label selector, as text, for everything that the operator made for the cluster.
#[must_use]
pub fn of_cluster(cluster: &str) -> String {
    format!("{INSTANCE}={cluster},{MANAGED_BY}={OPERATOR}")
}

/// A label selector, as text, for the nsqd pods of the cluster.
#[must_use]
pub fn nsqd_selector(cluster: &str) -> String {
    format!("{INSTANCE}={cluster},{COMPONENT}={}", Component::Nsqd)
}
