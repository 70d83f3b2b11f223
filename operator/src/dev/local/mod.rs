//! The second executor of plans: StatefulSets become processes, pods have loopback addresses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use kube::ResourceExt;
use nsq_http_api::{AdoptOrder, Client};
use tokio::sync::mpsc;

mod command;
mod companion;
mod leaving;
mod pod;

use command::{arguments, mirror_arguments, relocation_arguments};
use leaving::Moving;
pub use pod::{LocalPod, State};

use crate::api::NsqCluster;
use crate::cluster::build::TEMPLATE_HASH;
use crate::cluster::decide;
use crate::cluster::leaving::Sightings;
use crate::cluster::names::{Component, Node};
use crate::cluster::object::Object;
use crate::cluster::observed::Observed;
use crate::cluster::plan::{Action, Plan};
use crate::cluster::validate::{ValidatedCluster, validate};
use crate::dev::leftovers::pid_file;
use crate::dev::ports::{PortBook, Ports, is_free};
use crate::dev::process::{Exited, Launch, Process};

/// Looks at a leaving node this far apart count as several.
const LEAVING_SPACING: SignedDuration = SignedDuration::from_secs(1);

/// Events that say nothing but what the nodes' and the cluster's states say.
const SHOWN_ANYWAY: [&str; 3] = ["Ready", "Degraded", "Recovered"];

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub struct Places {
    /// Directory of the daemons' binaries.
    pub binaries: PathBuf,
    /// Directory of all data and logs.
    pub data: PathBuf,
}

/// One cluster, running as processes.
pub struct LocalCluster {
    pub cluster: NsqCluster,
    objects: Vec<Object>,
    pub pods: BTreeMap<String, LocalPod>,
    sightings: Sightings,
    places: Places,
    exits: mpsc::Sender<Exited>,
}

impl LocalCluster {
    #[must_use]
    pub fn new(cluster: NsqCluster, places: Places, exits: mpsc::Sender<Exited>) -> Self {
        Self {
            cluster,
            objects: Vec::new(),
            pods: BTreeMap::new(),
            sightings: Sightings::new(LEAVING_SPACING),
            places,
            exits,
        }
    }

    /// Takes over an edited manifest; what runs keeps running until the next pass.
    pub fn edit(&mut self, edited: NsqCluster) {
        let status = self.cluster.status.take();
        let generation = self.cluster.metadata.generation.unwrap_or(1);
        let changed = i64::from(edited.spec != self.cluster.spec);
        self.cluster = edited;
        self.cluster.status = status;
        self.cluster.metadata.generation = Some(generation + changed);
    }

    /// One pass: observe, plan, apply. Gives sentences worth telling.
    pub async fn pass(&mut self, client: &Client, ports: &mut PortBook) -> Vec<String> {
        self.probe(client).await;
        let observed = self.observe(ports);
        let plan = decide(&self.cluster, &observed);
        self.order(client, &plan).await;
        self.apply(plan, ports)
    }

    /// Passes the orders on; one that is not heard is given again in the next pass.
    async fn order(&self, client: &Client, plan: &Plan) {
        for action in &plan.actions {
            let _ = match action {
                Action::Adopt {
                    address,
                    node,
                    incarnation,
                    run,
                    ..
                } => {
                    let order = AdoptOrder {
                        node,
                        incarnation,
                        run: *run,
                    };
                    client.nsqd(address).adopt(&order).await
                }
                Action::Drain { address, drain, .. } if *drain => {
                    client.nsqd(address).drain().await
                }
                Action::Drain { address, .. } => client.nsqd(address).undrain().await,
                _ => Ok(()),
            };
        }
    }

