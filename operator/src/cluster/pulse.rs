//! What each nsqd of a replicated cluster has said to the operator's own probes, and for how long it has been silent.
//!
//! A pulse is kept by node name, not by pod: a pod that is made anew is the same node, silent since its predecessor was.

use jiff::{SignedDuration, Timestamp};
use nsq_http_api::PairStatus;
use serde::{Deserialize, Serialize};

/// Probes without an answer, in a row, that make a node suspect: one may be an accident of the network.
pub const SUSPECT_AFTER: u32 = 2;
/// What has not been acknowledged by the peer for this long is a lag; less is the way of messages under load.
const LAG: SignedDuration = SignedDuration::from_secs(5);

/// One node, as the probes know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pulse {
    /// Name of its pod, which is the node's name in its pair.
    pub pod: String,
    /// Of the pod that was probed last.
    pub uid: String,
    /// It has answered in this pod.
    pub answered: bool,
    /// Probes without an answer, in a row.
    pub failures: u32,
    /// The first of them.
    pub silent_since: Option<Timestamp>,
    /// What it last said of its pair, even if that was in another pod.
    pub pair: Option<PairStatus>,
    /// It was hidden at the nsqlookupds since it fell silent.
    pub hidden: bool,
}

impl Pulse {
    #[must_use]
    pub fn of(pod: &str) -> Self {
        Self {
            pod: pod.to_owned(),
            ..Self::default()
        }
    }

    /// Takes note of a probe of the pod with this uid; `None` if there is no pod to probe.
    pub fn heard(&mut self, uid: Option<&str>, said: Option<PairStatus>, now: Timestamp) {
        if let Some(uid) = uid
            && self.uid != uid
        {
            uid.clone_into(&mut self.uid);
            self.answered = false;
        }
        match said {
            Some(pair) => {
                self.pair = Some(pair);
                self.answered = true;
                self.failures = 0;
                self.silent_since = None;
                self.hidden = false;
            }
            None => {
                self.failures = self.failures.saturating_add(1);
                self.silent_since.get_or_insert(now);
            }
        }
    }

    /// It answered the last probe.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.failures == 0 && self.answered
    }

    /// It should be kept from publishers.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.failures >= SUSPECT_AFTER
    }

    /// For how long it has been silent, if it is suspect.
    #[must_use]
    pub fn silence(&self, now: Timestamp) -> Option<SignedDuration> {
        let since = self.silent_since.filter(|_| self.is_suspect())?;
        Some(now.duration_since(since))
    }

    /// The peer has what this node has, but for what is on its way.
    #[must_use]
    pub fn is_mirrored(&self, now: Timestamp) -> bool {
        self.answers() && self.pair.as_ref().is_some_and(|pair| copied(pair, now))
    }

    /// It runs as one of a pair.
    #[must_use]
    pub fn is_paired(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| !pair.peer.is_empty())
    }
}

/// Under load something is always on its way to the peer, so `mirrored` alone would flicker.
fn copied(pair: &PairStatus, now: Timestamp) -> bool {
    let importing = pair
        .adoption
        .as_ref()
        .is_some_and(|adoption| !adoption.done);
    let whole = pair.mirror.as_ref().is_some_and(|mirror| mirror.whole);
    let connected = pair.origin_link && pair.holder_link && !pair.peer_lost && !pair.listing;
    let age = now.as_nanosecond() - i128::from(pair.unmirrored_oldest);
    let on_its_way = pair.unmirrored_oldest == 0 || age < LAG.as_nanos();
    pair.mirrored || (connected && whole && !importing && on_its_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_lost_probe_is_no_suspicion_and_an_answer_ends_it() {
        let mut pulse = Pulse::of("a");
        pulse.heard(Some("1"), Some(PairStatus::default()), at(0));
        pulse.heard(Some("1"), None, at(1));
        assert_eq!((pulse.is_suspect(), pulse.answers()), (false, false));
        pulse.heard(Some("1"), None, at(2));
        assert_eq!(
            pulse.silence(at(4)),
            Some(SignedDuration::from_secs(3)),
            "since the first that failed"
        );
        pulse.heard(Some("1"), Some(PairStatus::default()), at(5));
        assert_eq!((pulse.silence(at(6)), pulse.answers()), (None, true));
    }

    #[test]
    fn another_pod_is_the_same_node_and_has_not_answered_yet() {
        let mut pulse = Pulse::of("a");
        let said = PairStatus {
            run: 7,
            ..PairStatus::default()
        };
        pulse.heard(Some("1"), Some(said), at(0));
        pulse.heard(None, None, at(1));
        pulse.heard(Some("2"), None, at(2));
        assert!(!pulse.answered && pulse.is_suspect());
        assert_eq!(pulse.pair.unwrap().run, 7);
    }

    #[test]
    fn what_is_on_its_way_to_the_peer_is_no_lag() {
        let mut pair = PairStatus {
            origin_link: true,
            holder_link: true,
            mirror: Some(nsq_http_api::MirrorStatus {
                whole: true,
                ..Default::default()
            }),
            unmirrored_messages: 3,
            unmirrored_oldest: 10_000_000_000,
            ..PairStatus::default()
        };
        assert!(copied(&pair, at(12)));
        assert!(!copied(&pair, at(16)));
        pair.unmirrored_oldest = 0;
        pair.listing = true;
        assert!(!copied(&pair, at(12)));
    }
}
