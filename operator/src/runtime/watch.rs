//! What is watched, where it is kept, and which controller it wakes.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use futures::{Stream, future, join, stream};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Node, PersistentVolumeClaim, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::Config;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt, predicates};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::context::Context;
use super::kept::{self, Kept};
use super::packed::{Packed, Parcel, Part};
use super::pass;
use super::shelf::{Named, Place, Shelf};
use crate::api::{NsqBridge, NsqCluster, NsqTopic};
use crate::cluster::build::{MANAGED_BY, OPERATOR, PAIR};
use crate::cluster::machines;
use crate::{bridge, cluster, topic};

/// A cluster that comes up reports several times in a second; its topics are looked at once.
const TOPICS_WAIT: Duration = Duration::from_secs(1);
/// Passes of one controller at a time.
const CONCURRENCY: u16 = 8;

/// A resource of ours as it is watched: one that cannot be read does not hide the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// What is known without asking. A little behind; destructive steps look again.
#[derive(Clone)]
pub struct Stores {
    pub sets: Parts<StatefulSet>,
    pub services: Parts<Service>,
    pub accounts: Parts<ServiceAccount>,
    pub configs: Parts<ConfigMap>,
    pub machines: Store<Node>,
    pub budgets: Parts<PodDisruptionBudget>,
    pub pods: Parts<Pod>,
    pub jobs: Parts<Job>,
    pub claims: Parts<PersistentVolumeClaim>,
    pub clusters: Store<Guarded<NsqCluster>>,
    pub topics: Store<Guarded<NsqTopic>>,
    /// Topics by their clusters.
    pub declared: Shelf<Declared>,
    pub bridges: Store<Guarded<NsqBridge>>,
    pub deployments: Store<Deployment>,
}

impl Stores {
    /// Returns once every watch has told everything that there was when the operator started. A pass before would miss what
    /// is there, and report so.
    pub async fn filled(&self) {
        let shelves = join!(
            self.sets.filled(),
            self.services.filled(),
            self.accounts.filled(),
            self.configs.filled(),
            self.budgets.filled(),
            self.pods.filled(),
            self.jobs.filled(),
            self.claims.filled(),
            self.declared.filled(),
        );
        let stores = join!(
            self.machines.wait_until_ready(),
            self.clusters.wait_until_ready(),
            self.topics.wait_until_ready(),
            self.bridges.wait_until_ready(),
            self.deployments.wait_until_ready(),
        );
        // One whose watch has ended is as good as it will ever be: the operator stops.
        let _ = (shelves, stores);
    }
}

/// Parts of clusters, by their clusters.
pub type Parts<K> = Shelf<Packed<K>>;

/// That a topic of a cluster is declared, and by which resource.
#[derive(Debug)]
pub struct Declared {
    name: Box<str>,
    pub uid: Option<Box<str>>,
    pub topic: Box<str>,
    pub created: Option<Timestamp>,
}

impl Named for Declared {
    fn name(&self) -> &str {
        &self.name
    }
}

type Watched<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// Streams that have not been started, and the stores that they fill.
pub struct Streams {
    pub stores: Stores,
    sets: Watched<Parcel<StatefulSet>>,
    services: Watched<Parcel<Service>>,
    accounts: Watched<Parcel<ServiceAccount>>,
    configs: Watched<Parcel<ConfigMap>>,
    machines: Watched<Node>,
    budgets: Watched<Parcel<PodDisruptionBudget>>,
    pods: Watched<Parcel<Pod>>,
    jobs: Watched<Parcel<Job>>,
    claims: Watched<Parcel<PersistentVolumeClaim>>,
    clusters: Watched<Guarded<NsqCluster>>,
    topics: Watched<Guarded<NsqTopic>>,
    bridges: Watched<Guarded<NsqBridge>>,
    deployments: Watched<Deployment>,
}

