//! Leader election: one operator at a time, decided by a Lease.
//!
//! [`decide`] is the rule, a pure function. Whether a lease has expired is judged by how long the record has been
//! seen unchanged on our own clock, never by comparing two machines' clocks. Writes carry the version that was read,
//! so of two who try at once one fails.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tracing::{info, warn};

/// A lease that has not been renewed for this long may be taken.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that has not managed to renew for this long stops leading; less than [`DURATION`], so that it has stopped
/// before anybody else begins.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks.
const RETRY: Duration = Duration::from_secs(2);
const _: () = assert!(DEADLINE.as_secs() + RETRY.as_secs() < DURATION.as_secs());
/// Longest wait for one answer.
const REQUEST: Duration = Duration::from_secs(3);

/// What the record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `None` if it was released.
    pub holder: Option<String>,
    /// For how long it was taken.
    pub duration: Duration,
    /// Changes whenever somebody writes it.
    pub version: String,
}

/// A record, and since when it has been seen like this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub record: Record,
    pub since: Instant,
}

/// What to do about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it: take it.
    Acquire,
    /// We hold it: say so again.
    Renew,
    /// Somebody else does.
    Wait,
}

/// The rule.
#[must_use]
pub fn decide(me: &str, seen: Option<&Seen>, now: Instant) -> Decision {
    let Some(Seen { record, since }) = seen else {
        return Decision::Acquire;
    };
    match &record.holder {
        None => Decision::Acquire,
        Some(holder) if holder == me => Decision::Renew,
        Some(_) if now.duration_since(*since) >= record.duration => Decision::Acquire,
        Some(_) => Decision::Wait,
    }
}

/// Keeps what was seen before if nothing has been written since.
fn look(before: Option<Seen>, record: Record, now: Instant) -> Seen {
    match before {
        Some(seen) if seen.record.version == record.version => seen,
        _ => Seen { record, since: now },
    }
}

/// One contender for the lease.
pub struct Contender {
    api: Api<Lease>,
    name: String,
    me: String,
    seen: Option<Seen>,
    lease: Option<Lease>,
}

impl Contender {
    /// `me` must be unique among contenders: the pod's name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me,
            seen: None,
            lease: None,
        }
    }

    /// Waits until we lead.
    pub async fn acquire(&mut self, mut looked: impl FnMut()) {
        loop {
            match self.step().await {
                Ok(true) => {
                    info!(holder = self.me, "leading");
                    return;
                }
                Ok(false) => looked(),
                Err(err) => warn!(error = %err, "cannot look at the lease"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews until that fails for too long or somebody else leads; then we must stop at once.
    pub async fn hold(&mut self) -> String {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            let begun = Instant::now();
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return "somebody else took the lease".to_owned(),
                Ok(Err(err)) => warn!(error = %err, "cannot renew the lease yet"),
                Err(_) => return format!("the lease could not be renewed for {DEADLINE:?}"),
            }
        }
    }

    /// Lets go, so that the next one need not wait.
    pub async fn release(&mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let options = PostParams::default();
        let released = self.api.replace(&self.name, &options, &lease);
        match tokio::time::timeout(REQUEST, released).await {
            Ok(Ok(_)) => info!("lease released"),
            Ok(Err(err)) => warn!(error = %err, "cannot release the lease; it expires by itself"),
            Err(_) => warn!("cannot release the lease in time; it expires by itself"),
        }
    }

    /// One look and one write. Whether we lead now.
    async fn step(&mut self) -> Result<bool, String> {
        let step = self.step_unbounded();
        match tokio::time::timeout(2 * REQUEST, step).await {
            Ok(done) => done.map_err(|err| err.to_string()),
            Err(_) => Err(format!("no answer within {:?}", 2 * REQUEST)),
        }
    }

    async fn step_unbounded(&mut self) -> kube::Result<bool> {
        let live = self.api.get_opt(&self.name).await?;
        let now = Instant::now();
        self.seen = live
            .as_ref()
            .map(|lease| look(self.seen.take(), record(lease), now));
        let written = match decide(&self.me, self.seen.as_ref(), now) {
            Decision::Wait => return Ok(false),
            decision => {
                let wanted = written_by(&self.me, &self.name, live, decision);
                if wanted.resource_version().is_some() {
                    let options = PostParams::default();
                    self.api.replace(&self.name, &options, &wanted).await
                } else {
                    self.api.create(&PostParams::default(), &wanted).await
                }
            }
        };
        match written {
            Ok(lease) => {
                self.lease = Some(lease);
                Ok(true)
            }
            // Somebody wrote in between; the next look tells who.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(false)
            }
            Err(err) => Err(err),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        version: lease.resource_version().unwrap_or_default(),
    }
}

fn written_by(me: &str, name: &str, live: Option<Lease>, decision: Decision) -> Lease {
    let mut lease = live.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let now = MicroTime(Timestamp::now());
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if decision == Decision::Acquire {
        spec.acquire_time = Some(now.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
    }
    spec.holder_identity = Some(me.to_owned());
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(now);
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: Option<&str>, version: &str, since: Instant) -> Seen {
        Seen {
            record: Record {
                holder: holder.map(str::to_owned),
                duration: DURATION,
                version: version.to_owned(),
            },
            since,
        }
    }

    #[test]
    fn a_free_lease_is_taken() {
        let now = Instant::now();
        assert_eq!(decide("a", None, now), Decision::Acquire);
        assert_eq!(
            decide("a", Some(&seen(None, "1", now)), now),
            Decision::Acquire
        );
    }

    #[test]
    fn our_own_is_renewed_however_old_it_is() {
        let start = Instant::now();
        let ours = seen(Some("a"), "1", start);
        assert_eq!(
            decide("a", Some(&ours), start + 10 * DURATION),
            Decision::Renew
        );
    }

    #[test]
    fn somebody_elses_is_taken_only_when_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let theirs = seen(Some("b"), "1", start);
        let almost = start + DURATION - Duration::from_millis(1);
        assert_eq!(decide("a", Some(&theirs), almost), Decision::Wait);
        assert_eq!(
            decide("a", Some(&theirs), start + DURATION),
            Decision::Acquire
        );
    }

    #[test]
    fn a_renewed_lease_starts_the_wait_anew() {
        let start = Instant::now();
        let before = seen(Some("b"), "1", start);
        let later = start + DURATION;
        let same = look(Some(before.clone()), before.record.clone(), later);
        assert_eq!(same.since, start);
        let renewed = seen(Some("b"), "2", start).record;
        let next = look(Some(before), renewed, later);
        assert_eq!(next.since, later);
        assert_eq!(decide("a", Some(&next), later), Decision::Wait);
    }
}
