//! What is: the second input of planning. Filled by `observe`, by `dev`, or by a test.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::Component;
use super::object::Object;

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
