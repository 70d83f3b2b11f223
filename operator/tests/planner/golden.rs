//! The planner's specification: `cluster.yaml` + `observed.yaml` -> `plan.yaml`, one folder per case.
//!
//! `UPDATE=1 cargo test -p nsq-operator --test planner` writes the plans anew; read the difference.

use std::path::{Path, PathBuf};

use nsq_operator::cluster::decide;

use crate::scenario::Scenario;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_plan_is_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 15, "the cases are gone");
    for case in cases {
        let (cluster, observed) = Scenario::read(&case);
        let plan = decide(&cluster, &observed);
        let value = serde_json::to_value(&plan).unwrap();
        let text = serde_yaml::to_string(&value).unwrap();
        let path = case.join("plan.yaml");
        if update {
            std::fs::write(&path, &text).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("--- {}: the plan now is\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn planning_again_after_reporting_gives_an_empty_plan() {
    let case = cases()
        .into_iter()
        .find(|case| case.ends_with("converged"))
        .unwrap();
    let (mut cluster, observed) = Scenario::read(&case);
    let plan = decide(&cluster, &observed);
    assert!(plan.apply.is_empty() && plan.delete.is_empty() && plan.actions.is_empty());
    assert!(
        !plan.is_empty(&cluster),
        "the status is still to be written"
    );
    cluster.status = Some(plan.status);
    assert!(decide(&cluster, &observed).is_empty(&cluster));
}
