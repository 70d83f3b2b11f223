//! Looking: what of a cluster is there, and what leaving nodes say.

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::build::{nsqd_selector, of_cluster};
use super::certificate::certificate;
use super::leaving::backlog;
use super::machines;
use super::names::{Component, NSQD_HTTP, claim};
use super::object::Object;
use super::observed::{Leaving, Observed, PodState, Volume};
use super::plan::surplus_pods;
use super::pods::pod_state;
use super::relocations::relocation_state;
use super::validate::ValidatedCluster;
use crate::api::NsqCluster;
use crate::runtime::context::{Context, key_of};
use crate::runtime::packed::Part;
use crate::runtime::watch::Parts;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What the watches have brought: free, and a moment old.
    Watched,
    /// The API server itself: before anything is written.
    Live,
}

/// Everything that planning needs to know.
///
/// # Errors
/// The API server could not be asked.
pub async fn observe(
    context: &Context,
    cluster: &ValidatedCluster,
    source: Source,
) -> kube::Result<Observed> {
    let Found {
        objects,
        pods,
        jobs,
        claims,
    } = match source {
        Source::Watched => watched(context, cluster),
        Source::Live => live(context, cluster).await?,
    };
    let relocations = jobs.iter().filter_map(|job| relocation_state(job, &pods));
    let mut observed = Observed {
        now: Timestamp::now(),
        objects,
        pods: pods.iter().filter_map(pod_state).collect(),
        relocations: relocations.collect(),
        volumes: claims.iter().filter_map(volume).collect(),
        ..Observed::default()
    };
    let key = key_of::<NsqCluster>(&cluster.namespace, &cluster.name);
    if cluster.replication.is_some() {
        observed.pulses = context.pulses.of(&key);
        if observed.pods.iter().any(|pod| pod.unplaced) {
            observed.claims =
                machines::claims(&context.client, &cluster.namespace, &observed).await?;
        }
        observed.machines = machines::machines(context, &observed, source).await?;
    } else if cluster.external.is_some() {
        observed.machines = machines::machines(context, &observed, Source::Watched).await?;
    }
    if cluster.issued().is_some() {
        let (state, found) = certificate(context, cluster).await?;
        observed.certificate = state;
        observed.objects.extend(found);
    }
    let surplus = surplus_pods(cluster, &observed);
    let silent: Vec<&str> = observed
        .pulses
        .iter()
        .filter(|pulse| !pulse.answers())
        .map(|pulse| pulse.pod.as_str())
        .collect();
    let draining = draining(context, &observed.pods, &surplus, &silent).await;
    observed.draining = draining;
    context.with_sightings(&key, |sightings| sightings.keep_only(&surplus));
    if surplus.is_empty() {
        return Ok(observed);
    }
    observed.unbound = unbound(&context.client, &cluster.namespace, &surplus).await?;
    let asked = surplus.iter().map(|name| ask(context, &key, name, &pods));
    observed.leaving = join_all(asked).await;
    Ok(observed)
}

/// What a cluster consists of.
struct Found {
    objects: Vec<Object>,
    pods: Vec<Pod>,
    jobs: Vec<Job>,
    claims: Vec<PersistentVolumeClaim>,
}

fn watched(context: &Context, cluster: &ValidatedCluster) -> Found {
    let stores = &context.stores;
    let mut objects = Vec::new();
    put(
        &mut objects,
        of(&stores.accounts, cluster),
        Object::ServiceAccount,
    );
    put(
        &mut objects,
        of(&stores.configs, cluster),
        Object::ConfigMap,
    );
    put(&mut objects, of(&stores.services, cluster), Object::Service);
    put(
        &mut objects,
        of(&stores.budgets, cluster),
        Object::PodDisruptionBudget,
    );
    put(&mut objects, of(&stores.sets, cluster), Object::StatefulSet);
    Found {
        objects,
        pods: of(&stores.pods, cluster).collect(),
        jobs: of(&stores.jobs, cluster).collect(),
        claims: of(&stores.claims, cluster).collect(),
    }
}

