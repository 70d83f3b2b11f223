//! What is shown, in this order: each scenario begins with the cluster that the one before it left.

mod access;
mod autoscale;
mod bridge;
mod certificate;
mod changes;
mod crowd;
pub mod failover;
pub mod install;
mod operator;
mod outside;
mod pairs;
mod removal;
mod restarts;
mod scaling;
mod tokens;
mod topics;
mod trouble;

use anyhow::Result;

use crate::kubectl::Kubectl;

/// Where the chart is installed.
pub const OPERATOR_NAMESPACE: &str = "nsq-system";
/// Label of all nsqd pods.
const NSQD: &str = "app.kubernetes.io/component=nsqd";
/// Label of all pods of clusters.
const NODES: &str = "app.kubernetes.io/component in (nsqd,nsqlookupd)";

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub when: When,
    /// `Some`: why it cannot be run here.
    pub run: fn(&Kubectl) -> Result<Option<String>>,
}

/// When a scenario is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Even if others were asked for: they need it.
    Always,
    /// Unless others were asked for.
    Usually,
    /// It takes long: if it was asked for, by name or with all others. Its nodes are pairs, so `replicate` is run first.
    OnPairs,
    /// It takes long, and any nodes will do.
    Asked,
}

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "install",
        about: "helm install brings up an operator that leads",
        when: When::Always,
        run: install::install,
    },
    Scenario {
        name: "refusal",
        about: "the API server refuses bad manifests with a sentence",
        when: When::Usually,
        run: install::refusal,
    },
    Scenario {
        name: "ready",
        about: "the example becomes Ready and shows useful columns",
        when: When::Always,
        run: install::ready,
    },
    Scenario {
        name: "serve",
        about: "messages go through the Services",
        when: When::Usually,
        run: restarts::serve,
    },
    Scenario {
        name: "topics",
        about: "NsqTopics are kept, repaired and deleted",
        when: When::Usually,
        run: topics::kept,
    },
    Scenario {
        name: "pod-deleted",
        about: "a deleted pod returns with its messages",
        when: When::Usually,
        run: restarts::pod_deleted,
    },
    Scenario {
        name: "container-killed",
        about: "a killed container returns with its messages",
        when: When::Usually,
        run: restarts::container_killed,
    },
    Scenario {
        name: "roll",
        about: "a changed option is rolled out one pod at a time, under traffic",
        when: When::Usually,
        run: restarts::roll,
    },
    Scenario {
        name: "broken-template",
        about: "a broken image stops at one pod and is cured by the manifest alone",
        when: When::Usually,
        run: restarts::broken_template,
    },
    Scenario {
        name: "scale",
        about: "kubectl scale adds a node and removes it: what it has is moved to those that stay",
        when: When::Usually,
        run: scaling::scale,
    },
    Scenario {
        name: "external",
        about: "clients outside of the cluster's network publish and consume; the way in is opened and closed",
        when: When::Asked,
        run: outside::external,
    },
    Scenario {
        name: "tokens",
        about: "HTTP APIs that ask for a token, which the operator has, and consumers need not",
        when: When::Asked,
        run: tokens::tokens,
    },
    Scenario {
        name: "autoscale",
        about: "a HorizontalPodAutoscaler on the scale subresource",
        when: When::Asked,
        run: autoscale::autoscale,
    },
    Scenario {
        name: "rebalance",
        about: "what a node has is moved to the others on request",
        when: When::Asked,
        run: autoscale::rebalance,
    },
    Scenario {
        name: "bridge",
        about: "topics are carried over to another cluster, stopped and restarted on the way, and both sides fail",
        when: When::Asked,
        run: bridge::bridge,
    },
    Scenario {
        name: "crowd",
        about: "50 clusters and 500 topics on pretended nodes: what the operator uses at rest",
        when: When::Asked,
        run: crowd::crowd,
    },
    Scenario {
        name: "replicate",
        about: "replication is turned on under traffic, and every pair is mirrored",
        when: When::Usually,
        run: failover::replicate,
    },
    Scenario {
        name: "container-lost",
        about: "a container that does not come back: its peer delivers what it had",
        when: When::Usually,
        run: failover::container,
    },
    Scenario {
        name: "roll-pair",
        about: "an option, a rollout restart and a broken image: one node of a pair at a time, under load",
        when: When::OnPairs,
        run: changes::roll_pair,
    },
    Scenario {
        name: "grow",
        about: "volumes grow, and no pod is restarted",
        when: When::Usually,
        run: changes::grow,
    },
    Scenario {
        name: "hibernate",
        about: "no pod runs for a while; nothing is lost",
        when: When::OnPairs,
        run: changes::hibernate,
    },
    Scenario {
        name: "scale-pairs",
        about: "2 -> 6 -> 4 -> 2 nodes under traffic, with a channel nobody consumes: nothing is lost, identities stay",
        when: When::OnPairs,
        run: pairs::six,
    },
    Scenario {
        name: "scale-million",
        about: "a node with a million messages is removed, half of them on a channel nobody consumes",
        when: When::OnPairs,
        run: pairs::million,
    },
    Scenario {
        name: "certificate",
        about: "a certificate that cert-manager is asked for, and its renewal: no connection is lost",
        when: When::OnPairs,
        run: certificate::issued,
    },
    Scenario {
        name: "tls",
        about: "certificates on every node and between them, and renewed ones without a restart, under load",
        when: When::OnPairs,
        run: access::tls,
    },
    Scenario {
        name: "operator-steps",
        about: "the operator is killed again and again while pairs come, restart and go, under load",
        when: When::OnPairs,
        run: trouble::operator,
    },
    Scenario {
        name: "api-outage",
        about: "a minute without the API server, and a container dies meanwhile",
        when: When::OnPairs,
        run: trouble::api_outage,
    },
    Scenario {
        name: "both-lost",
        about: "both nodes of a pair are killed, one after the other",
        when: When::OnPairs,
        run: trouble::both,
    },
    Scenario {
        name: "full-disk",
        about: "a node whose disk is full: publishers go elsewhere, and come back when there is room",
        when: When::OnPairs,
        run: trouble::full_disk,
    },
    Scenario {
        name: "machine-lost",
        about: "a machine without power: its peer delivers what it had, and it hands over when it is back",
        when: When::OnPairs,
        run: failover::machine,
    },
    Scenario {
        name: "volume-lost",
        about: "a machine that is gone: another volume, mirrored anew, only on proof; then the other node is killed",
        when: When::OnPairs,
        run: failover::volume,
    },
    Scenario {
        name: "partitions",
        about: "a node cut off from its peer, from the API server, from everything",
        when: When::OnPairs,
        run: failover::partitions,
    },
    Scenario {
        name: "unreplicate",
        about: "replication is turned off under traffic",
        when: When::Usually,
        run: failover::unreplicate,
    },
    Scenario {
        name: "drift",
        about: "what somebody changes or deletes by hand comes back",
        when: When::Usually,
        run: operator::drift,
    },
    Scenario {
        name: "calls",
        about: "the operator may do what it does and nothing else",
        when: When::Usually,
        run: operator::calls,
    },
    Scenario {
        name: "operator-killed",
        about: "another operator takes over, a new one restarts nothing",
        when: When::Usually,
        run: operator::killed,
    },
    Scenario {
        name: "removal",
        about: "a deleted cluster leaves what the volume policy says",
        when: When::Usually,
        run: removal::removal,
    },
    Scenario {
        name: "uninstall",
        about: "helm uninstall leaves the resource definitions",
        when: When::Usually,
        run: removal::uninstall,
    },
];
