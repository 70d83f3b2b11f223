//! What every pass may use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use nsq_http_api::ClientOptions;
use tracing::warn;

use super::metrics::Metrics;
use super::probe::Pulses;
use super::watch::Stores;
use crate::api::is_ready;
use crate::backoff::Backoff;
use crate::cluster::leaving::Sightings;
use crate::cluster::plan::{self, BUSY_REQUEUE, EventKind};

/// Wait before a resource whose pass failed is tried again.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(300),
};
/// NSQ's nodes answer at once or count as silent.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two passes over the same resource lies more; within a pass a node is asked twice at most.
const NODE_IDLE: Duration = Duration::from_millis(500);
/// A recorder remembers what it has told, for events that are told again and again. It forgets only by being dropped.
const EVENTS_REMEMBERED: usize = 256;
/// Longest note of an event in bytes; the API server takes 1 kB.
const NOTE_MAX: usize = 1000;

/// Shared by all passes.
pub struct Context {
    pub client: Client,
    pub nsq: nsq_http_api::Client,
    pub metrics: Metrics,
    pub stores: Stores,
    pub pulses: Pulses,
    /// Of nsqd's HTTP API, where it asks for one.
    pub nsqd_token_file: Option<PathBuf>,
    reporter: Reporter,
    /// And how many events it was given.
    recorder: Mutex<(Recorder, usize)>,
    /// Failures in a row, by resource.
    failures: Mutex<BTreeMap<String, u32>>,
    /// Looks at leaving nodes, by cluster.
    sightings: Mutex<BTreeMap<String, Sightings>>,
}

impl Context {
    #[must_use]
    pub fn new(
        client: Client,
        metrics: Metrics,
        stores: Stores,
        identity: String,
        nsqd_token_file: Option<PathBuf>,
    ) -> Self {
        let reporter = Reporter {
            controller: "nsq-operator".to_owned(),
            instance: Some(identity),
        };
        Self {
            recorder: Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0)),
            reporter,
            client,
            nsq: nsq_http_api::Client::new(ClientOptions {
                connect_timeout: NODE_TIMEOUT,
                request_timeout: NODE_TIMEOUT,
                idle_timeout: NODE_IDLE,
                token_file: nsqd_token_file.clone(),
                ..ClientOptions::default()
            }),
            metrics,
            stores,
            pulses: Pulses::default(),
            nsqd_token_file,
            failures: Mutex::default(),
            sightings: Mutex::default(),
        }
    }

    /// A pass over this resource has gone well.
    pub fn succeeded(&self, key: &str) {
        lock(&self.failures).remove(key);
    }

    /// A pass over this resource has failed; how long to wait. The wait is spread, so that resources which failed
    /// together are not tried together.
    pub fn failed(&self, key: &str) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
        RETRY.delay(*count).mul_f64(rand::random_range(0.75..1.25))
    }

    /// Works on the sightings of one cluster's leaving nodes.
    pub fn with_sightings<T>(&self, key: &str, work: impl FnOnce(&mut Sightings) -> T) -> T {
        let mut all = lock(&self.sightings);
        let spacing = SignedDuration::from_secs(BUSY_REQUEUE.cast_signed());
        let own = all
            .entry(key.to_owned())
            .or_insert_with(|| Sightings::new(spacing));
        work(own)
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, key: &str) {
        lock(&self.failures).remove(key);
        lock(&self.sightings).remove(key);
    }

    /// Counts our resources, by kind and readiness.
    pub fn count_resources(&self) {
        let mut counts = BTreeMap::new();
        let mut count = |kind, conditions: Option<&[Condition]>| {
            let ready = is_ready(conditions.unwrap_or_default());
            *counts.entry((kind, ready)).or_insert(0) += 1;
        };
        for cluster in self.stores.clusters.state() {
            let status = cluster.0.as_ref().ok().and_then(|it| it.status.as_ref());
            count(
                "NsqCluster",
                status.map(|status| status.conditions.as_slice()),
            );
        }
        for topic in self.stores.topics.state() {
            let status = topic.0.as_ref().ok().and_then(|it| it.status.as_ref());
            count(
                "NsqTopic",
                status.map(|status| status.conditions.as_slice()),
            );
        }
        for bridge in self.stores.bridges.state() {
            let status = bridge.0.as_ref().ok().and_then(|it| it.status.as_ref());
            count(
                "NsqBridge",
                status.map(|status| status.conditions.as_slice()),
            );
        }
        for kind in ["NsqCluster", "NsqTopic", "NsqBridge"] {
            for ready in [true, false] {
                let value = counts.get(&(kind, ready)).copied().unwrap_or(0);
                let gauge = &self.metrics.resources;
                gauge
                    .with_label_values(&[kind, &ready.to_string()])
                    .set(value);
            }
        }
    }

    /// Tells events. One that cannot be told is logged and dropped: events are news, not state.
    pub async fn tell<K>(&self, about: &K, events: &[plan::Event])
    where
        K: Resource<DynamicType = ()>,
    {
        let reference = about.object_ref(&());
        join_all(events.iter().map(|event| self.tell_one(&reference, event))).await;
    }

    fn recorder(&self) -> Recorder {
        let mut recorder = lock(&self.recorder);
        if recorder.1 >= EVENTS_REMEMBERED {
            let new = Recorder::new(self.client.clone(), self.reporter.clone());
            *recorder = (new, 0);
        }
        recorder.1 += 1;
        recorder.0.clone()
    }

    async fn tell_one(&self, about: &ObjectReference, event: &plan::Event) {
        let pod = event.pod.as_ref().map(|pod| ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.clone()),
            namespace: about.namespace.clone(),
            ..ObjectReference::default()
        });
        let note = &event.note[..event.note.floor_char_boundary(NOTE_MAX)];
        let event = Event {
            type_: match event.kind {
                EventKind::Normal => EventType::Normal,
                EventKind::Warning => EventType::Warning,
            },
            reason: event.reason.to_owned(),
            note: Some(note.to_owned()),
            action: event.reason.to_owned(),
            secondary: pod,
        };
        if let Err(err) = self.recorder().publish(&event, about).await {
            warn!(error = %err, reason = event.reason, "cannot tell an event");
        }
    }
}

/// `kind namespace/name`, the key of a resource in our maps: a topic may be called like its cluster.
#[must_use]
pub fn key<K: Resource<DynamicType = ()>>(resource: &K) -> String {
    key_of::<K>(
        &resource.namespace().unwrap_or_default(),
        &resource.name_any(),
    )
}

/// As [`key`].
#[must_use]
pub fn key_of<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> String {
    format!("{} {namespace}/{name}", K::kind(&()))
}

/// A panic elsewhere leaves these maps as good as before.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