fn put<K>(
    objects: &mut Vec<Object>,
    found: impl IntoIterator<Item = K>,
    object: impl Fn(Box<K>) -> Object,
) {
    objects.extend(found.into_iter().map(|found| object(Box::new(found))));
}

/// Unpacks what belongs to the cluster.
fn of<K: Part>(parts: &Parts<K>, cluster: &ValidatedCluster) -> impl Iterator<Item = K> {
    let own = parts.of(&cluster.namespace, &cluster.name);
    own.into_iter().filter_map(|found| found.unpack())
}

async fn live(context: &Context, cluster: &ValidatedCluster) -> kube::Result<Found> {
    // A claim has the labels by which its set selects pods, and no others.
    let (ours, of_nsqd) = (of_cluster(&cluster.name), nsqd_selector(&cluster.name));
    let (accounts, configs, services, budgets, sets, pods, jobs, claims) = futures::try_join!(
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &ours),
        list(context, cluster, &of_nsqd),
    )?;
    let mut objects = Vec::new();
    put(&mut objects, accounts, Object::ServiceAccount);
    put(&mut objects, configs, Object::ConfigMap);
    put(&mut objects, services, Object::Service);
    put(&mut objects, budgets, Object::PodDisruptionBudget);
    put(&mut objects, sets, Object::StatefulSet);
    Ok(Found {
        objects,
        pods,
        jobs,
        claims,
    })
}

async fn list<K>(
    context: &Context,
    cluster: &ValidatedCluster,
    selector: &str,
) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &cluster.namespace);
    Ok(api
        .list(&ListParams::default().labels(selector))
        .await?
        .items)
}

fn volume(found: &PersistentVolumeClaim) -> Option<Volume> {
    let resources = found.spec.as_ref()?.resources.as_ref()?;
    let size = resources.requests.as_ref()?.get("storage")?;
    Some(Volume {
        claim: found.name_any(),
        size: size.0.clone(),
    })
}

/// Of these pods, those whose volume claim is not bound.
async fn unbound(client: &Client, namespace: &str, pods: &[String]) -> kube::Result<Vec<String>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let mut unbound = Vec::new();
    for pod in pods {
        let found = api.get_opt(&claim(pod)).await?;
        let phase = found.and_then(|found| found.status?.phase);
        if phase.is_none_or(|phase| phase == "Pending") {
            unbound.push(pod.clone());
        }
    }
    Ok(unbound)
}

/// Of the nodes that stay, those that take no messages. One that does not answer has not said so, and one that is known
/// not to answer is not asked: a pass that waits for it is late for what its peer has to do.
async fn draining(
    context: &Context,
    pods: &[PodState],
    surplus: &[String],
    silent: &[&str],
) -> Vec<String> {
    let stays = |pod: &&PodState| {
        let asked = !surplus.contains(&pod.name) && !silent.contains(&pod.name.as_str());
        pod.component == Component::Nsqd && pod.ready && asked
    };
    let asked = pods.iter().filter(stays).map(|pod| async move {
        let info = context
            .nsq
            .nsqd(pod.address.as_deref()?)
            .info()
            .await
            .ok()?;
        info.draining.then(|| pod.name.clone())
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn ask(context: &Context, key: &str, name: &str, pods: &[Pod]) -> Leaving {
    let pod = pods.iter().find(|pod| pod.name_any() == *name);
    let uid = pod.and_then(ResourceExt::uid).unwrap_or_default();
    let said = match pod.and_then(address) {
        None => Err("its pod is not running".to_owned()),
        Some(address) => {
            let status = context.nsq.nsqd(&address).drain_status().await;
            status.map_err(|err| err.to_string())
        }
    };
    let draining = said.as_ref().is_ok_and(|status| status.draining);
    let said = said.map(|status| backlog(&status));
    let state = context.with_sightings(key, |sightings| {
        sightings.record(name, &uid, said, Timestamp::now())
    });
    Leaving {
        pod: name.to_owned(),
        state,
        draining,
    }
}

fn address(pod: &Pod) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    Some(http_address(ip, NSQD_HTTP))
}

/// host:port, with the brackets that an IPv6 address needs.
#[must_use]
pub fn http_address(ip: &str, port: u16) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}
