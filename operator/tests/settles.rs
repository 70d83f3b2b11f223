//! Topics and bridges: whatever is declared and whatever is found, one pass brings it about, and the next has nothing to do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DeploymentStatus;
use kube::ResourceExt;
use nsq_operator::api::{NsqBridge, NsqTopic, TOPIC_FINALIZER, is_ready};
use nsq_operator::bridge::observed as bridge;
use nsq_operator::bridge::plan::plan as plan_bridge;
use nsq_operator::cluster::names::Component;
use nsq_operator::cluster::object::Object;
use nsq_operator::topic::observed::{ClusterState, Held, NodeState, Observed};
use nsq_operator::topic::plan::{Call, FinalizerChange, plan as plan_topic};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T00:00:00Z";

fn settings() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!({}),
        json!({"maxAttempts": 5, "deadLetterTopic": "dead"}),
        json!({"maxDepth": 1000, "overflow": "DropOldest", "messageTtlMs": 60_000}),
    ])
}

fn pause() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![Value::Null, json!(true), json!(false)])
}

prop_compose! {
    fn topic()(
        paused in pause(), settings in settings(), policy in prop::sample::select(vec!["Retain", "Delete"]),
        channels in prop::collection::btree_map("[a-d]", (pause(), self::settings()), 0..4),
        declared_before in prop::collection::btree_set("[a-f]", 0..4), has_finalizer in any::<bool>(),
    ) -> NsqTopic {
        let channels: Vec<Value> = channels.into_iter()
            .map(|(name, (paused, settings))| json!({"name": name, "paused": paused, "settings": settings}))
            .collect();
        let finalizers = if has_finalizer { vec![TOPIC_FINALIZER] } else { vec![] };
        serde_json::from_value(json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqTopic",
            "metadata": {"name": "orders", "namespace": "n", "generation": 2, "finalizers": finalizers},
            "spec": {"cluster": "demo", "channels": channels, "paused": paused, "settings": settings, "deletionPolicy": policy},
            "status": {"topic": "orders", "channels": declared_before},
        })).unwrap()
    }
}

prop_compose! {
    fn held()(
        exists in any::<bool>(), paused in any::<bool>(),
        channels in prop::collection::btree_map("[a-f]", any::<bool>(), 0..5),
        settings in prop::sample::select(vec![Value::Null, json!({"max_attempts": 5, "max_depth": null}), json!({"max_depth": 7})]),
    ) -> Held {
        if !exists {
            return Held::default();
        }
        let channel_settings = channels.keys().map(|name| (name.clone(), settings.clone())).collect();
        Held { exists, paused, channels, settings, channel_settings }
    }
}

/// As a node does what it is asked.
fn obey(held: &mut Held, call: Call) {
    match call {
        Call::CreateTopic => held.exists = true,
        Call::DeleteTopic => *held = Held::default(),
        Call::PauseTopic(paused) => held.paused = paused,
        Call::CreateChannel(name) => drop(held.channels.insert(name, false)),
        Call::DeleteChannel(name) => drop(held.channels.remove(&name)),
        Call::PauseChannel(name, paused) => drop(held.channels.insert(name, paused)),
        Call::SetTopic(settings) => held.settings = settings,
        Call::SetChannel(name, settings) => drop(held.channel_settings.insert(name, settings)),
    }
}

fn nodes(nsqds: Vec<Held>, lookup: Held) -> Vec<NodeState> {
    // nsqlookupd knows no pauses and no settings.
    let lookup = Held {
        exists: lookup.exists,
        channels: lookup
            .channels
            .into_keys()
            .map(|name| (name, false))
            .collect(),
        ..Held::default()
    };
    let nsqds = nsqds.into_iter().map(|held| (Component::Nsqd, held));
    let all = nsqds.chain([(Component::Nsqlookupd, lookup)]).enumerate();
    all.map(|(number, (component, held))| NodeState {
        name: number.to_string(),
        component,
        address: format!("{number}:1"),
        holds: Ok(held),
    })
    .collect()
}

fn bridge_end() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"cluster": "demo"}),
        json!({"nsqdTcpAddresses": ["a:1", "b:1"]}),
        json!({"nsqdTcpAddresses": ["a:1"], "tls": {"secretName": "t"}, "auth": {"secretName": "s"}}),
    ])
}

