//! One pass over an `NsqTopic`: observe, plan, call, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tracing::info;

use super::apply::make_calls;
use super::observe::{Address, ask_all};
use super::observed::{ClusterState, Observed};
use super::plan::{FinalizerChange, QUIET_REQUEUE, plan};
use crate::api::{NsqTopic, TOPIC_FINALIZER};
use crate::cluster::observe::http_address;
use crate::runtime::context::{Context, key};
use crate::runtime::pace::{self, TOPICS_A_SECOND};
use crate::runtime::pass;
use crate::runtime::report::{NotWritten, report};
use crate::runtime::shelf::Named;
use crate::runtime::watch::Guarded;

/// Longest pass.
const PASS: Duration = Duration::from_secs(120);
/// Field manager of everything this controller writes.
const MANAGER: &str = "nsq-operator/topic";

/// Why a pass could not be finished.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot write the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    #[error(transparent)]
    Report(#[from] NotWritten),
    #[error("{0}")]
    Calls(String),
}

/// Called for every change and when a requeue is due.
///
/// # Errors
/// Whatever kept the pass from being finished; it is tried again later.
pub async fn pass(
    topic: Arc<Guarded<NsqTopic>>,
    context: Arc<Context>,
) -> Result<Action, pass::Error<Error>> {
    let topic = pass::readable(&topic)?;
    let work = pass_over(topic, &context);
    pass::run("topic", PASS, topic, &context, work).await
}

/// Whether anything was changed, and when to look again.
async fn pass_over(topic: &NsqTopic, context: &Context) -> Result<(bool, Duration), Error> {
    let name = topic.topic_name();
    let mut plan = plan(topic, &observe(topic, context, &name).await);
    let mut changed = !plan.steps.is_empty() || plan.finalizer.is_some();
    if plan.finalizer == Some(FinalizerChange::Add) {
        // Before the topic is made, or its deletion could be missed.
        write_finalizer(topic, context, true).await?;
    }
    for step in &plan.steps {
        info!(topic = name, node = step.node, "{:?}", step.call);
    }
    let called = make_calls(&context.nsq, &name, &plan.steps).await;
    if called.is_ok() && plan.is_seen_at_once() {
        // What is reported is what is so now, not what was found.
        plan = self::plan(topic, &observe(topic, context, &name).await);
    }
    let topics = context.stores.topics.len();
    let requeue = pace::requeue(plan.requeue_seconds, QUIET_REQUEUE, topics, TOPICS_A_SECOND);
    if let Some(status) = &plan.status
        && topic.status.as_ref() != Some(status)
    {
        changed = true;
        report(&context.client, MANAGER, topic, status).await?;
    }
    context.tell(topic, &plan.events).await;
    called.map_err(Error::Calls)?;
    if plan.finalizer == Some(FinalizerChange::Remove) {
        write_finalizer(topic, context, false).await?;
        if topic.metadata.deletion_timestamp.is_some() {
            context.forget(&key(topic));
        }
    }
    Ok((changed, requeue))
}

async fn observe(topic: &NsqTopic, context: &Context, name: &str) -> Observed {
    let namespace = topic.namespace().unwrap_or_default();
    let reference = ObjectRef::new(&topic.spec.cluster).within(&namespace);
    let cluster = match context.stores.clusters.get(&reference) {
        None => ClusterState::Missing,
        Some(found) if found.meta().deletion_timestamp.is_some() => ClusterState::Leaving,
        Some(_) => ClusterState::Present,
    };
    let addresses = match cluster {
        ClusterState::Present => addresses(topic, context),
        _ => Vec::new(),
    };
    Observed {
        now: Timestamp::now(),
        cluster,
        rival: rival(topic, context, name),
        nodes: ask_all(&context.nsq, &addresses, name).await,
    }
}

/// Every node of the cluster, ready or not: one that cannot be asked is named in the status.
fn addresses(topic: &NsqTopic, context: &Context) -> Vec<Address> {
    let namespace = topic.namespace().unwrap_or_default();
    let pods = context.stores.pods.of(&namespace, &topic.spec.cluster);
    let mut addresses: Vec<Address> = pods
        .iter()
        .filter(|pod| !pod.at_hand.leaving)
        .filter_map(|pod| {
            let component = pod.at_hand.component?;
            let ip = pod.at_hand.ip.as_deref()?;
            Some(Address {
                node: pod.name().to_owned(),
                component,
                http: http_address(ip, component.http_port()),
            })
        })
        .collect();
    addresses.sort_by(|a, b| a.node.cmp(&b.node));
    addresses
}

/// The older of two that declare the same topic.
fn rival(topic: &NsqTopic, context: &Context, name: &str) -> Option<String> {
    let created = topic.metadata.creation_timestamp.as_ref();
    let (own_name, own_uid) = (topic.name_any(), topic.uid());
    let own_age = (created.map(|time| time.0), own_name.as_str());
    let namespace = topic.namespace().unwrap_or_default();
    let all = context.stores.declared.of(&namespace, &topic.spec.cluster);
    all.iter()
        .filter(|other| *other.topic == *name && other.uid.as_deref() != own_uid.as_deref())
        .find(|other| (other.created, other.name()) < own_age)
        .map(|other| other.name().to_owned())
}

async fn write_finalizer(topic: &NsqTopic, context: &Context, wanted: bool) -> Result<(), Error> {
    let mut finalizers = topic.finalizers().to_vec();
    finalizers.retain(|name| name != TOPIC_FINALIZER);
    if wanted {
        finalizers.push(TOPIC_FINALIZER.to_owned());
    }
    // The version makes it a refusal if somebody else changes the list at the same time.
    let patch = json!({"metadata": {
        "resourceVersion": topic.resource_version(),
        "finalizers": finalizers,
    }});
    let namespace = topic.namespace().unwrap_or_default();
    let api: Api<NsqTopic> = Api::namespaced(context.client.clone(), &namespace);
    let written = api
        .patch(
            &topic.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    match written {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop).map_err(Error::Finalizer),
    }
}
