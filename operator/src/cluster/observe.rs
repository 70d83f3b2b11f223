//! Looking: what of a cluster is there, and what leaving nodes say.

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams};
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt};
use nsq_http_api::StatsQuery;
use serde::de::DeserializeOwned;

use super::build::{INSTANCE, of_cluster};
use super::leaving::backlog;
use super::machines;
use super::names::{NSQD_HTTP, claim};
use super::object::Object;
use super::observed::{Leaving, Observed};
use super::plan::surplus_pods;
use super::pods::pod_state;
use super::validate::ValidatedCluster;
use crate::runtime::context::Context;

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
    let (objects, pods) = match source {
        Source::Watched => watched(context, cluster),
        Source::Live => live(context, cluster).await?,
    };
    let mut observed = Observed {
        now: Timestamp::now(),
        objects,
        pods: pods.iter().filter_map(pod_state).collect(),
        ..Observed::default()
    };
    if cluster.replication.is_some() {
        let key = format!("{}/{}", cluster.namespace, cluster.name);
        observed.pulses = context.pulses.of(&key);
        if observed.pods.iter().any(|pod| pod.unplaced) {
            observed.claims =
                machines::claims(&context.client, &cluster.namespace, &observed).await?;
        }
        observed.machines = machines::machines(context, &observed, source).await?;
    }
    let surplus = surplus_pods(cluster, &observed);
    let key = format!("{}/{}", cluster.namespace, cluster.name);
    context.with_sightings(&key, |sightings| sightings.keep_only(&surplus));
    if surplus.is_empty() {
        return Ok(observed);
    }
    observed.unbound = unbound(&context.client, &cluster.namespace, &surplus).await?;
    let asked = surplus.iter().map(|name| ask(context, &key, name, &pods));
    observed.leaving = join_all(asked).await;
    Ok(observed)
}

fn watched(context: &Context, cluster: &ValidatedCluster) -> (Vec<Object>, Vec<Pod>) {
    let stores = &context.stores;
    let mut objects = Vec::new();
    objects
        .extend(of(&stores.accounts, cluster).map(|found| Object::ServiceAccount(Box::new(found))));
    objects.extend(of(&stores.configs, cluster).map(|found| Object::ConfigMap(Box::new(found))));
    objects.extend(of(&stores.services, cluster).map(|found| Object::Service(Box::new(found))));
    objects.extend(
        of(&stores.budgets, cluster).map(|found| Object::PodDisruptionBudget(Box::new(found))),
    );
    objects.extend(of(&stores.sets, cluster).map(|found| Object::StatefulSet(Box::new(found))));
    (objects, of(&stores.pods, cluster).collect())
}

fn of<K>(store: &Store<K>, cluster: &ValidatedCluster) -> impl Iterator<Item = K>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + 'static,
{
    let (namespace, name) = (cluster.namespace.clone(), cluster.name.clone());
    store
        .state()
        .into_iter()
        .filter(move |found| {
            found.namespace().as_ref() == Some(&namespace)
                && found.labels().get(INSTANCE) == Some(&name)
        })
        .map(|found| found.as_ref().clone())
}

async fn live(
    context: &Context,
    cluster: &ValidatedCluster,
) -> kube::Result<(Vec<Object>, Vec<Pod>)> {
    let (accounts, configs, services, budgets, sets, pods) = futures::try_join!(
        list(context, cluster),
        list(context, cluster),
        list(context, cluster),
        list(context, cluster),
        list(context, cluster),
        list(context, cluster),
    )?;
    let mut objects = Vec::new();
    objects.extend(
        accounts
            .into_iter()
            .map(|found| Object::ServiceAccount(Box::new(found))),
    );
    objects.extend(
        configs
            .into_iter()
            .map(|found| Object::ConfigMap(Box::new(found))),
    );
    objects.extend(
        services
            .into_iter()
            .map(|found| Object::Service(Box::new(found))),
    );
    objects.extend(
        budgets
            .into_iter()
            .map(|found| Object::PodDisruptionBudget(Box::new(found))),
    );
    objects.extend(
        sets.into_iter()
            .map(|found| Object::StatefulSet(Box::new(found))),
    );
    Ok((objects, pods))
}

async fn list<K>(context: &Context, cluster: &ValidatedCluster) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &cluster.namespace);
    let selector = of_cluster(&cluster.name);
    Ok(api
        .list(&ListParams::default().labels(&selector))
        .await?
        .items)
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

async fn ask(context: &Context, key: &str, name: &str, pods: &[Pod]) -> Leaving {
    let pod = pods.iter().find(|pod| pod.name_any() == *name);
    let uid = pod.and_then(ResourceExt::uid).unwrap_or_default();
    let said = match pod.and_then(address) {
        None => Err("its pod is not running".to_owned()),
        Some(address) => {
            let query = StatsQuery {
                include_clients: false,
                ..StatsQuery::default()
            };
            let stats = context.nsq.nsqd(&address).stats(query).await;
            stats
                .map(|stats| backlog(&stats))
                .map_err(|err| err.to_string())
        }
    };
    let state = context.with_sightings(key, |sightings| {
        sightings.record(name, &uid, said, Timestamp::now())
    });
    Leaving {
        pod: name.to_owned(),
        state,
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
