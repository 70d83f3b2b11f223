//! What is done about a topic, for each thing that can be found.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use nsq_operator::api::NsqTopic;
use nsq_operator::cluster::names::Component;
use nsq_operator::topic::observed::{ClusterState, Held, NodeState, Observed};
use nsq_operator::topic::plan::{Call, FinalizerChange, Plan, plan};
use serde_json::{Value, json};

fn topic(spec: Value) -> NsqTopic {
    let mut spec = spec;
    spec["cluster"] = json!("demo");
    serde_json::from_value(json!({
        "apiVersion": "nsq.io/v1alpha1", "kind": "NsqTopic",
        "metadata": {"name": "orders", "namespace": "default", "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

fn node(name: &str, component: Component, holds: Result<Held, String>) -> NodeState {
    NodeState {
        name: name.to_owned(),
        component,
        address: format!("{name}:1"),
        holds,
    }
}

fn holding(channels: &[&str]) -> Result<Held, String> {
    Ok(Held {
        exists: true,
        paused: false,
        channels: channels
            .iter()
            .map(|name| ((*name).to_owned(), false))
            .collect(),
        ..Held::default()
    })
}

fn observed(nodes: Vec<NodeState>) -> Observed {
    Observed {
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        cluster: ClusterState::Present,
        rival: None,
        nodes,
    }
}

fn calls(plan: &Plan) -> Vec<(String, Call)> {
    let steps = plan.steps.iter();
    steps
        .map(|step| (step.node.clone(), step.call.clone()))
        .collect()
}

fn ready(plan: &Plan) -> (String, String) {
    let condition = &plan.status.as_ref().unwrap().conditions[0];
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_new_topic_is_made_on_every_node_with_its_channels() {
    let nodes = vec![
        node("d0", Component::Nsqd, Ok(Held::default())),
        node("l0", Component::Nsqlookupd, holding(&["archive"])),
    ];
    let declared =
        topic(json!({"channels": [{"name": "archive"}, {"name": "mail", "paused": true}]}));
    let plan = plan(&declared, &observed(nodes));
    let expected = [
        ("d0", Call::CreateTopic),
        ("d0", Call::CreateChannel("archive".into())),
        ("d0", Call::CreateChannel("mail".into())),
        ("d0", Call::PauseChannel("mail".into(), true)),
        ("l0", Call::CreateChannel("mail".into())),
    ];
    assert_eq!(
        calls(&plan),
        expected.map(|(node, call)| (node.to_owned(), call))
    );
    assert_eq!(ready(&plan), ("False".to_owned(), "Applying".to_owned()));
}

#[test]
fn a_topic_without_nodes_waits_for_its_cluster_to_speak() {
    let declared = topic(json!({}));
    assert_eq!(plan(&declared, &observed(vec![])).requeue_seconds, 30);
    let away = vec![node("d0", Component::Nsqd, Err("away".to_owned()))];
    let waits = plan(&declared, &observed(away));
    assert!(
        waits.requeue_seconds < 30,
        "nobody tells that a node answers"
    );
}

#[test]
fn what_is_as_declared_is_left_alone() {
    let mut declared = topic(json!({"channels": [{"name": "archive"}]}));
    let nodes = vec![
        node(
            "d0",
            Component::Nsqd,
            holding(&["archive", "made-by-a-consumer"]),
        ),
        node("l0", Component::Nsqlookupd, holding(&["archive"])),
    ];
    let first = plan(&declared, &observed(nodes.clone()));
    assert_eq!(calls(&first), []);
    assert_eq!(ready(&first), ("True".to_owned(), "Ready".to_owned()));
    declared.status = first.status.clone();
    let again = plan(&declared, &observed(nodes));
    assert_eq!((again.status, again.events.len()), (first.status, 0));
}

#[test]
fn a_pause_by_hand_stays_unless_the_manifest_speaks_of_it() {
    let paused = Held {
        exists: true,
        paused: true,
        channels: BTreeMap::from([("c".to_owned(), true)]),
        ..Held::default()
    };
    let nodes = vec![node("d0", Component::Nsqd, Ok(paused))];
    let silent = topic(json!({"channels": [{"name": "c"}]}));
    assert_eq!(calls(&plan(&silent, &observed(nodes.clone()))), []);
    let outspoken = topic(json!({"paused": false, "channels": [{"name": "c", "paused": false}]}));
    let expected = [
        ("d0".to_owned(), Call::PauseTopic(false)),
        ("d0".to_owned(), Call::PauseChannel("c".into(), false)),
    ];
    assert_eq!(calls(&plan(&outspoken, &observed(nodes))), expected);
}

#[test]
fn a_channel_taken_off_the_list_goes_only_with_policy_delete() {
    for (policy, expected) in [
        ("Retain", vec![]),
        (
            "Delete",
            vec![("d0".to_owned(), Call::DeleteChannel("old".into()))],
        ),
    ] {
        let mut declared = topic(json!({"deletionPolicy": policy}));
        declared.status = Some(
            serde_json::from_value(json!({"topic": "orders", "channels": ["old"], "nodes": ""}))
                .unwrap(),
        );
        let nodes = vec![node("d0", Component::Nsqd, holding(&["old", "others"]))];
        let plan = plan(&declared, &observed(nodes));
        assert_eq!(calls(&plan), expected);
        let kept = plan.status.unwrap().channels;
        assert_eq!(
            kept.contains(&"old".to_owned()),
            policy == "Delete",
            "forgotten too early"
        );
    }
}

#[test]
fn a_node_that_cannot_be_asked_is_named() {
    let nodes = vec![
        node("d0", Component::Nsqd, holding(&[])),
        node("d1", Component::Nsqd, Err("connection refused".to_owned())),
    ];
    let plan = plan(&topic(json!({})), &observed(nodes));
    let status = plan.status.unwrap();
    assert_eq!(status.nodes, "1/2");
    assert_eq!(status.conditions[0].reason, "NodesUnreachable");
    assert_eq!(status.conditions[0].message, "d1: connection refused");
}

#[test]
fn the_finalizer_comes_and_goes_with_the_policy() {
    let nodes = vec![node("d0", Component::Nsqd, holding(&[]))];
    let mut declared = topic(json!({"deletionPolicy": "Delete"}));
    let change = plan(&declared, &observed(nodes.clone())).finalizer;
    assert_eq!(change, Some(FinalizerChange::Add));
    declared.metadata.finalizers = Some(vec!["nsq.io/delete-topic".to_owned()]);
    assert_eq!(plan(&declared, &observed(nodes.clone())).finalizer, None);
    declared.spec.deletion_policy = nsq_operator::api::DeletionPolicy::Retain;
    let change = plan(&declared, &observed(nodes)).finalizer;
    assert_eq!(change, Some(FinalizerChange::Remove));
}

fn leaving() -> NsqTopic {
    let mut declared = topic(json!({"deletionPolicy": "Delete"}));
    declared.metadata.finalizers = Some(vec!["nsq.io/delete-topic".to_owned()]);
    declared.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    declared
}

#[test]
fn deletion_waits_for_every_node_and_takes_nsqd_first() {
    let nodes = vec![
        node("l0", Component::Nsqlookupd, holding(&[])),
        node("d0", Component::Nsqd, holding(&[])),
        node("d1", Component::Nsqd, Err("down".to_owned())),
    ];
    let first = plan(&leaving(), &observed(nodes));
    let expected = [
        ("d0".to_owned(), Call::DeleteTopic),
        ("l0".to_owned(), Call::DeleteTopic),
    ];
    assert_eq!((calls(&first), first.finalizer), (expected.to_vec(), None));
    let nodes = vec![node("d0", Component::Nsqd, Ok(Held::default()))];
    let last = plan(&leaving(), &observed(nodes));
    assert_eq!(last.finalizer, Some(FinalizerChange::Remove));
}

#[test]
fn a_topic_whose_cluster_is_gone_is_let_go() {
    for cluster in [ClusterState::Missing, ClusterState::Leaving] {
        let nodes = vec![node("d0", Component::Nsqd, holding(&[]))];
        let found = Observed {
            cluster,
            ..observed(nodes)
        };
        let plan = plan(&leaving(), &found);
        assert_eq!(
            (plan.finalizer, plan.steps),
            (Some(FinalizerChange::Remove), vec![])
        );
    }
}

#[test]
fn the_older_of_two_declarations_wins() {
    let nodes = vec![node("d0", Component::Nsqd, Ok(Held::default()))];
    let found = Observed {
        rival: Some("older".to_owned()),
        ..observed(nodes)
    };
    let younger = plan(&topic(json!({})), &found);
    assert_eq!(calls(&younger), []);
    assert_eq!(ready(&younger), ("False".to_owned(), "Conflict".to_owned()));
}

#[test]
fn settings_are_kept_as_declared_and_others_left_alone() {
    let declared = topic(json!({
        "settings": {"durability": "fsync", "maxAttempts": 5, "deadLetterTopic": "dead"},
        "channels": [{"name": "a", "settings": {"overflow": "DropOldest"}}, {"name": "b"}],
    }));
    let mut held = holding(&["a", "b"]).unwrap();
    held.channel_settings = BTreeMap::from([("b".to_owned(), json!({"max_depth": 9}))]);
    let nodes = |held: Held| observed(vec![node("d0", Component::Nsqd, Ok(held))]);
    let of_topic = json!({"durability": "fsync", "max_attempts": 5, "dead_letter_topic": "dead"});
    let of_a = json!({"overflow": "drop-oldest"});
    let first = plan(&declared, &nodes(held.clone()));
    let expected = [
        ("d0", Call::SetTopic(of_topic.clone())),
        ("d0", Call::SetChannel("a".into(), of_a.clone())),
    ];
    assert_eq!(
        calls(&first),
        expected.map(|(node, call)| (node.to_owned(), call))
    );
    // As nsqd tells them: what is not set is null.
    held.settings = of_topic;
    held.settings["max_depth"] = Value::Null;
    held.channel_settings.insert("a".to_owned(), of_a);
    let next = plan(&declared, &nodes(held));
    assert_eq!(calls(&next), []);
    assert_eq!(ready(&next).0, "True");
}
