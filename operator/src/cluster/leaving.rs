//! Whether a node that is to be removed is empty: what its `/drain` says, and for how long it has said so.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use nsq_http_api::DrainStatus;

use super::observed::{Backlog, LeavingState};

/// How often each leaving node has been seen empty in a row.
///
/// Kept in memory on purpose: an operator that has just started has to look for itself.
#[derive(Debug)]
pub struct Sightings {
    spacing: SignedDuration,
    seen: BTreeMap<String, Sighting>,
}

#[derive(Debug)]
struct Sighting {
    uid: String,
    count: u32,
    at: Timestamp,
}

impl Sightings {
    /// Two looks count as two only when they are `spacing` apart.
    #[must_use]
    pub fn new(spacing: SignedDuration) -> Self {
        Self {
            spacing,
            seen: BTreeMap::new(),
        }
    }

    /// Takes note of what a pod (the one with this uid) has just said.
    pub fn record(
        &mut self,
        pod: &str,
        uid: &str,
        said: Result<Option<Backlog>, String>,
        now: Timestamp,
    ) -> LeavingState {
        match said {
            Ok(None) => LeavingState::Empty {
                sightings: self.count(pod, uid, now),
            },
            Ok(Some(backlog)) => {
                self.seen.remove(pod);
                LeavingState::Holds(backlog)
            }
            Err(why) => {
                self.seen.remove(pod);
                LeavingState::Unknown(why)
            }
        }
    }

    /// Forgets every pod that is not to be removed any more.
    pub fn keep_only(&mut self, pods: &[String]) {
        self.seen.retain(|pod, _| pods.contains(pod));
    }

    fn count(&mut self, pod: &str, uid: &str, now: Timestamp) -> u32 {
        let first = Sighting {
            uid: uid.to_owned(),
            count: 1,
            at: now,
        };
        match self.seen.get_mut(pod) {
            Some(seen) if seen.uid == uid => {
                if now.duration_since(seen.at) >= self.spacing {
                    seen.count += 1;
                    seen.at = now;
                }
                seen.count
            }
            _ => {
                self.seen.insert(pod.to_owned(), first);
                1
            }
        }
    }
}

/// What a node still holds, ephemeral topics and channels left out; `None` if nothing.
#[must_use]
pub fn backlog(status: &DrainStatus) -> Option<Backlog> {
    let mut places = Vec::new();
    for topic in &status.topics {
        let place = |waiting, in_flight, deferred| Backlog {
            places: 1,
            topic: topic.topic.clone(),
            channel: None,
            waiting: signed(waiting),
            in_flight: signed(in_flight),
            deferred: signed(deferred),
            consumers: 0,
        };
        places.push(place(topic.depth, 0, 0));
        places.extend(topic.channels.iter().map(|channel| Backlog {
            channel: Some(channel.channel.clone()),
            consumers: channel.consumers,
            ..place(channel.depth, channel.in_flight, channel.deferred)
        }));
    }
    let total = |place: &Backlog| place.waiting + place.in_flight + place.deferred;
    places.retain(|place| total(place) > 0);
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let worst = places.into_iter().max_by_key(total)?;
    Some(Backlog {
        places: count,
        ..worst
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sightings(state: &LeavingState) -> u32 {
        match state {
            LeavingState::Empty { sightings } => *sightings,
            _ => 0,
        }
    }

    #[test]
    fn only_looks_that_are_apart_count() {
        let mut seen = Sightings::new(SignedDuration::from_secs(5));
        let mut look = |second| sightings(&seen.record("a", "1", Ok(None), at(second)));
        assert_eq!(
            [look(0), look(1), look(5), look(9), look(10)],
            [1, 1, 2, 2, 3]
        );
    }

    #[test]
    fn a_message_a_failure_or_another_pod_starts_the_count_anew() {
        let mut seen = Sightings::new(SignedDuration::ZERO);
        seen.record("a", "1", Ok(None), at(0));
        seen.record("a", "1", Err("no answer".to_owned()), at(1));
        assert_eq!(sightings(&seen.record("a", "1", Ok(None), at(2))), 1);
        assert_eq!(sightings(&seen.record("a", "2", Ok(None), at(3))), 1);
    }

    #[test]
    fn the_fullest_place_is_named() {
        let status: DrainStatus = serde_json::from_str(
            r#"{"draining":true,"messages":6,"topics":[{"topic":"t","messages":6,"depth":1,"channels":[
                {"channel":"c","in_flight":2,"deferred":3,"consumers":4}]}]}"#,
        )
        .unwrap();
        let found = backlog(&status).unwrap();
        assert_eq!((found.channel.as_deref(), found.places), (Some("c"), 2));
        assert_eq!((found.waiting, found.in_flight, found.deferred), (0, 2, 3));
        assert_eq!(found.consumers, 4);
        assert_eq!(backlog(&DrainStatus::default()), None);
    }
}
