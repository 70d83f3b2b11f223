//! From what is declared and what each node holds to the calls that close the gap. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::Value;

use super::observed::{ClusterState, Held, NodeState, Observed};
use crate::api::{
    ConditionState, Conditions, DeletionPolicy, NsqTopic, NsqTopicSpec, NsqTopicStatus,
    TOPIC_FINALIZER, TopicSettings, is_paused, is_ready,
};
use crate::cluster::names::Component;
use crate::cluster::plan::{Event, EventKind};

/// Seconds until a topic that is as declared is looked at again: somebody may have deleted a channel by hand.
pub const QUIET_REQUEUE: u64 = 30;
/// Seconds until the calls just made are checked.
const BUSY_REQUEUE: u64 = 2;

/// Everything the next pass does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub finalizer: Option<FinalizerChange>,
    pub steps: Vec<Step>,
    /// `None` when the resource is about to go.
    pub status: Option<NsqTopicStatus>,
    pub events: Vec<Event>,
    pub requeue_seconds: u64,
}

impl Plan {
    /// Whether another look, right after the calls, tells how it is. What is deleted may come back to an nsqlookupd for
    /// a moment, so that is looked at later.
    #[must_use]
    pub fn is_seen_at_once(&self) -> bool {
        let deletes = |step: &Step| matches!(step.call, Call::DeleteTopic | Call::DeleteChannel(_));
        !self.steps.is_empty() && !self.steps.iter().any(deletes)
    }
}

/// What to do about our finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalizerChange {
    Add,
    Remove,
}

/// One call to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub node: String,
    pub component: Component,
    /// host:port of its HTTP API.
    pub address: String,
    pub call: Call,
}

/// A call of NSQ's HTTP API on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    CreateTopic,
    DeleteTopic,
    PauseTopic(bool),
    CreateChannel(String),
    DeleteChannel(String),
    PauseChannel(String, bool),
    /// All of its settings.
    SetTopic(Value),
    SetChannel(String, Value),
}

/// Plans the next pass.
#[must_use]
pub fn plan(topic: &NsqTopic, observed: &Observed) -> Plan {
    if topic.metadata.deletion_timestamp.is_some() {
        return leave(topic, observed);
    }
    let rule = Rule::of(topic, observed);
    let steps: Vec<Step> = match rule {
        Rule::Follow => observed
            .nodes
            .iter()
            .flat_map(|node| steps(topic, node))
            .collect(),
        _ => Vec::new(),
    };
    let status = status(topic, observed, rule);
    Plan {
        finalizer: finalizer(topic),
        requeue_seconds: if steps.is_empty() && (is_ready(&status.conditions) || is_told(observed))
        {
            QUIET_REQUEUE
        } else {
            BUSY_REQUEUE
        },
        events: events(topic, &status),
        steps,
        status: Some(status),
    }
}

/// What the topic waits for is told by its cluster: nobody has to look for it.
fn is_told(observed: &Observed) -> bool {
    observed.cluster != ClusterState::Present || observed.nodes.is_empty()
}

/// What governs a topic that is to stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Follow,
    Paused,
    Rivalled,
    NoCluster,
}

impl Rule {
    fn of(topic: &NsqTopic, observed: &Observed) -> Self {
        if observed.cluster != ClusterState::Present {
            Self::NoCluster
        } else if observed.rival.is_some() {
            Self::Rivalled
        } else if is_paused(topic) {
            Self::Paused
        } else {
            Self::Follow
        }
    }
}