/// Sets up every watch.
pub fn start(client: &Client, namespace: Option<&str>) -> Streams {
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
    let all = watcher::Config::default();
    let (sets, sets_seen) = shelved(api(client, namespace), ours.clone());
    let (services, services_seen) = shelved(api(client, namespace), ours.clone());
    let (accounts, accounts_seen) = shelved(api(client, namespace), ours.clone());
    let (configs, configs_seen) = shelved(api(client, namespace), ours.clone());
    let (machines, machines_seen) = watched(Api::all(client.clone()), watcher::Config::default());
    let (budgets, budgets_seen) = shelved(api(client, namespace), ours.clone());
    let (pods, pods_seen) = shelved(api(client, namespace), ours.clone());
    let (deployments, deployments_seen) = watched(api(client, namespace), ours.clone());
    let (jobs, jobs_seen) = shelved(api(client, namespace), ours);
    let of_pairs = watcher::Config::default().labels(PAIR);
    let (claims, claims_seen) = shelved(api(client, namespace), of_pairs);
    let (clusters, clusters_seen) = watched(api(client, namespace), all.clone());
    let (bridges, bridges_seen) = watched(api(client, namespace), all.clone());
    let (topics, declared, topics_seen) = topics(api(client, namespace), all);
    Streams {
        stores: Stores {
            sets,
            services,
            accounts,
            configs,
            machines,
            budgets,
            pods,
            jobs,
            claims,
            clusters,
            topics,
            declared,
            bridges,
            deployments,
        },
        sets: sets_seen,
        services: services_seen,
        accounts: accounts_seen,
        configs: configs_seen,
        machines: machines_seen,
        budgets: budgets_seen,
        pods: pods_seen,
        jobs: jobs_seen,
        claims: claims_seen,
        clusters: clusters_seen,
        topics: topics_seen,
        bridges: bridges_seen,
        deployments: deployments_seen,
    }
}

/// Runs all controllers until `stop`, and then until the passes under way have ended.
pub async fn run(
    streams: Streams,
    context: Arc<Context>,
    namespace: Option<&str>,
    woken: mpsc::Receiver<ObjectRef<Guarded<NsqCluster>>>,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let config = || Config::default().concurrency(CONCURRENCY);
    let pods = streams.stores.pods.clone();
    let clusters =
        Controller::for_stream(changes(streams.clusters), streams.stores.clusters.clone())
            .with_config(config())
            .owns_stream(streams.sets)
            .owns_stream(streams.services)
            .owns_stream(streams.accounts)
            .owns_stream(streams.configs)
            .owns_stream(streams.budgets)
            .owns_stream(streams.jobs)
            .watches_stream(streams.pods, cluster_of)
            .watches_stream(streams.claims, cluster_of)
            .watches_stream(turns(streams.machines), move |machine| {
                clusters_on(&pods, &machine)
            })
            .reconcile_on(stream::unfold(woken, async |mut woken| {
                Some((woken.recv().await?, woken))
            }))
            .graceful_shutdown_on(stop.clone())
            .run(cluster::controller::pass, pass::failed, context.clone());
    // A topic is looked at whenever its cluster reports something new: a node has come, or has come back. What it
    // reports is not read.
    let known = streams.stores.declared.clone();
    let cluster_api: Api<PartialObjectMeta<NsqCluster>> = api(&context.client, namespace);
    let reports = watcher(cluster_api, watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let topics = Controller::for_stream(changes(streams.topics), streams.stores.topics)
        .with_config(config().debounce(TOPICS_WAIT))
        .watches_stream(reports, move |cluster: PartialObjectMeta<NsqCluster>| {
            topics_of(&known, &cluster)
        })
        .graceful_shutdown_on(stop.clone())
        .run(topic::controller::pass, pass::failed, context.clone());
    let bridges = Controller::for_stream(changes(streams.bridges), streams.stores.bridges)
        .with_config(config())
        .owns_stream(streams.deployments)
        .graceful_shutdown_on(stop)
        .run(bridge::controller::pass, pass::failed, context);
    future::join3(drain(clusters), drain(topics), drain(bridges)).await;
}

async fn drain<T, E: Debug>(passes: impl Stream<Item = Result<T, E>>) {
    // Failed passes have been told by the controllers' own error policies; watch errors end up here.
    passes
        .for_each(|pass| async {
            if let Err(err) = pass {
                tracing::debug!(error = ?err, "a pass or a watch has failed");
            }
        })
        .await;
}

fn watched<K>(api: Api<K>, config: watcher::Config) -> (Store<K>, Watched<K>)
where
    K: Kept<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let seen = watcher(api, config)
        .default_backoff()
        .modify(kept::only_what_is_read)
        .reflect(writer)
        .touched_objects()
        .boxed();
    (store, seen)
}