    /// A process has ended.
    pub fn on_exit(&mut self, exited: &Exited) {
        let file = pid_file(&self.data_of(&exited.name));
        for (name, pod) in &mut self.pods {
            for companion in [&mut pod.mirror, &mut pod.relocation] {
                if companion.name(name) == exited.name && companion.on_exit(exited) {
                    let _ = std::fs::remove_file(&file);
                }
            }
        }
        if let Some(pod) = self.pods.get_mut(&exited.name)
            && pod.on_exit(exited)
        {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Asks every process to end.
    pub fn stop_all(&mut self) {
        for pod in self.pods.values_mut() {
            pod.stop();
        }
    }

    /// Whether no process is left.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.pods.values().all(LocalPod::is_ended)
    }

    /// Asks every node how it is, all at once.
    async fn probe(&mut self, client: &Client) {
        let pods = self.pods.iter_mut();
        let probes = pods.map(|(name, pod)| pod.probe(name, client));
        join_all(probes).await;
    }

    fn observe(&mut self, ports: &PortBook) -> Observed {
        let mut observed = Observed {
            now: Timestamp::now(),
            objects: self.objects.clone(),
            pods: self
                .pods
                .iter()
                .filter_map(|(name, pod)| pod.observed(name))
                .collect(),
            ..Observed::default()
        };
        let Ok(valid) = validate(&self.cluster) else {
            return observed;
        };
        if valid.replication.is_some() {
            let nsqds = self.pods.values();
            let nsqds = nsqds.filter(|pod| pod.node.component == Component::Nsqd);
            observed.pulses = nsqds.map(|pod| pod.pulse.clone()).collect();
        }
        for state in &mut observed.pods {
            // Another node has had to take other ports, and this one was started with the old.
            if self.was_told_otherwise(&state.name, &valid, ports) {
                state.template_hash = None;
            }
        }
        self.observe_leaving(&valid, &mut observed);
        observed
    }

    fn apply(&mut self, plan: Plan, ports: &mut PortBook) -> Vec<String> {
        for mut object in plan.apply {
            if let Object::StatefulSet(set) = &mut object {
                set.status = Some(StatefulSetStatus::default());
            }
            self.objects.retain(|live| !live.is_same(&object));
            self.objects.push(object);
        }
        for deletion in &plan.delete {
            self.objects
                .retain(|live| live.kind() != deletion.kind || live.name() != deletion.name);
        }
        for action in plan.actions {
            match action {
                Action::Restart { pod, .. } => {
                    if let Some(pod) = self.pods.get_mut(&pod) {
                        pod.stop();
                    }
                }
                Action::Publish { pod, publish, .. } => {
                    if let Some(pod) = self.pods.get_mut(&pod) {
                        pod.publishing = publish;
                    }
                }
                Action::Relocate { pod, to, job } => {
                    self.move_from(&pod, Some(Moving::new(to, &job)))
                }
                Action::EndRelocation { pod, .. } => self.move_from(&pod, None),
                Action::ReplaceSet { set, .. } => self.objects.retain(|live| live.name() != set),
                // Orders have been passed on; the others are about machines and volumes, of which there are none.
                _ => {}
            }
        }
        self.cluster.status = Some(plan.status);
        let mut told = plan
            .events
            .into_iter()
            .filter(|event| !SHOWN_ANYWAY.contains(&event.reason))
            .map(|event| event.note)
            .collect();
        self.run_sets(ports, &mut told);
        told
    }

    /// What the StatefulSet controller and the kubelets do in Kubernetes.
    fn run_sets(&mut self, ports: &mut PortBook, told: &mut Vec<String>) {
        let Ok(valid) = validate(&self.cluster) else {
            return;
        };
        let wanted = wanted_pods(&self.cluster.name_any(), &self.objects);
        for (name, pod) in &mut self.pods {
            if !wanted.contains_key(name) {
                pod.stop();
            }
        }
        self.pods.retain(|name, pod| {
            let stays = wanted.contains_key(name) || !pod.is_ended();
            if !stays {
                ports.take_back(name);
            }
            stays
        });
        // Ports first: a command line names those of other nodes.
        for (name, (node, _)) in &wanted {
            if !self.pods.contains_key(name) {
                match give_ports(ports, name, *node, told) {
                    Some(given) => {
                        self.pods.insert(name.clone(), LocalPod::new(*node, given));
                    }
                    None => told.push(format!("{name}: no free ports on 127.0.0.1")),
                }
            }
        }
        self.keep_companions(&valid, ports);
        for (name, (_, hash)) in wanted {
            if self.pods.get(&name).is_some_and(LocalPod::is_due) {
                self.start(&name, hash, &valid, ports, told);
            }
        }
    }

    /// A mirror runs while its nsqd does, a relocation until there is nothing to move.
    fn keep_companions(&mut self, valid: &ValidatedCluster, ports: &PortBook) {
        let data = self.places.data.join(self.cluster.name_any());
        for (name, pod) in &mut self.pods {
            let runs = matches!(
                pod.state,
                State::Starting(_) | State::Ready(_) | State::Unready(_)
            );
            let replicated = valid.replication.is_some() && pod.node.component == Component::Nsqd;
            let wanted =
                (runs && replicated).then(|| mirror_arguments(valid, pod.node, pod.ports, ports));
            let binaries = &self.places.binaries;
            pod.mirror.keep(name, binaries, &data, wanted, &self.exits);
            let moving = pod.moving.as_ref().filter(|_| runs);
            let wanted = moving.map(|moving| relocation_arguments(pod.ports, &moving.to, ports));
            pod.relocation
                .keep(name, binaries, &data, wanted, &self.exits);
        }
    }

    fn was_told_otherwise(&self, name: &str, valid: &ValidatedCluster, ports: &PortBook) -> bool {
        self.pods.get(name).is_some_and(|pod| {
            let data = self.data_of(name);
            pod.state.process().is_some()
                && pod.arguments != arguments(valid, pod.node, pod.ports, &data, ports)
        })
    }

    fn data_of(&self, name: &str) -> PathBuf {
        self.places.data.join(self.cluster.name_any()).join(name)
    }

    fn start(
        &mut self,
        name: &str,
        hash: Option<String>,
        valid: &ValidatedCluster,
        ports: &mut PortBook,
        told: &mut Vec<String>,
    ) {
        let data = self.data_of(name);
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        // Somebody else may have taken the ports while the process was away.
        if !(is_free(pod.ports.tcp) && is_free(pod.ports.http)) {
            match give_ports(ports, name, pod.node, told) {
                Some(given) => pod.ports = given,
                None => return pod.fail("no free ports on 127.0.0.1".to_owned()),
            }
        }
        let component = pod.node.component;
        let launch = Launch {
            name: name.to_owned(),
            binary: self.places.binaries.join(component.as_str()),
            arguments: arguments(valid, pod.node, pod.ports, &data, ports),
            log: data.with_extension("log"),
        };
        let started = std::fs::create_dir_all(&data)
            .and_then(|()| Process::start(&launch, self.exits.clone()));
        match started {
            Ok(process) => {
                // Should it not be written, a run after a kill could not end the process; all else works.
                let _ = std::fs::write(pid_file(&data), process.pid.to_string());
                pod.run(process, launch.arguments, hash);
            }
            Err(err) => pod.fail(format!("cannot start {}: {err}", launch.binary.display())),
        }
    }
}

/// The pods that the StatefulSets ask for, each with its node and the hash of its template.
fn wanted_pods(cluster: &str, objects: &[Object]) -> BTreeMap<String, (Node, Option<String>)> {
    let mut wanted = BTreeMap::new();
    for object in objects {
        let Object::StatefulSet(set) = object else {
            continue;
        };
        let replicas = set
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(0);
        for index in 0..replicas {
            let name = format!("{}-{index}", object.name());
            if let Some(node) = Node::from_pod_name(cluster, &name) {
                wanted.insert(name, (node, template_hash(set)));
            }
        }
    }
    wanted
}

fn template_hash(set: &StatefulSet) -> Option<String> {
    let template = set.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(TEMPLATE_HASH).cloned()
}

fn give_ports(
    book: &mut PortBook,
    name: &str,
    node: Node,
    told: &mut Vec<String>,
) -> Option<Ports> {
    let given = book.give(name, node.component, node.ordinal, is_free)?;
    if let Some(first) = given.instead_of {
        told.push(format!(
            "{name}: ports {} and {} are in use, it takes {} and {}",
            first.tcp, first.http, given.ports.tcp, given.ports.http
        ));
    }
    Some(given.ports)
}
