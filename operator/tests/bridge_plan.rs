//! What is planned for a bridge.
#![allow(clippy::unwrap_used)]

use k8s_openapi::api::apps::v1::DeploymentStatus;
use nsq_operator::api::NsqBridge;
use nsq_operator::bridge::observed::{Cluster, Observed};
use nsq_operator::bridge::plan::{Plan, plan};
use nsq_operator::cluster::object::Object;
use serde_json::{Value, json};

fn bridge(spec: Value) -> NsqBridge {
    let mut full = json!({"image": "nsq:1", "topics": ["orders", "clicks"], "from": {"cluster": "demo"}, "to": {"nsqdTcpAddresses": ["b:1"]}});
    for (key, value) in spec.as_object().unwrap() {
        full[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "nsq.io/v1alpha1", "kind": "NsqBridge",
        "metadata": {"name": "west", "namespace": "ns", "uid": "u", "generation": 2}, "spec": full,
    }))
    .unwrap()
}

fn demo() -> Cluster {
    Cluster {
        name: "demo".to_owned(),
        nsqds: 2,
        nsqlookupds: 2,
        tls_secret: Some("demo-tls".to_owned()),
        auth_secret: Some("demo-auth".to_owned()),
    }
}

fn observed() -> Observed {
    Observed {
        source: Some(demo()),
        backlog: Some(7),
        ..Observed::default()
    }
}

fn container(plan: &Plan) -> Value {
    let Some(Object::Deployment(deployment)) = &plan.apply else {
        panic!("no Deployment is written: {plan:?}");
    };
    let value = serde_json::to_value(deployment).unwrap();
    value["spec"]["template"]["spec"]["containers"][0].clone()
}

fn condition(plan: &Plan, type_: &str) -> (String, String, String) {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|found| found.type_ == type_).unwrap();
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

#[test]
fn a_cluster_is_consumed_with_its_certificates_and_secrets() {
    let options = json!({"channel": "west", "options": {"mode": "round-robin"}, "consumerOptions": {"max_attempts": 0}, "producerOptions": {"snappy": "true"}});
    let plan = plan(&bridge(options), &observed());
    let container = container(&plan);
    assert_eq!(
        container["args"],
        json!([
            "--topic=orders",
            "--topic=clicks",
            "--channel=west",
            "--lookupd-http-address=demo-nsqlookupd-0.demo-nsqlookupd.ns.svc:4161",
            "--lookupd-http-address=demo-nsqlookupd-1.demo-nsqlookupd.ns.svc:4161",
            "--destination-nsqd-tcp-address=b:1",
            "--mode=round-robin",
            "--consumer-opt=max_attempts,0",
            "--producer-opt=snappy,true",
            "--consumer-opt=tls_v1,true",
            "--consumer-opt=tls_root_ca_file,/etc/nsq/from/ca.crt",
            "--consumer-opt=auth_secret,$(AUTH_FROM)",
        ])
    );
    let variable = &container["env"][0];
    assert_eq!(variable["name"], "AUTH_FROM");
    assert_eq!(variable["valueFrom"]["secretKeyRef"]["name"], "demo-auth");
    assert_eq!(plan.status.backlog, Some(7));
    assert_eq!(condition(&plan, "Ready").1, "PodsNotReady");
}

#[test]
fn all_nsqds_of_a_target_are_named() {
    let to = json!({"from": {"nsqdTcpAddresses": ["a:1"], "tls": {"secretName": "s"}}, "to": {"cluster": "demo"}});
    let observed = Observed {
        target: Some(demo()),
        ..Observed::default()
    };
    let arguments = container(&plan(&bridge(to), &observed))["args"].to_string();
    for wanted in [
        "--nsqd-tcp-address=a:1",
        "--destination-nsqd-tcp-address=demo-nsqd-0-0.demo-nsqd.ns.svc:4150",
        "--destination-nsqd-tcp-address=demo-nsqd-0-1.demo-nsqd.ns.svc:4150",
        "--consumer-opt=tls_root_ca_file,/etc/nsq/from/ca.crt",
        "--producer-opt=auth_secret,$(AUTH_TO)",
    ] {
        assert!(arguments.contains(wanted), "{wanted}: {arguments}");
    }
}

#[test]
fn one_that_runs_as_declared_is_left_alone() {
    let mut bridge = bridge(json!({}));
    let mut observed = observed();
    let Some(mut deployment) = plan(&bridge, &observed).apply else {
        panic!("nothing is written");
    };
    if let Object::Deployment(deployment) = &mut deployment {
        deployment.metadata.generation = Some(1);
        deployment.status = Some(DeploymentStatus {
            observed_generation: Some(1),
            replicas: Some(1),
            ready_replicas: Some(1),
            updated_replicas: Some(1),
            ..DeploymentStatus::default()
        });
    }
    observed.deployment = Some(deployment);
    let settled = plan(&bridge, &observed);
    assert_eq!(settled.apply, None);
    assert_eq!(condition(&settled, "Ready").0, "True");
    bridge.status = Some(settled.status.clone());
    assert_eq!(plan(&bridge, &observed).status, settled.status);
    // And one that was changed by hand is not.
    if let Some(Object::Deployment(deployment)) = &mut observed.deployment {
        deployment.spec.as_mut().unwrap().replicas = Some(5);
    }
    assert!(plan(&bridge, &observed).apply.is_some());
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let plan_of = |spec: Value, observed: &Observed| plan(&bridge(spec), observed);
    let missing = plan_of(json!({}), &Observed::default());
    assert_eq!(missing.apply, None);
    let (_, reason, message) = condition(&missing, "Ready");
    assert_eq!(reason, "ClusterMissing");
    assert!(message.contains("NsqCluster demo"), "{message}");
    let template = json!({"podTemplate": {"spec": {"containers": [], "nodeSelectr": {"a": "b"}}}});
    let wrong = plan_of(template, &observed());
    assert_eq!(condition(&wrong, "Stalled").0, "True");
    let (_, _, message) = condition(&wrong, "Ready");
    assert!(message.contains("nodeSelectr"), "{message}");
}
