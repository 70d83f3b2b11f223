//! What is: the second input of planning. Filled by `observe`, by `dev`, or by a test.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::Component;
use super::object::Object;
use super::pulse::Pulse;

/// A cluster as it was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Observed {
    pub now: Timestamp,
    /// What the operator made before.
    pub objects: Vec<Object>,
    pub pods: Vec<PodState>,
    /// Pods' names whose volume claim is not bound: such a node has never run.
    pub unbound: Vec<String>,
    /// Nodes that the manifest no longer wants, and what they said of themselves just now.
    pub leaving: Vec<Leaving>,
    /// Pods' names of nodes that stay and take no messages: they were to be removed once.
    pub draining: Vec<String>,
    /// What moves messages off leaving nodes.
    pub relocations: Vec<Relocation>,
    /// What the nsqds of a replicated cluster say to probes.
    pub pulses: Vec<Pulse>,
    /// The machines that pods run on, or ran on.
    pub machines: Vec<Machine>,
    /// Volumes of pods that find no machine.
    pub claims: Vec<Claim>,
    /// What became of the certificate that cert-manager was asked for.
    pub certificate: CertificateState,
    /// All volumes, those of removed nodes too.
    pub volumes: Vec<Volume>,
}

/// A certificate of cert-manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum CertificateState {
    /// It was not asked for, or is not there.
    #[default]
    Missing,
    /// The API server does not know what that is.
    NoCertManager,
    /// It was never issued; a sentence why.
    Waiting { why: String },
    /// Its Secret is there.
    Issued {
        /// When it ends, if that is said.
        #[serde(default)]
        until: String,
    },
}

/// A Node of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Machine {
    pub name: String,
    pub uid: String,
    /// By which address its ports are reached; empty if nobody says.
    pub address: String,
    /// Its Node is there.
    pub exists: bool,
    pub ready: bool,
    /// Since when it is ready or not.
    pub since: Timestamp,
    /// It has the taint by which somebody says that it is off: node.kubernetes.io/out-of-service.
    pub out_of_service: bool,
    /// That taint is this operator's.
    pub tainted_by_us: bool,
    /// Its cloud says that it is off.
    pub shut_down: bool,
}

impl Machine {
    /// Nothing on it will ever speak again, says somebody who knows.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        !self.exists || self.out_of_service || self.shut_down
    }
}

/// The volume of a pod that finds no machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Claim {
    pub pod: String,
    /// The claim itself.
    pub name: String,
    pub uid: String,
    pub terminating: bool,
    /// The volume behind it.
    pub volume: String,
    /// It is kept when its claim is deleted.
    pub retained: bool,
    /// The only machine where it can be used; without it, any.
    pub machine: Option<String>,
    /// There is no volume behind the claim any more.
    pub lost: bool,
}

/// The volume of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    pub claim: String,
    /// What was asked for last.
    pub size: String,
}

/// What the container of a daemon does, by what the API server knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Process {
    /// It runs, says the kubelet; or said, if its machine is gone.
    #[default]
    Running,
    /// It is not there yet.
    Starting,
    /// It has ended and does not run.
    Ended,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodState {
    pub name: String,
    #[serde(default)]
    pub uid: String,
    pub component: Component,
    #[serde(default)]
    pub ready: bool,
    /// When it last became ready or unready, or was made.
    #[serde(default)]
    pub since: Timestamp,
    #[serde(default)]
    pub terminating: bool,
    /// Hash of the template that it runs.
    #[serde(default)]
    pub template_hash: Option<String>,
    /// `kubectl rollout restart` mark of the template that it runs.
    #[serde(default)]
    pub restarted_at: Option<String>,
    /// Whether publishers are sent to it.
    #[serde(default = "yes")]
    pub publishing: bool,
    /// host:port of its HTTP API.
    #[serde(default)]
    pub address: Option<String>,
    /// The machine that it was given.
    #[serde(default)]
    pub machine: Option<String>,
    /// No machine can take it.
    #[serde(default)]
    pub unplaced: bool,
    #[serde(default)]
    pub process: Process,
    /// It has a certificate.
    #[serde(default)]
    pub tls: bool,
    /// Why it cannot run, if somebody says so: the scheduler, the image pull, the last crash.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A node that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Leaving {
    pub pod: String,
    pub state: LeavingState,
    /// It takes no more messages.
    #[serde(default)]
    pub draining: bool,
}

/// What a leaving node holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum LeavingState {
    /// It could not be asked; a sentence why.
    Unknown(String),
    Holds(Backlog),
    /// Nothing, seen this many times in a row.
    Empty {
        sightings: u32,
    },
}

/// Messages that a node still holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backlog {
    /// Topics and channels that are not empty.
    pub places: u32,
    /// The one that holds most.
    pub topic: String,
    /// Without it, the messages wait in the topic itself, which has no channel or is paused.
    #[serde(default)]
    pub channel: Option<String>,
    pub waiting: i64,
    pub in_flight: i64,
    pub deferred: i64,
    /// Connections that consume from there.
    #[serde(default)]
    pub consumers: u64,
}

/// A Job that moves what a node has to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Relocation {
    /// The node that it empties.
    pub pod: String,
    /// Of the Job.
    pub uid: String,
    /// What was wanted of it when it was made.
    pub wanted_hash: String,
    pub terminating: bool,
    pub state: RelocationState,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What keeps it from running, or why it failed.
    pub problem: Option<String>,
}

/// How far a relocation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RelocationState {
    #[default]
    Running,
    /// It has moved everything there was when it looked last.
    Complete,
    /// Something is left, by [`Relocation::problem`].
    Failed,
}

fn yes() -> bool {
    true
}

impl Observed {
    /// The StatefulSets among the objects.
    pub fn stateful_sets(&self) -> impl Iterator<Item = &k8s_openapi::api::apps::v1::StatefulSet> {
        self.objects.iter().filter_map(|object| match object {
            Object::StatefulSet(set) => Some(set.as_ref()),
            _ => None,
        })
    }
}