/// As [`watched`], for parts of clusters.
fn shelved<K: Part>(
    api: Api<Parcel<K>>,
    config: watcher::Config,
) -> (Parts<K>, Watched<Parcel<K>>) {
    let shelf = Parts::default();
    let noting = shelf.clone();
    let seen = watcher(api, config)
        .default_backoff()
        .inspect_ok(move |event| noting.note(event, place_of))
        .touched_objects()
        .boxed();
    (shelf, seen)
}

fn place_of<K: Part>(part: &Parcel<K>) -> (Place<'_>, Arc<Packed<K>>) {
    let place = Place {
        namespace: part.meta().namespace.as_deref().unwrap_or_default(),
        cluster: &part.cluster,
    };
    (place, part.packed.clone())
}

type Topics = (
    Store<Guarded<NsqTopic>>,
    Shelf<Declared>,
    Watched<Guarded<NsqTopic>>,
);

/// As [`watched`], and found by their clusters as well.
fn topics(api: Api<Guarded<NsqTopic>>, config: watcher::Config) -> Topics {
    let (store, writer) = reflector::store();
    let shelf = Shelf::default();
    let noting = shelf.clone();
    let seen = watcher(api, config)
        .default_backoff()
        .modify(kept::only_what_is_read)
        .inspect_ok(move |event| noting.note(event, declared))
        .reflect(writer)
        .touched_objects()
        .boxed();
    (store, shelf, seen)
}

fn declared(topic: &Guarded<NsqTopic>) -> (Place<'_>, Arc<Declared>) {
    let metadata = topic.meta();
    // One that cannot be read belongs nowhere.
    let readable = topic.0.as_ref().ok();
    let place = Place {
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        cluster: readable.map_or("", |topic| &topic.spec.cluster),
    };
    let declared = Declared {
        name: metadata.name.as_deref().unwrap_or_default().into(),
        uid: metadata.uid.as_deref().map(Into::into),
        topic: readable
            .map(NsqTopic::topic_name)
            .unwrap_or_default()
            .into(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
    };
    (place, Arc::new(declared))
}

/// Of our own resources, only what a person changes; our writes to the status must not wake us.
fn changes<K>(seen: Watched<K>) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + ResourceExt + Send + 'static,
{
    let by_a_person = |object: &K| {
        let deleting = object.meta().deletion_timestamp.is_some();
        let parts = (
            predicates::generation(object),
            predicates::annotations(object),
            predicates::finalizers(object),
            deleting,
        );
        Some(hash_of(&parts))
    };
    seen.predicate_filter(by_a_person, PredicateConfig::default())
}

/// Of machines, only whether they can be relied on; a kubelet says every few seconds that it lives.
fn turns(seen: Watched<Node>) -> impl Stream<Item = Result<Node, watcher::Error>> + Send + 'static {
    let reliance = |node: &Node| {
        let machine = machines::state(node);
        Some(hash_of(&(
            machine.uid.clone(),
            machine.ready,
            machine.out_of_service,
            machine.shut_down,
        )))
    };
    seen.predicate_filter(reliance, PredicateConfig::default())
}

fn clusters_on(pods: &Parts<Pod>, machine: &Node) -> Vec<ObjectRef<Guarded<NsqCluster>>> {
    let name = machine.name_any();
    let places = pods.places_of(|pod| pod.at_hand.machine.as_deref() == Some(&name));
    let clusters = places
        .iter()
        .map(|(namespace, cluster)| reference(namespace, cluster));
    clusters.collect()
}

fn hash_of(value: &impl Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn cluster_of<K: Part>(part: Parcel<K>) -> Option<ObjectRef<Guarded<NsqCluster>>> {
    let named = !part.cluster.is_empty();
    named.then_some(reference(&part.namespace()?, &part.cluster))
}

fn reference(namespace: &str, cluster: &str) -> ObjectRef<Guarded<NsqCluster>> {
    ObjectRef::new(cluster).within(namespace)
}

fn topics_of(
    topics: &Shelf<Declared>,
    cluster: &PartialObjectMeta<NsqCluster>,
) -> Vec<ObjectRef<Guarded<NsqTopic>>> {
    let namespace = cluster.namespace().unwrap_or_default();
    let own = topics.of(&namespace, &cluster.name_any());
    own.iter()
        .map(|topic| ObjectRef::new(topic.name()).within(&namespace))
        .collect()
}

/// The API of one kind in what is watched.
fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