prop_compose! {
    fn bridge_of()(
        from in bridge_end(), to in bridge_end(), replicas in 0..4,
        options in prop::sample::select(vec![json!({}), json!({"mode": "round-robin", "max-in-flight": 500})]),
        consumer in prop::sample::select(vec![json!({}), json!({"max_attempts": 0})]),
        resources in prop::sample::select(vec![Value::Null, json!({"requests": {"cpu": "0.5", "memory": "1024Mi"}})]),
        template in prop::sample::select(vec![Value::Null, json!({"spec": {"containers": [], "nodeSelector": {"disk": "fast"}}})]),
    ) -> NsqBridge {
        serde_json::from_value(json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqBridge",
            "metadata": {"name": "west", "namespace": "n", "uid": "u", "generation": 2},
            "spec": {"image": "nsq:1", "topics": ["orders", "clicks"], "channel": "west", "from": from, "to": to, "replicas": replicas,
                "options": options, "consumerOptions": consumer, "resources": resources, "podTemplate": template},
        })).unwrap()
    }
}

fn demo(tls: bool) -> bridge::Cluster {
    bridge::Cluster {
        name: "demo".to_owned(),
        nsqds: 2,
        nsqlookupds: 2,
        tls_secret: tls.then(|| "demo-tls".to_owned()),
        auth_secret: tls.then(|| "demo-auth".to_owned()),
    }
}

/// As the API server and the Deployment's controller leave it.
fn run(object: &mut Object, replicas: i32) {
    let Object::Deployment(deployment) = object else {
        return;
    };
    deployment.metadata.uid = Some("d".to_owned());
    deployment.metadata.generation = Some(1);
    deployment.status = Some(DeploymentStatus {
        observed_generation: Some(1),
        replicas: Some(replicas),
        ready_replicas: Some(replicas),
        updated_replicas: Some(replicas),
        ..DeploymentStatus::default()
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_pass_brings_a_topic_about(
        mut topic in topic(), nsqds in prop::collection::vec(held(), 1..4), lookup in held(),
    ) {
        let mut observed = Observed {
            now: NOW.parse().unwrap(),
            cluster: ClusterState::Present,
            rival: None,
            nodes: nodes(nsqds, lookup),
        };
        let foreign = |observed: &Observed, topic: &NsqTopic| -> Vec<BTreeMap<String, bool>> {
            let known = topic.status_or_default().channels;
            let is_foreign = |name: &String| !known.contains(name) && !topic.spec.channels.iter().any(|own| own.name == *name);
            let channels = observed.nodes.iter().map(|node| node.holds.clone().unwrap().channels);
            channels.map(|all| all.into_iter().filter(|(name, _)| is_foreign(name)).collect()).collect()
        };
        let before = foreign(&observed, &topic);
        let first = plan_topic(&topic, &observed);
        prop_assert!(!first.steps.iter().any(|step| step.call == Call::DeleteTopic));
        for step in first.steps {
            let node = observed.nodes.iter_mut().find(|node| node.name == step.node).unwrap();
            obey(node.holds.as_mut().unwrap(), step.call);
        }
        prop_assert_eq!(foreign(&observed, &topic), before, "channels of others are left alone");
        match first.finalizer {
            Some(FinalizerChange::Add) => topic.finalizers_mut().push(TOPIC_FINALIZER.to_owned()),
            Some(FinalizerChange::Remove) => topic.finalizers_mut().clear(),
            None => {}
        }
        topic.status = first.status;
        let second = plan_topic(&topic, &observed);
        prop_assert!(second.steps.is_empty() && second.finalizer.is_none(), "{:?}", second.steps);
        prop_assert!(is_ready(&second.status.as_ref().unwrap().conditions));
        topic.status.clone_from(&second.status);
        let third = plan_topic(&topic, &observed);
        prop_assert_eq!(third.status, second.status);
        prop_assert!(third.events.is_empty());
    }

    #[test]
    fn a_bridge_that_runs_as_declared_is_left_alone(mut bridge in bridge_of(), tls in any::<bool>()) {
        let mut observed = bridge::Observed {
            now: NOW.parse().unwrap(),
            source: Some(demo(tls)),
            target: Some(demo(!tls)),
            backlog: Some(7),
            ..bridge::Observed::default()
        };
        let mut written = plan_bridge(&bridge, &observed).apply.unwrap();
        run(&mut written, bridge.spec.replicas);
        observed.deployment = Some(written);
        let settled = plan_bridge(&bridge, &observed);
        prop_assert_eq!(&settled.apply, &None);
        prop_assert!(is_ready(&settled.status.conditions));
        bridge.status = Some(settled.status.clone());
        prop_assert_eq!(plan_bridge(&bridge, &observed), settled);
    }
}
