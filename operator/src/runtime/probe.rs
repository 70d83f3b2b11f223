//! The operator's own probes: every nsqd of every replicated cluster is asked how its pair stands, about once a second.
//!
//! Kubernetes notices a silent machine after most of a minute; a pair is to have adopted within ten seconds. What a node
//! says is kept as a [`Pulse`]; whenever something that planning looks at has changed, the cluster's pass is woken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use nsq_http_api::{Client, ClientOptions, PairStatus};
use tokio::sync::mpsc;

use super::context::{Context, key_of};
use super::shelf::Named;
use super::watch::Guarded;
use crate::api::NsqCluster;
use crate::cluster::names::{Component, NSQD_HTTP, Node};
use crate::cluster::observe::http_address;
use crate::cluster::plan::{RESTART_PATIENCE, SILENT_PATIENCE};
use crate::cluster::pulse::Pulse;
use crate::cluster::validate::{in_pairs, is_replicated};

/// Time between two probes of a node that answers.
const EVERY: Duration = Duration::from_secs(1);
/// Time between two probes of one that does not: a suspicion wants to be certain soon.
const AGAIN: Duration = Duration::from_millis(250);
/// A node answers within this time, or counts as silent.
pub const ANSWER: Duration = Duration::from_millis(800);
/// Probes under way at one time; with more nodes than can be asked so, the time between two probes grows.
const AT_ONCE: usize = 64;

/// What all probed nodes have said, by cluster and by pod.
#[derive(Debug, Default)]
pub struct Pulses {
    all: Mutex<BTreeMap<String, BTreeMap<String, Pulse>>>,
}

impl Pulses {
    /// Those of one cluster, by its [`key_of`].
    #[must_use]
    pub fn of(&self, cluster: &str) -> Vec<Pulse> {
        let all = self.lock();
        let own = all.get(cluster);
        own.map(|own| own.values().cloned().collect())
            .unwrap_or_default()
    }