/// The resource is being deleted.
fn leave(topic: &NsqTopic, observed: &Observed) -> Plan {
    let ours = has_finalizer(topic);
    let delete = ours
        && topic.spec.deletion_policy == DeletionPolicy::Delete
        && observed.cluster == ClusterState::Present
        && observed.rival.is_none();
    let gone = |node: &NodeState| matches!(&node.holds, Ok(held) if !held.exists);
    if !delete || observed.nodes.iter().all(gone) {
        return Plan {
            finalizer: ours.then_some(FinalizerChange::Remove),
            steps: Vec::new(),
            status: None,
            events: Vec::new(),
            requeue_seconds: QUIET_REQUEUE,
        };
    }
    // nsqds first: a topic that is still registered comes back to a lookup that has forgotten it.
    let mut holders: Vec<&NodeState> = observed
        .nodes
        .iter()
        .filter(|node| matches!(&node.holds, Ok(held) if held.exists))
        .collect();
    holders.sort_by_key(|node| std::cmp::Reverse(node.component));
    let deaf: Vec<String> = unreachable(observed);
    let message = match deaf.as_slice() {
        [] => "the topic is being deleted on every node".to_owned(),
        deaf => format!(
            "the topic is deleted but for nodes that cannot be asked: {}",
            deaf.join("; ")
        ),
    };
    let mut status = topic.status_or_default();
    status.conditions = conditions(topic, observed, (false, "Deleting", message), true);
    Plan {
        finalizer: None,
        steps: holders
            .into_iter()
            .map(|node| step(node, Call::DeleteTopic))
            .collect(),
        status: Some(status),
        events: Vec::new(),
        requeue_seconds: BUSY_REQUEUE,
    }
}

fn finalizer(topic: &NsqTopic) -> Option<FinalizerChange> {
    let wanted = topic.spec.deletion_policy == DeletionPolicy::Delete;
    match (wanted, has_finalizer(topic)) {
        (true, false) => Some(FinalizerChange::Add),
        (false, true) => Some(FinalizerChange::Remove),
        _ => None,
    }
}

fn has_finalizer(topic: &NsqTopic) -> bool {
    topic
        .finalizers()
        .iter()
        .any(|name| name == TOPIC_FINALIZER)
}

/// The calls that bring one node to what is declared.
fn steps(topic: &NsqTopic, node: &NodeState) -> Vec<Step> {
    let Ok(held) = &node.holds else {
        return Vec::new();
    };
    let spec = &topic.spec;
    let mut calls = Vec::new();
    if !held.exists {
        calls.push(Call::CreateTopic);
    }
    for channel in &spec.channels {
        if !held.channels.contains_key(&channel.name) {
            calls.push(Call::CreateChannel(channel.name.clone()));
        }
    }
    for channel in to_delete(topic) {
        if held.channels.contains_key(&channel) {
            calls.push(Call::DeleteChannel(channel));
        }
    }
    if node.component == Component::Nsqd {
        calls.extend(pauses(spec, held));
        calls.extend(settings(spec, held));
    }
    calls.into_iter().map(|call| step(node, call)).collect()
}

fn pauses(spec: &NsqTopicSpec, held: &Held) -> Vec<Call> {
    let topic = spec
        .paused
        .filter(|paused| *paused != held.paused)
        .map(Call::PauseTopic);
    let channels = spec.channels.iter().filter_map(|channel| {
        let is = held.channels.get(&channel.name).copied().unwrap_or(false);
        let paused = channel.paused.filter(|paused| *paused != is)?;
        Some(Call::PauseChannel(channel.name.clone(), paused))
    });
    topic.into_iter().chain(channels).collect()
}

/// What the manifest does not speak of is nobody's business but whoever set it.
fn settings(spec: &NsqTopicSpec, held: &Held) -> Vec<Call> {
    let topic = spec.settings.as_ref().map(TopicSettings::to_nsqd);
    let topic = topic.filter(|wanted| !same_settings(wanted, &held.settings));
    let channels = spec.channels.iter().filter_map(|channel| {
        let wanted = channel.settings.as_ref()?.to_nsqd();
        let is = held.channel_settings.get(&channel.name);
        let differs = !same_settings(&wanted, is.unwrap_or(&Value::Null));
        differs.then(|| Call::SetChannel(channel.name.clone(), wanted))
    });
    topic
        .map(Call::SetTopic)
        .into_iter()
        .chain(channels)
        .collect()
}

