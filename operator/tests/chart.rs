//! The chart and the operator say the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use nsq_operator::runtime::permissions::{MACHINES, OWN, Permission, WATCHED};
use serde_json::Value;

fn chart(path: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/nsq-operator");
    std::fs::read_to_string(chart.join(path)).unwrap()
}

type Allowed = BTreeSet<(String, String, String)>;

fn granted(path: &str) -> Allowed {
    let rules: Vec<Value> = serde_yaml::from_str(&chart(path)).unwrap();
    let words = |rule: &Value, key: &str| -> Vec<String> {
        serde_json::from_value(rule[key].clone()).unwrap()
    };
    let mut allowed = Allowed::new();
    for rule in &rules {
        assert!(rule["resourceNames"].is_null(), "not compared by this test");
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    assert!(![&group, &resource, &verb].iter().any(|word| *word == "*"));
                    allowed.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    allowed
}

fn needed(permissions: &[Permission]) -> Allowed {
    let mut allowed = Allowed::new();
    for permission in permissions {
        for verb in permission.verbs {
            let (group, resource) = (permission.group, permission.resource);
            allowed.insert((group.to_owned(), resource.to_owned(), (*verb).to_owned()));
        }
    }
    allowed
}

#[test]
fn the_roles_grant_what_the_operator_does_and_nothing_else() {
    assert_eq!(granted("files/rules/watched.yaml"), needed(WATCHED));
    assert_eq!(granted("files/rules/own.yaml"), needed(OWN));
    assert_eq!(granted("files/rules/machines.yaml"), needed(MACHINES));
}

#[test]
fn the_crds_of_the_chart_are_up_to_date() {
    for crd in nsq_operator::api::all_crds().unwrap() {
        let name = crd.metadata.name.clone().unwrap();
        let wanted = nsq_operator::api::crd_to_yaml(&crd).unwrap();
        for path in [
            format!("files/crds/{name}.yaml"),
            format!("../../crds/{name}.yaml"),
        ] {
            let written = chart(&path);
            let text: String = written
                .lines()
                .skip(1)
                .map(|line| format!("{line}\n"))
                .collect();
            assert!(text == wanted, "{path} is stale: run `cargo xtask crds`");
        }
    }
}

#[test]
fn a_crd_can_be_stored_by_kubectl_apply() {
    for crd in nsq_operator::api::all_crds().unwrap() {
        let size = serde_json::to_vec(&crd).unwrap().len();
        assert!(size < 200_000, "{:?} has {size} bytes", crd.metadata.name);
    }
}