    /// A node was hidden at the nsqlookupds.
    pub fn hidden(&self, cluster: &str, pod: &str) {
        if let Some(pulse) = self
            .lock()
            .get_mut(cluster)
            .and_then(|own| own.get_mut(pod))
        {
            pulse.hidden = true;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BTreeMap<String, Pulse>>> {
        // A panic elsewhere leaves the map as good as before.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node to ask.
#[derive(Debug, Clone)]
struct Target {
    cluster: ObjectRef<Guarded<NsqCluster>>,
    key: String,
    pod: String,
    /// Its present pod: uid, and host:port of the HTTP API if it has an address.
    present: Option<(String, Option<String>)>,
}

/// Probes for ever. Clusters that have to be looked at again are sent to `wake`.
pub async fn run(context: Arc<Context>, wake: mpsc::Sender<ObjectRef<Guarded<NsqCluster>>>) {
    let client = Client::new(ClientOptions {
        connect_timeout: ANSWER,
        request_timeout: ANSWER,
        token_file: context.nsqd_token_file.clone(),
        ..ClientOptions::default()
    });
    let mut due: BTreeMap<(String, String), tokio::time::Instant> = BTreeMap::new();
    let mut tick = tokio::time::interval(AGAIN);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let targets = targets(&context);
        forget_others(&context.pulses, &targets);
        let now = tokio::time::Instant::now();
        let names: Vec<_> = targets
            .iter()
            .map(|one| (one.key.clone(), one.pod.clone()))
            .collect();
        due.retain(|name, _| names.contains(name));
        let asked = targets.into_iter().filter(|target| {
            let name = (target.key.clone(), target.pod.clone());
            due.get(&name).is_none_or(|due| *due <= now)
        });
        let answers = stream::iter(asked)
            .map(|target| ask(&client, target))
            .buffer_unordered(AT_ONCE);
        let answers: Vec<_> = answers.collect().await;
        for (target, said, begun) in answers {
            let wait = if said.is_some() { EVERY } else { AGAIN };
            due.insert((target.key.clone(), target.pod.clone()), now + wait);
            if note(&context.pulses, &target, said, begun) {
                // Full: it was woken many times just now.
                let _ = wake.try_send(target.cluster);
            }
        }
    }
}

async fn ask(client: &Client, target: Target) -> (Target, Option<PairStatus>, Timestamp) {
    let begun = Timestamp::now();
    let said = match target
        .present
        .as_ref()
        .and_then(|present| present.1.as_ref())
    {
        Some(address) => client.nsqd(address).pair().await.ok(),
        None => None,
    };
    (target, said, begun)
}

/// Takes note of an answer; whether that changes anything for planning.
fn note(pulses: &Pulses, target: &Target, said: Option<PairStatus>, begun: Timestamp) -> bool {
    let mut all = pulses.lock();
    let own = all.entry(target.key.clone()).or_default();
    let pulse = own
        .entry(target.pod.clone())
        .or_insert_with(|| Pulse::of(&target.pod));
    let before = weight(pulse, begun);
    let uid = target.present.as_ref().map(|present| present.0.as_str());
    pulse.heard(uid, said, begun);
    before != weight(pulse, Timestamp::now())
}

/// What of a pulse planning looks at: a pass is worth its price when this changes.
fn weight(pulse: &Pulse, now: Timestamp) -> impl PartialEq + use<> {
    let silence = pulse.silence(now);
    let stage = silence.map_or(0, |silence| {
        1 + u8::from(silence >= SILENT_PATIENCE) + u8::from(silence >= RESTART_PATIENCE)
    });
    let pair = pulse.pair.as_ref();
    (
        stage,
        pulse.answers(),
        pulse.is_mirrored(now),
        pair.is_some_and(|pair| pair.holder_link),
        pair.and_then(|pair| pair.adoption.clone()),
        pair.and_then(|pair| Some((pair.mirror.as_ref()?.incarnation.clone(), pair.run))),
    )
}

fn forget_others(pulses: &Pulses, targets: &[Target]) {
    let mut all = pulses.lock();
    for (key, own) in all.iter_mut() {
        own.retain(|pod, _| targets.iter().any(|one| one.key == *key && one.pod == *pod));
    }
    all.retain(|_, own| !own.is_empty());
}

/// Every nsqd that its replicated cluster wants, whether it has a pod or not.
fn targets(context: &Context) -> Vec<Target> {
    let replicated: Vec<_> = context
        .stores
        .clusters
        .state()
        .into_iter()
        .filter(|cluster| matches!(&cluster.0, Ok(cluster) if is_replicated(&cluster.spec.nsqd)))
        .collect();
    let mut targets = Vec::new();
    for cluster in replicated {
        let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
        let wanted = match &cluster.0 {
            Ok(cluster) => in_pairs(u32::try_from(cluster.spec.nsqd.replicas).unwrap_or(0), true),
            Err(_) => 0,
        };
        let key = key_of::<NsqCluster>(&namespace, &name);
        // Those that are to be removed are nodes of a pair until they are.
        let present = present_nsqds(context, &namespace, &name);
        let leaving = present
            .keys()
            .filter_map(|pod| Node::from_pod_name(&name, pod))
            .filter(|node| node.component == Component::Nsqd && node.ordinal >= wanted);
        for node in (0..wanted).map(Node::nsqd).chain(leaving) {
            let pod = node.pod_name(&name);
            targets.push(Target {
                cluster: ObjectRef::from_obj(cluster.as_ref()),
                key: key.clone(),
                present: present.get(&pod).cloned(),
                pod,
            });
        }
    }
    targets
}

type Present = (String, Option<String>);

/// Uid and address of every nsqd pod of a cluster, by name.
fn present_nsqds(context: &Context, namespace: &str, cluster: &str) -> BTreeMap<String, Present> {
    let pods = context.stores.pods.of(namespace, cluster);
    pods.iter()
        .filter(|pod| pod.at_hand.component == Some(Component::Nsqd))
        .map(|pod| {
            let ip = pod.at_hand.ip.as_ref();
            let address = ip.map(|ip| http_address(ip, NSQD_HTTP));
            (
                pod.name().to_owned(),
                (pod.at_hand.uid.to_string(), address),
            )
        })
        .collect()
}
