//! Whatever is declared: once everything is as declared, there is nothing to be done.

use nsq_http_api::{MirrorStatus, PairStatus};
use nsq_operator::api::NsqCluster;
use nsq_operator::cluster::decide;
use nsq_operator::cluster::names::{Component, Node};
use nsq_operator::cluster::observed::{
    CertificateState, Machine, Observed, PodState, Process, Volume,
};
use nsq_operator::cluster::pulse::Pulse;
use nsq_operator::cluster::validate::{ValidatedCluster, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::scenario::{NOW, live_objects, template_hash};

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

fn cluster(nsqd: Value, lookups: i32, hibernate: bool, tls: bool, issued: bool) -> NsqCluster {
    let mut spec = json!({
        "image": "nsq:1", "hibernate": hibernate, "nsqd": nsqd, "nsqlookupd": {"replicas": lookups},
    });
    if tls {
        spec["tls"] = json!({"secretName": "demo-tls", "required": true});
        spec["auth"] = json!({"secretName": "demo-auth"});
    }
    if issued {
        spec["tls"] = json!({"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}});
        spec["httpTokens"] = json!({"secretName": "demo-tokens"});
    }
    serde_json::from_value(json!({
        "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
        "metadata": {"name": "demo", "namespace": "default", "uid": "u", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

/// Everything as declared, every node ready and mirrored.
fn converged(cluster: &NsqCluster, valid: &ValidatedCluster) -> Observed {
    let objects = live_objects(cluster);
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
            observed.machines.push(Machine {
                name: machine.clone(),
                exists: true,
                ready: true,
                ..Machine::default()
            });
        }
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
    observed.objects = objects;
    observed.certificate = CertificateState::Issued {
        until: String::new(),
    };
    observed
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
    fn what_is_as_declared_gives_an_empty_plan(
        nsqd in nsqd(), lookups in 1..6i32, hibernate in prop::bool::weighted(0.2), tls in any::<bool>(),
        issued in any::<bool>(),
    ) {
        let mut cluster = cluster(nsqd, lookups, hibernate, tls, issued);
        let valid = validate(&cluster).unwrap();
        let observed = converged(&cluster, &valid);
        let plan = decide(&cluster, &observed);
        prop_assert!(plan.apply.is_empty(), "to write: {:?}", plan.apply.iter().map(|it| it.name()).collect::<Vec<_>>());
        prop_assert!(plan.delete.is_empty() && plan.actions.is_empty(), "{:?} {:?}", plan.delete, plan.actions);
        let ready = &plan.status.conditions[0];
        prop_assert_eq!((ready.type_.as_str(), ready.status == "True"), ("Ready", !hibernate));
        prop_assert_eq!(plan.requeue_seconds, 60, "nobody looks again at once");
        cluster.status = Some(plan.status);
        let again = decide(&cluster, &observed);
        prop_assert!(again.is_empty(&cluster) && again.events.is_empty(), "{:?}", again.events);
    }
}
