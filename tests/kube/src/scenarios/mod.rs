//! What is shown, in this order: each scenario begins with the cluster that the one before it left.

pub mod failover;
pub mod install;
mod operator;
mod removal;
mod restarts;
mod scaling;
mod topics;

use anyhow::Result;

use crate::kubectl::Kubectl;

/// Where the chart is installed.
pub const OPERATOR_NAMESPACE: &str = "nsq-system";

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// Run even if others were asked for: they need it.
    pub always: bool,
    /// `Some`: why it cannot be run here.
    pub run: fn(&Kubectl) -> Result<Option<String>>,
}

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "install",
        about: "helm install brings up an operator that leads",
        always: true,
        run: install::install,
    },
    Scenario {
        name: "refusal",
        about: "the API server refuses bad manifests with a sentence",
        always: false,
        run: install::refusal,
    },
    Scenario {
        name: "ready",
        about: "the example becomes Ready and shows useful columns",
        always: true,
        run: install::ready,
    },
    Scenario {
        name: "serve",
        about: "messages go through the Services",
        always: false,
        run: restarts::serve,
    },
    Scenario {
        name: "topics",
        about: "NsqTopics are kept, repaired and deleted",
        always: false,
        run: topics::kept,
    },
    Scenario {
        name: "pod-deleted",
        about: "a deleted pod returns with its messages",
        always: false,
        run: restarts::pod_deleted,
    },
    Scenario {
        name: "container-killed",
        about: "a killed container returns with its messages",
        always: false,
        run: restarts::container_killed,
    },
    Scenario {
        name: "roll",
        about: "a changed option is rolled out one pod at a time, under traffic",
        always: false,
        run: restarts::roll,
    },
    Scenario {
        name: "broken-template",
        about: "a broken image stops at one pod and is cured by the manifest alone",
        always: false,
        run: restarts::broken_template,
    },
    Scenario {
        name: "scale",
        about: "kubectl scale adds a node, and removes it when it is empty",
        always: false,
        run: scaling::scale,
    },
    Scenario {
        name: "replicate",
        about: "replication is turned on under traffic, and every pair is mirrored",
        always: false,
        run: failover::replicate,
    },
    Scenario {
        name: "container-lost",
        about: "a container that does not come back: its peer delivers what it had",
        always: false,
        run: failover::container,
    },
    Scenario {
        name: "machine-lost",
        about: "a machine without power: its peer delivers what it had, and it hands over when it is back",
        always: false,
        run: failover::machine,
    },
    Scenario {
        name: "volume-lost",
        about: "a machine that is gone: another volume, mirrored anew, only on proof; then the other node is killed",
        always: false,
        run: failover::volume,
    },
    Scenario {
        name: "partitions",
        about: "a node cut off from its peer, from the API server, from everything",
        always: false,
        run: failover::partitions,
    },
    Scenario {
        name: "unreplicate",
        about: "replication is turned off under traffic",
        always: false,
        run: failover::unreplicate,
    },
    Scenario {
        name: "drift",
        about: "what somebody changes or deletes by hand comes back",
        always: false,
        run: operator::drift,
    },
    Scenario {
        name: "calls",
        about: "the operator may do what it does and nothing else",
        always: false,
        run: operator::calls,
    },
    Scenario {
        name: "operator-killed",
        about: "another operator takes over, a new one restarts nothing",
        always: false,
        run: operator::killed,
    },
    Scenario {
        name: "removal",
        about: "a deleted cluster leaves what the volume policy says",
        always: false,
        run: removal::removal,
    },
    Scenario {
        name: "uninstall",
        about: "helm uninstall leaves the resource definitions",
        always: false,
        run: removal::uninstall,
    },
];
