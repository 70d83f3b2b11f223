//! A short way to write down what is observed.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use nsq_operator::api::NsqCluster;
use nsq_operator::cluster::build::{self, RESTARTED_AT, TEMPLATE_HASH};
use nsq_operator::cluster::names::{Node, pairs};
use nsq_operator::cluster::object::Object;
use nsq_operator::cluster::observed::{
    CertificateState, Claim, Leaving, Machine, Observed, PodState, Process, Relocation, Volume,
};
use nsq_operator::cluster::pulse::Pulse;
use nsq_operator::cluster::validate::validate;
use serde::Deserialize;
use serde_json::json;

pub const NOW: &str = "2026-01-01T00:10:00Z";

/// `observed.yaml` of a golden case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Manifest from which the existing objects were made; without it there are none.
    built_from: Option<String>,
    /// Manifest from which pods run that run the previous template; `builtFrom` if left out.
    previous_manifest: Option<String>,
    /// StatefulSets on which `kubectl rollout restart` was run, and when.
    #[serde(default)]
    rollout_restart: BTreeMap<String, String>,
    pods: Vec<Pod>,
    #[serde(default)]
    unbound: Vec<String>,
    #[serde(default)]
    leaving: Vec<Leaving>,
    #[serde(default)]
    draining: Vec<String>,
    #[serde(default)]
    relocations: Vec<Relocation>,
    #[serde(default)]
    pulses: Vec<Pulse>,
    #[serde(default)]
    machines: Vec<Machine>,
    #[serde(default)]
    claims: Vec<Claim>,
    #[serde(default)]
    volumes: Vec<Volume>,
    #[serde(default)]
    certificate: CertificateState,
    /// Services' ports of machines: name of the Service to its first one, the others follow.
    #[serde(default)]
    node_ports: BTreeMap<String, i32>,
    /// Services' load balancers: name of the Service to its address.
    #[serde(default)]
    load_balancers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pod {
    name: String,
    runs: Runs,
    #[serde(default = "yes")]
    ready: bool,
    since: Option<String>,
    #[serde(default)]
    terminating: bool,
    restarted_at: Option<String>,
    #[serde(default = "yes")]
    publishing: bool,
    machine: Option<String>,
    #[serde(default)]
    unplaced: bool,
    #[serde(default)]
    process: Process,
    #[serde(default)]
    tls: bool,
    problem: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Runs {
    Present,
    Previous,
}

fn yes() -> bool {
    true
}

pub fn read_cluster(path: &Path) -> NsqCluster {
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// The objects of a cluster as an API server would hold them.
pub fn live_objects(cluster: &NsqCluster) -> Vec<Object> {
    let valid = validate(cluster).unwrap();
    let nodes = valid.nsqd.replicas;
    let mut objects = build::objects(&valid, nodes, pairs(nodes), valid.hibernate);
    for object in &mut objects {
        settle(object);
    }
    objects
}

/// What the API server and the StatefulSet controller add to an object that they have seen.
pub fn settle(object: &mut Object) {
    let name = object.name().to_owned();
    match object {
        Object::StatefulSet(set) => {
            set.metadata.uid = Some(format!("uid-of-{name}"));
            set.metadata.generation = Some(1);
            if let Some(spec) = &mut set.spec {
                spec.revision_history_limit = Some(10);
            }
            set.status = Some(StatefulSetStatus {
                observed_generation: Some(1),
                ..StatefulSetStatus::default()
            });
        }
        Object::Service(service) => {
            service.metadata.uid = Some(format!("uid-of-{name}"));
            if let Some(spec) = &mut service.spec {
                spec.session_affinity = Some("None".to_owned());
            }
        }
        Object::PodDisruptionBudget(budget) => {
            budget.metadata.uid = Some(format!("uid-of-{name}"));
        }
        Object::ConfigMap(config) => {
            config.metadata.uid = Some(format!("uid-of-{name}"));
        }
        Object::Deployment(deployment) => {
            deployment.metadata.uid = Some(format!("uid-of-{name}"));
        }
        Object::Certificate(certificate) => {
            certificate.metadata.uid = Some(format!("uid-of-{name}"));
        }
        Object::ServiceAccount(account) => {
            account.metadata.uid = Some(format!("uid-of-{name}"));
        }
    }
}

/// What becomes of Services by which those outside come in.
pub fn open(
    objects: &mut [Object],
    node_ports: &BTreeMap<String, i32>,
    load_balancers: &BTreeMap<String, String>,
) {
    for object in objects {
        let name = object.name().to_owned();
        let Object::Service(service) = object else {
            continue;
        };
        let ports = service.spec.as_mut().and_then(|spec| spec.ports.as_mut());
        if let Some(first) = node_ports.get(&name) {
            for (port, number) in ports.into_iter().flatten().zip(*first..) {
                port.node_port = Some(number);
            }
        }
        if let Some(address) = load_balancers.get(&name) {
            let status = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
            service.status = Some(serde_json::from_value(status).unwrap());
        }
    }
}

/// Template hash of the set a pod belongs to.
pub fn template_hash(objects: &[Object], pod: &str) -> Option<String> {
    let (set_name, _) = pod.rsplit_once('-')?;
    objects.iter().find_map(|object| match object {
        Object::StatefulSet(set) if set.metadata.name.as_deref() == Some(set_name) => {
            let template = &set.spec.as_ref()?.template;
            template
                .metadata
                .as_ref()?
                .annotations
                .as_ref()?
                .get(TEMPLATE_HASH)
                .cloned()
        }
        _ => None,
    })
}

impl Scenario {
    /// The case in this folder.
    pub fn read(folder: &Path) -> (NsqCluster, Observed) {
        let cluster = read_cluster(&folder.join("cluster.yaml"));
        let path = folder.join("observed.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario: Self =
            serde_yaml::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let observed = scenario.observe(folder, &cluster);
        (cluster, observed)
    }

    fn observe(self, folder: &Path, cluster: &NsqCluster) -> Observed {
        let from = |name: &Option<String>| {
            name.as_ref()
                .map(|name| live_objects(&read_cluster(&folder.join(name))))
        };
        let built = from(&self.built_from).unwrap_or_default();
        let previous = from(&self.previous_manifest).unwrap_or_else(|| built.clone());
        let present = validate(cluster).map_or_else(|_| built.clone(), |_| live_objects(cluster));
        let mut objects = built;
        for object in &mut objects {
            if let Object::StatefulSet(set) = object
                && let Some(time) = self
                    .rollout_restart
                    .get(set.metadata.name.as_ref().unwrap())
            {
                let template = &mut set.spec.as_mut().unwrap().template;
                let annotations = template.metadata.get_or_insert_default();
                annotations
                    .annotations
                    .get_or_insert_default()
                    .insert(RESTARTED_AT.to_owned(), time.clone());
            }
        }
        open(&mut objects, &self.node_ports, &self.load_balancers);
        let pods = self.pods.into_iter().map(|pod| {
            let runs = match pod.runs {
                Runs::Present => &present,
                Runs::Previous => &previous,
            };
            // A pod whose set is no longer wanted runs what it was made from.
            let hash =
                template_hash(runs, &pod.name).or_else(|| template_hash(&previous, &pod.name));
            pod.state("demo", hash)
        });
        Observed {
            now: NOW.parse().unwrap(),
            objects,
            pods: pods.collect(),
            unbound: self.unbound,
            leaving: self.leaving,
            draining: self.draining,
            relocations: self.relocations,
            pulses: self.pulses,
            machines: self.machines,
            claims: self.claims,
            volumes: self.volumes,
            certificate: self.certificate,
        }
    }
}

impl Pod {
    fn state(self, cluster: &str, template_hash: Option<String>) -> PodState {
        let node = Node::from_pod_name(cluster, &self.name).unwrap();
        PodState {
            uid: format!("uid-of-{}", self.name),
            component: node.component,
            ready: self.ready,
            since: self.since.as_deref().unwrap_or(NOW).parse().unwrap(),
            terminating: self.terminating,
            template_hash,
            restarted_at: self.restarted_at,
            publishing: self.publishing,
            address: Some(format!("{}.test:{}", self.name, node.component.http_port())),
            machine: self.machine,
            unplaced: self.unplaced,
            process: self.process,
            tls: self.tls,
            problem: self.problem,
            name: self.name,
        }
    }
}
