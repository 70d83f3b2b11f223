//! Status conditions, kept the way kstatus and `kubectl wait` read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition in bytes; the API server takes 32 KiB, people take less.
pub const MESSAGE_MAX: usize = 1024;

/// What one condition should say now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionState {
    /// `Ready`, `Reconciling`, `Stalled`, ...
    pub type_: &'static str,
    pub is_true: bool,
    /// CamelCase, stable, for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl ConditionState {
    /// Messages tell what nodes and people have said, so each is cut to [`MESSAGE_MAX`] here.
    #[must_use]
    pub fn new(
        type_: &'static str,
        is_true: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        Self {
            type_,
            is_true,
            reason,
            message,
        }
    }
}

/// Whether the list says `Ready`.
#[must_use]
pub fn is_ready(conditions: &[Condition]) -> bool {
    let mut conditions = conditions.iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The conditions of one resource, carried from one status to the next.
#[derive(Debug, Clone)]
pub struct Conditions<'a> {
    previous: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// `generation` is the one that was looked at; it goes into every condition.
    #[must_use]
    pub fn new(previous: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self {
            previous,
            generation,
            now,
        }
    }

    /// The next list. `lastTransitionTime` moves only where the status does, so that an
    /// unchanged state gives an unchanged list and no write.
    #[must_use]
    pub fn next(&self, states: &[ConditionState]) -> Vec<Condition> {
        states.iter().map(|state| self.next_one(state)).collect()
    }

    fn next_one(&self, state: &ConditionState) -> Condition {
        let status = if state.is_true { "True" } else { "False" };
        let unchanged = self
            .previous
            .iter()
            .find(|condition| condition.type_ == state.type_ && condition.status == status);
        Condition {
            type_: state.type_.to_owned(),
            status: status.to_owned(),
            reason: state.reason.to_owned(),
            message: state.message.clone(),
            observed_generation: self.generation,
            last_transition_time: unchanged.map_or_else(
                || Time(whole_seconds(self.now)),
                |condition| condition.last_transition_time.clone(),
            ),
        }
    }
}

/// The API keeps times to the second; more would differ after every round trip.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(is_true: bool, message: &str) -> ConditionState {
        ConditionState::new("Ready", is_true, "Reason", message)
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = format!("a{}", "ä".repeat(MESSAGE_MAX));
        let state = ready(false, &long);
        assert_eq!(state.message.len(), MESSAGE_MAX - 1);
        assert!(long.starts_with(&state.message));
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = Conditions::new(&[], Some(1), at(10)).next(&[ready(false, "a")]);
        let same = Conditions::new(&first, Some(2), at(20)).next(&[ready(false, "b")]);
        assert_eq!(same[0].last_transition_time.0, at(10));
        assert_eq!(same[0].observed_generation, Some(2));
        assert_eq!(same[0].message, "b");
        let turned = Conditions::new(&same, Some(2), at(30)).next(&[ready(true, "c")]);
        assert_eq!(turned[0].last_transition_time.0, at(30));
    }
}
