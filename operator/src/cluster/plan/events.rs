//! What people are told in `kubectl describe`: changes, never states.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::Action;
use super::scale::Scaling;
use crate::api::NsqClusterStatus;

/// Normal or a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventKind {
    Normal,
    Warning,
}

/// One event. The API folds events of one reason into one, so each kind of thing has its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub kind: EventKind,
    pub reason: &'static str,
    pub note: String,
    /// The pod it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

impl Event {
    /// About the cluster as a whole.
    #[must_use]
    pub fn warning(reason: &'static str, note: String) -> Self {
        Self {
            kind: EventKind::Warning,
            reason,
            note,
            pod: None,
        }
    }
}

/// Conditions whose turning is told: type, what it turns to, kind and reason of the event.
const TURNS: [(&str, &str, EventKind, &str); 7] = [
    ("Mirrored", "True", EventKind::Normal, "Mirrored"),
    ("Mirrored", "False", EventKind::Warning, "NotMirrored"),
    ("Ready", "True", EventKind::Normal, "Ready"),
    ("Degraded", "True", EventKind::Warning, "Degraded"),
    ("Degraded", "False", EventKind::Normal, "Recovered"),
    ("DrainBlocked", "True", EventKind::Warning, "DrainBlocked"),
    ("Stalled", "True", EventKind::Warning, "Stalled"),
];

pub fn events(
    previous: &NsqClusterStatus,
    next: &NsqClusterStatus,
    actions: &[Action],
    scaling: &Scaling,
) -> Vec<Event> {
    let mut events: Vec<Event> = TURNS
        .iter()
        .filter_map(|(type_, to, kind, reason)| {
            let was = find(&previous.conditions, type_).map(|condition| condition.status.as_str());
            let is = find(&next.conditions, type_)?;
            let first = was.is_none() && *to == "False";
            (is.status == *to && was != Some(to) && !first).then(|| Event {
                kind: *kind,
                reason,
                note: is.message.clone(),
                pod: None,
            })
        })
        .collect();
    let told = |action: &&Action| !matches!(action, Action::EndRelocation { .. });
    events.extend(actions.iter().filter(told).map(of_action));
    events.extend(scaling.removed.iter().map(|pod| Event {
        kind: EventKind::Normal,
        reason: "RemovingNode",
        note: format!("{pod} holds nothing and is removed"),
        pod: Some(pod.clone()),
    }));
    events
}

fn of_action(action: &Action) -> Event {
    let (kind, reason, note) = told(action);
    Event {
        kind,
        reason,
        note,
        pod: match action {
            Action::Taint { .. }
            | Action::RetainVolume { .. }
            | Action::GrowVolume { .. }
            | Action::ReplaceSet { .. } => None,
            Action::Restart { pod, .. }
            | Action::Publish { pod, .. }
            | Action::Drain { pod, .. }
            | Action::Relocate { pod, .. }
            | Action::EndRelocation { pod, .. }
            | Action::Hide { pod, .. }
            | Action::Adopt { pod, .. }
            | Action::ForceDelete { pod, .. }
            | Action::ReplaceVolume { pod, .. } => Some(pod.clone()),
        },
    }
}

fn told(action: &Action) -> (EventKind, &'static str, String) {
    use EventKind::{Normal, Warning};
    match action {
        Action::Restart { pod, reason, .. } => {
            (Normal, "RestartingPod", format!("{pod}: {reason}"))
        }
        Action::Publish { pod, publish, .. } if *publish => {
            let note = format!("publishers are sent to {pod} again");
            (Normal, "ResumingPublish", note)
        }
        Action::Publish { pod, .. } => {
            let note = format!(
                "publishers are no longer sent to {pod}: it is to be removed or does not answer"
            );
            (Normal, "StoppingPublish", note)
        }
        Action::Drain { pod, drain, .. } if *drain => (
            Normal,
            "Draining",
            format!("{pod} is to be removed and takes no more messages"),
        ),
        Action::Drain { pod, .. } => (
            Normal,
            "DrainingEnds",
            format!("{pod} is to stay and takes messages again"),
        ),
        Action::Relocate { pod, .. } => {
            let note = format!("what {pod} still has is moved to the nodes that stay");
            (Normal, "Relocating", note)
        }
        Action::EndRelocation { pod, .. } => (
            Normal,
            "RelocationEnds",
            format!("no more is moved off {pod}"),
        ),
        Action::Hide { pod, .. } => {
            let note = format!("{pod} does not answer: consumers are no longer sent to it");
            (Warning, "HidingNode", note)
        }
        Action::Adopt { pod, node, .. } => {
            let note = format!("{node} does not answer: {pod} adopts its messages");
            (Warning, "Adopting", note)
        }
        other => told_of_others(other),
    }
}

/// Of machines, volumes and sets.
fn told_of_others(action: &Action) -> (EventKind, &'static str, String) {
    use EventKind::{Normal, Warning};
    match action {
        Action::ForceDelete { pod, reason, .. } => {
            (Warning, "ForceDeletingPod", format!("{pod}: {reason}"))
        }
        Action::Taint {
            machine,
            out_of_service,
            ..
        } if *out_of_service => {
            let note = format!(
                "machine {machine} does not answer and nodeLossPolicy is OutOfServiceTaint: it gets that taint"
            );
            (Warning, "TaintingMachine", note)
        }
        Action::Taint { machine, .. } => (
            Normal,
            "UntaintingMachine",
            format!("machine {machine} is back"),
        ),
        Action::GrowVolume { claim, size } => (
            Normal,
            "GrowingVolume",
            format!("{claim} is to have {size}"),
        ),
        Action::ReplaceSet { set, .. } => {
            let note = format!("{set} is made anew around its pods, for larger volumes");
            (Normal, "ReplacingSet", note)
        }
        Action::RetainVolume { volume, claim } => {
            let note = format!(
                "volume {volume} of claim {claim} is lost and will be replaced; it is kept"
            );
            (Warning, "RetainingVolume", note)
        }
        Action::ReplaceVolume { claim, pod, .. } => {
            let note = format!("{claim} is lost, {pod} gets another volume and is mirrored anew");
            (Warning, "ReplacingVolume", note)
        }
        _ => (Normal, "Acting", String::new()), // told by the caller
    }
}

fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}
