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

/// Conditions whose turning is told: type, what it turns to, kind and reason of the event.
const TURNS: [(&str, &str, EventKind, &str); 5] = [
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
    events.extend(actions.iter().map(of_action));
    events.extend(scaling.removed.iter().map(|pod| Event {
        kind: EventKind::Normal,
        reason: "RemovingNode",
        note: format!("{pod} holds nothing and is removed; its volume stays"),
        pod: Some(pod.clone()),
    }));
    events
}

fn of_action(action: &Action) -> Event {
    let (Action::Restart { pod, .. } | Action::Publish { pod, .. }) = action;
    let (reason, note) = match action {
        Action::Restart { reason, .. } => ("RestartingPod", format!("{pod}: {reason}")),
        Action::Publish { publish: true, .. } => (
            "ResumingPublish",
            format!("publishers are sent to {pod} again"),
        ),
        Action::Publish { .. } => (
            "StoppingPublish",
            format!("{pod} is to be removed: publishers are no longer sent to it"),
        ),
    };
    Event {
        kind: EventKind::Normal,
        reason,
        note,
        pod: Some(pod.clone()),
    }
}

fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}