/// A key that is `null` is as good as one that is left out.
fn same_settings(left: &Value, right: &Value) -> bool {
    let set = |settings: &Value| -> BTreeMap<String, Value> {
        let entries = settings.as_object().into_iter().flatten();
        let entries = entries.filter(|(_, value)| !value.is_null());
        entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    set(left) == set(right)
}

/// Channels that were declared once, are not any more, and are not to be kept.
fn to_delete(topic: &NsqTopic) -> Vec<String> {
    let spec = &topic.spec;
    if spec.deletion_policy != DeletionPolicy::Delete {
        return Vec::new();
    }
    let before = topic.status_or_default().channels;
    let dropped = |name: &String| !spec.channels.iter().any(|channel| channel.name == *name);
    before.into_iter().filter(dropped).collect()
}

fn step(node: &NodeState, call: Call) -> Step {
    Step {
        node: node.name.clone(),
        component: node.component,
        address: node.address.clone(),
        call,
    }
}

fn unreachable(observed: &Observed) -> Vec<String> {
    observed
        .nodes
        .iter()
        .filter_map(|node| Some(format!("{}: {}", node.name, node.holds.as_ref().err()?)))
        .collect()
}

fn status(topic: &NsqTopic, observed: &Observed, rule: Rule) -> NsqTopicStatus {
    let nsqds = || {
        let nodes = observed.nodes.iter();
        nodes.filter(|node| node.component == Component::Nsqd)
    };
    let is_done = |node: &NodeState| node.holds.is_ok() && steps(topic, node).is_empty();
    let (done, all) = (
        nsqds().filter(|node| is_done(node)).count(),
        nsqds().count(),
    );
    let every_node_done = observed.nodes.iter().all(is_done);
    let deaf = unreachable(observed);
    let state = match (rule, &observed.rival) {
        (Rule::NoCluster, _) => {
            let message = format!("there is no NsqCluster {}", topic.spec.cluster);
            (false, "ClusterNotFound", message)
        }
        (Rule::Rivalled, Some(rival)) => {
            let message = format!("the NsqTopic {rival} declares the same topic and is older");
            (false, "Conflict", message)
        }
        _ if all == 0 => (false, "NoNodes", "the cluster has no nsqd yet".to_owned()),
        _ if !deaf.is_empty() => (false, "NodesUnreachable", deaf.join("; ")),
        _ if every_node_done => (true, "Ready", format!("as declared on {all} nsqd")),
        (Rule::Paused, _) => {
            let message = "the annotation nsq.io/paused is set: nothing is changed".to_owned();
            (false, "Paused", message)
        }
        _ => (
            false,
            "Applying",
            format!("as declared on {done} of {all} nsqd"),
        ),
    };
    let mut channels: Vec<String> = topic.spec.channels.iter().map(|c| c.name.clone()).collect();
    if !every_node_done {
        channels.extend(to_delete(topic));
    }
    let moving = !state.0 && rule == Rule::Follow;
    NsqTopicStatus {
        observed_generation: topic.metadata.generation,
        topic: topic.topic_name(),
        channels,
        nodes: format!("{done}/{all}"),
        conditions: conditions(topic, observed, state, moving),
    }
}

fn conditions(
    topic: &NsqTopic,
    observed: &Observed,
    (ready, reason, message): (bool, &'static str, String),
    moving: bool,
) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let stuck = !ready && !moving;
    let states = [
        ConditionState::new("Ready", ready, reason, message.clone()),
        match moving {
            true => ConditionState::new("Reconciling", true, reason, message.clone()),
            false => ConditionState::new("Reconciling", false, "UpToDate", ""),
        },
        match stuck {
            true => ConditionState::new("Stalled", true, reason, message),
            false => ConditionState::new("Stalled", false, "NotStalled", ""),
        },
    ];
    let previous = topic.status_or_default().conditions;
    Conditions::new(&previous, topic.metadata.generation, observed.now).next(&states)
}

fn events(topic: &NsqTopic, status: &NsqTopicStatus) -> Vec<Event> {
    let before = topic.status_or_default();
    let reason_of = |status: &NsqTopicStatus| {
        let condition = status.conditions.iter().find(|c| c.type_ == "Ready")?;
        Some((condition.reason.clone(), condition.message.clone()))
    };
    let (was, is) = (reason_of(&before), reason_of(status));
    match is {
        Some((reason, note)) if was.map(|was| was.0).as_ref() != Some(&reason) => {
            let (kind, reason) = match reason.as_str() {
                "Ready" => (EventKind::Normal, "Ready"),
                "ClusterNotFound" => (EventKind::Warning, "ClusterNotFound"),
                "Conflict" => (EventKind::Warning, "Conflict"),
                "NodesUnreachable" => (EventKind::Warning, "NodesUnreachable"),
                _ => return Vec::new(),
            };
            vec![Event {
                kind,
                reason,
                note,
                pod: None,
            }]
        }
        _ => Vec::new(),
    }
}
