//! The operator itself.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::OPERATOR_NAMESPACE;
use super::install::{cluster_ready, helm_install, leader};
use crate::kubectl::Kubectl;

pub fn drift(kubectl: &Kubectl) -> Result<Option<String>> {
    kubectl.run(&["delete", "service", "demo-publish"])?;
    kubectl.until("the deleted Service is back", 30, |kubectl| {
        kubectl.run(&["get", "service", "demo-publish"])
    })?;
    let patch = r#"{"spec":{"maxUnavailable":2}}"#;
    kubectl.run(&["patch", "pdb", "demo-nsqd-0", "--type=merge", "-p", patch])?;
    kubectl.until("the changed budget is as before", 30, |kubectl| {
        let path = "jsonpath={.spec.maxUnavailable}";
        let most = kubectl.run(&["get", "pdb", "demo-nsqd-0", "-o", path])?;
        ensure!(most == "1", "maxUnavailable is {most}");
        Ok(())
    })?;
    // A paused cluster is left alone.
    let annotate =
        |value: &str| kubectl.run(&["annotate", "--overwrite", "nsqcluster", "demo", value]);
    annotate("nsq.io/paused=true")?;
    kubectl.until("the cluster says that it is paused", 30, |kubectl| {
        let message = kubectl.condition("nsqcluster/demo", "Reconciling", "False")?;
        ensure!(message.contains("paused"), "it says {message:?}");
        Ok(())
    })?;
    kubectl.run(&["delete", "pdb", "demo-nsqd-0"])?;
    annotate("nsq.io/paused-")?;
    kubectl.until("the budget is back after the pause", 30, |kubectl| {
        kubectl.run(&["get", "pdb", "demo-nsqd-0"])
    })?;
    cluster_ready(kubectl)?;
    Ok(None)
}

pub fn killed(kubectl: &Kubectl) -> Result<Option<String>> {
    let ours = "app.kubernetes.io/managed-by=nsq-operator";
    let before = kubectl.uids(ours)?;
    let old = leader(kubectl)?;
    let in_operator = ["-n", OPERATOR_NAMESPACE];
    kubectl.run(
        &[
            ["delete", "pod", &old, "--wait=false"].as_slice(),
            &in_operator,
        ]
        .concat(),
    )?;
    kubectl.until("another operator leads", 60, |kubectl| {
        let new = leader(kubectl)?;
        ensure!(new != old, "{old} still leads");
        Ok(())
    })?;
    // It works: a change is carried out.
    kubectl.run(&["delete", "pdb", "demo-nsqd-0"])?;
    kubectl.until("the new one repairs", 60, |kubectl| {
        kubectl.run(&["get", "pdb", "demo-nsqd-0"])
    })?;
    helm_install()?;
    cluster_ready(kubectl)?;
    ensure!(
        kubectl.uids(ours)? == before,
        "pods of the cluster were restarted"
    );
    Ok(None)
}

pub fn calls(kubectl: &Kubectl) -> Result<Option<String>> {
    let mut allowed = rules(&kubectl.json(&["get", "clusterrole", "nsq-operator"])?);
    let leader = [
        "get",
        "role",
        "nsq-operator-leader",
        "-n",
        OPERATOR_NAMESPACE,
    ];
    allowed.extend(rules(&kubectl.json(&leader)?));
    let machines = kubectl.json(&["get", "clusterrole", "nsq-operator-machines"])?;
    allowed.extend(rules(&machines));
    let mut made = BTreeSet::new();
    let pods = kubectl.json(&[
        "get",
        "pods",
        "-n",
        OPERATOR_NAMESPACE,
        "-l",
        "app.kubernetes.io/name=nsq-operator",
    ])?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path =
            format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{name}:8080/proxy/metrics");
        for call in calls_counted(&kubectl.run(&["get", "--raw", &path])?) {
            ensure!(call.code != "403", "{name} was forbidden: {call:?}");
            if call.verb == "patch" && call.code == "201" {
                // Applied, and not there before: that takes both permissions.
                made.insert((
                    call.group.clone(),
                    call.resource.clone(),
                    "create".to_owned(),
                ));
            }
            made.insert((call.group, call.resource, call.verb));
        }
    }
    let beyond: Vec<_> = made.difference(&allowed).collect();
    ensure!(
        beyond.is_empty(),
        "calls that the roles do not speak of: {beyond:?}"
    );
    // What only the loss of a machine brings about: the scenarios of that take long and are not always run.
    let rare = |(_, resource, verb): &&(String, String, String)| {
        let rare = [
            ("nodes", "get"),
            ("nodes", "patch"),
            ("persistentvolumes", "get"),
            ("persistentvolumes", "patch"),
            ("persistentvolumeclaims", "delete"),
            // Of scenarios that are run when asked for.
            ("services", "delete"),
            ("deployments", "create"),
            ("deployments", "patch"),
            ("nsqbridges/status", "patch"),
            ("certificates", "create"),
            ("certificates", "get"),
            ("certificates", "patch"),
        ];
        rare.contains(&(resource.as_str(), verb.as_str()))
    };
    let unused = allowed.difference(&made).filter(|call| !rare(call));
    let unused: Vec<_> = unused.collect();
    ensure!(
        unused.is_empty(),
        "allowed, and never done in all scenarios: {unused:?}"
    );
    println!(
        "   all {} kinds of call that are allowed were made",
        allowed.len()
    );
    Ok(None)
}

/// What a role allows, one by one.
fn rules(role: &Value) -> BTreeSet<(String, String, String)> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().into_iter().flatten();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                let verbs = words(rule, "verbs").into_iter();
                allowed.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    allowed
}

#[derive(Debug)]
struct Call {
    group: String,
    resource: String,
    verb: String,
    code: String,
}

fn calls_counted(metrics: &str) -> Vec<Call> {
    let lines = metrics.lines().filter_map(|line| {
        let labels = line
            .strip_prefix("nsq_operator_api_requests_total{")?
            .split('}')
            .next()?;
        let label = |name: &str| {
            let value = labels.split(',').find_map(|pair| {
                let value = pair.strip_prefix(name)?.strip_prefix("=\"")?;
                value.strip_suffix('"')
            });
            value.map(str::to_owned)
        };
        Some(Call {
            group: label("group")?,
            resource: label("resource")?,
            verb: label("verb")?,
            code: label("code")?,
        })
    });
    lines.collect()
}
