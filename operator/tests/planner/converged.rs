//! Whatever is declared: once everything is as declared, there is nothing to be done.

use nsq_http_api::{MirrorStatus, PairStatus};
use nsq_operator::api::NsqCluster;
use nsq_operator::cluster::decide;
use nsq_operator::cluster::names::{Component, Node};
use nsq_operator::cluster::object::{Object, WANTED_HASH};
use nsq_operator::cluster::observed::{
    CertificateState, Machine, Observed, PodState, Process, Relocation, RelocationState, Volume,
};
use nsq_operator::cluster::plan::Action;
use nsq_operator::cluster::pulse::Pulse;
use nsq_operator::cluster::validate::{ValidatedCluster, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::scenario::{NOW, live_objects, open, settle, template_hash};

prop_compose! {
    fn nsqd()(
        replicas in 1..12i32,
        replication in prop::option::of(prop::sample::select(vec![
            json!({}), json!({"enabled": false}), json!({"mirrorAck": "none", "onPeerLoss": "block", "peerLossTimeout": "2s"}),
        ])),
        durability in prop::sample::select(vec!["write", "fsync"]),
        loss in prop::sample::select(vec!["Wait", "OutOfServiceTaint", "ForceDelete"]),
        down in prop::sample::select(vec!["Wait", "Relocate"]),
        size in prop::sample::select(vec!["1Gi", "1024Mi", "1500M", "2Ti"]),
        scaled in prop::sample::select(vec!["Retain", "Delete"]),
        class in prop::option::of(Just("fast")),
        options in prop::sample::select(vec![json!({}), json!({"mem-queue-size": 10}), json!({"msg-timeout": "30s", "log-level": "debug"})]),
        template in prop::option::of(Just(json!({"metadata": {"labels": {"team": "a"}}, "spec": {"containers": [], "nodeSelector": {"disk": "fast"}}}))),
    ) -> Value {
        let mut nsqd = json!({
            "replicas": replicas, "durability": durability, "nodeLossPolicy": loss, "scaleDown": down, "options": options,
            "storage": {"size": size, "whenScaled": scaled, "storageClassName": class},
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        });
        nsqd["replication"] = replication.unwrap_or(Value::Null);
        nsqd["podTemplate"] = template.unwrap_or(Value::Null);
        nsqd
    }
}

/// What else is asked of a cluster.
#[derive(Debug, Clone)]
struct Wishes {
    hibernate: bool,
    tls: bool,
    issued: bool,
    external: Value,
    paused: bool,
    rebalance: bool,
}

prop_compose! {
    fn wishes()(
        hibernate in prop::bool::weighted(0.2), tls in any::<bool>(), issued in any::<bool>(), paused in prop::bool::weighted(0.1),
        rebalance in prop::bool::weighted(0.3),
        external in prop::sample::select(vec![
            Value::Null, json!({"type": "NodePort"}), json!({"type": "NodePort", "address": "nsq.example", "http": true}),
            json!({"type": "LoadBalancer", "annotations": {"class": "inner"}}),
        ]),
    ) -> Wishes {
        Wishes { hibernate, tls, issued, external, paused, rebalance }
    }
}

fn cluster(nsqd: Value, lookups: i32, wishes: &Wishes) -> NsqCluster {
    let Wishes {
        hibernate,
        tls,
        issued,
        external,
        ..
    } = wishes;
    let mut spec = json!({
        "image": "nsq:1", "hibernate": hibernate, "nsqd": nsqd, "nsqlookupd": {"replicas": lookups},
    });
    if *tls {
        spec["tls"] = json!({"secretName": "demo-tls", "required": true});
        spec["auth"] = json!({"secretName": "demo-auth"});
    }
    if *issued {
        spec["tls"] = json!({"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}});
        spec["httpTokens"] = json!({"secretName": "demo-tokens"});
    }
    spec["external"] = external.clone();
    let mut annotations = json!({});
    if wishes.paused {
        annotations["nsq.io/paused"] = json!("true");
    }
    if wishes.rebalance {
        annotations["nsq.io/rebalance"] = json!("demo-nsqd-0-0");
    }
    serde_json::from_value(json!({
        "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
        "metadata": {"name": "demo", "namespace": "default", "uid": "u", "generation": 3, "annotations": annotations},
        "spec": spec,
    }))
    .unwrap()
}

/// Everything as declared, every node ready and mirrored.
fn converged(cluster: &NsqCluster, valid: &ValidatedCluster) -> Observed {
    let mut objects = live_objects(cluster);
    let mut observed = Observed {
        now: NOW.parse().unwrap(),
        ..Observed::default()
    };
    let nsqds = (0..valid.nsqd.replicas).map(Node::nsqd);
    let lookups = (0..valid.nsqlookupd.replicas).map(Node::nsqlookupd);
    for node in nsqds.clone() {
        observed.volumes.push(Volume {
            claim: format!("data-{}", node.pod_name("demo")),
            size: valid.storage.size.0.clone(),
        });
    }
    let running = nsqds.chain(lookups).filter(|_| !valid.hibernate);
    for node in running {
        let (name, machine) = (node.pod_name("demo"), format!("m{}", node.ordinal));
        if node.component == Component::Nsqd && valid.replication.is_some() {
            observed.pulses.push(pulse(node));
        }
        observed.machines.push(Machine {
            name: machine.clone(),
            address: "192.0.2.1".to_owned(),
            exists: true,
            ready: true,
            ..Machine::default()
        });
        observed.pods.push(PodState {
            uid: format!("uid-of-{name}"),
            component: node.component,
            ready: true,
            since: NOW.parse().unwrap(),
            terminating: false,
            template_hash: template_hash(&objects, &name),
            restarted_at: None,
            publishing: node.component == Component::Nsqd,
            address: Some(format!("{name}:1")),
            machine: Some(machine),
            unplaced: false,
            process: Process::Running,
            tls: valid.tls.is_some(),
            problem: None,
            name,
        });
    }
    open_all(&mut objects);
    observed.objects = objects;
    observed.certificate = CertificateState::Issued {
        until: String::new(),
    };
    observed
}

/// Every Service by which those outside come in has got its address.
fn open_all(objects: &mut [Object]) {
    let names = objects.iter().map(|object| object.name().to_owned());
    let outside: Vec<String> = names.filter(|name| name.ends_with("-external")).collect();
    let ports = (30_000..).step_by(10);
    let ports = outside.iter().cloned().zip(ports).collect();
    let addresses = outside
        .into_iter()
        .map(|name| (name, "203.0.113.1".to_owned()));
    open(objects, &ports, &addresses.collect());
}

/// What only a pass makes, once the rest is there: the addresses outside, and the Job that relieves a hot node.
fn finish(cluster: &NsqCluster, observed: &mut Observed) -> Result<(), TestCaseError> {
    let plan = decide(cluster, observed);
    for mut object in plan.apply {
        prop_assert_eq!(
            (object.kind(), object.name()),
            ("ConfigMap", "demo-external")
        );
        settle(&mut object);
        observed.objects.push(object);
    }
    for action in plan.actions {
        let Action::Relocate { pod, job, .. } = action else {
            return Err(TestCaseError::fail(format!("{action:?}")));
        };
        let annotations = job.metadata.annotations.unwrap();
        observed.relocations.push(Relocation {
            pod,
            uid: "job".to_owned(),
            wanted_hash: annotations[WANTED_HASH].clone(),
            terminating: false,
            state: RelocationState::Complete,
            ended: Some(observed.now),
            problem: None,
        });
    }
    Ok(())
}

fn pulse(node: Node) -> Pulse {
    let (name, peer) = (node.pod_name("demo"), node.peer().pod_name("demo"));
    Pulse {
        uid: format!("uid-of-{name}"),
        answered: true,
        pair: Some(PairStatus {
            node: name.clone(),
            peer: peer.clone(),
            mirrored: true,
            origin_link: true,
            holder_link: true,
            mirror: Some(MirrorStatus {
                node: peer,
                whole: true,
                ..MirrorStatus::default()
            }),
            ..PairStatus::default()
        }),
        pod: name,
        ..Pulse::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_as_declared_gives_an_empty_plan(nsqd in nsqd(), lookups in 1..6i32, wishes in wishes()) {
        let mut cluster = cluster(nsqd, lookups, &wishes);
        let valid = validate(&cluster).unwrap();
        let mut observed = converged(&cluster, &valid);
        if !wishes.paused {
            finish(&cluster, &mut observed)?;
        }
        let relieved = observed.relocations.len();
        let asked = wishes.rebalance && valid.nsqd.replicas > 1 && !wishes.hibernate && !wishes.paused;
        prop_assert_eq!(relieved, usize::from(asked), "a hot node is relieved when that is asked for");
        let plan = decide(&cluster, &observed);
        prop_assert!(plan.apply.is_empty(), "to write: {:?}", plan.apply.iter().map(|it| it.name()).collect::<Vec<_>>());
        prop_assert!(plan.delete.is_empty() && plan.actions.is_empty(), "{:?} {:?}", plan.delete, plan.actions);
        let outside = plan.status.conditions.iter().find(|found| found.type_ == "Exposed");
        prop_assert!(wishes.hibernate || outside.is_none_or(|exposed| exposed.status == "True"), "{:?}", outside);
        let ready = &plan.status.conditions[0];
        prop_assert_eq!((ready.type_.as_str(), ready.status == "True"), ("Ready", !wishes.hibernate));
        prop_assert_eq!(plan.requeue_seconds, 60, "nobody looks again at once");
        cluster.status = Some(plan.status);
        let again = decide(&cluster, &observed);
        prop_assert!(again.is_empty(&cluster) && again.events.is_empty(), "{:?}", again.events);
    }
}
