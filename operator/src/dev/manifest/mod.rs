//! A manifest file, checked here as the API server would check it.
//!
//! Everything that is wrong is told at once, each with its line, its field and the sentence that
//! `kubectl apply` would print.

mod schema;
mod tree;

use std::fmt;

use kube::ResourceExt;
use kube_cel::Validator;
use serde_json::Value;

use crate::api::{NsqCluster, NsqTopic, all_crds};
use crate::cluster::validate::{Invalid, validate};
use tree::Tree;

/// Largest manifest file read, in bytes; etcd would not take more either.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Everything one file declares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    pub clusters: Vec<NsqCluster>,
    pub topics: Vec<NsqTopic>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; 0 if it is not in one place.
    pub line: u64,
    /// Path of the field, `spec.nsqd.replicas`; empty for the whole document.
    pub field: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

/// Reads and checks a file's text. With `old`, rules about changes are checked too.
///
/// # Errors
/// Everything that is wrong, in the order of lines.
pub fn parse(text: &str, old: Option<&Manifest>) -> Result<Manifest, Vec<Problem>> {
    let documents = tree::documents(text).map_err(|problem| vec![problem])?;
    let mut manifest = Manifest::default();
    let mut problems = Vec::new();
    for document in documents.iter().filter(|document| !document.is_null()) {
        if let Err(found) = read_document(document, old, &mut manifest) {
            problems.extend(found);
        }
    }
    if problems.is_empty() {
        problems = between_documents(&manifest);
    }
    if problems.is_empty() {
        Ok(manifest)
    } else {
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }
}

fn read_document(
    document: &Tree,
    old: Option<&Manifest>,
    manifest: &mut Manifest,
) -> Result<(), Vec<Problem>> {
    let value = document.to_json();
    let text_at = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let kind = text_at("/kind");
    let ours = text_at("/apiVersion") == "nsq.io/v1alpha1";
    if ours && kind == "NsqBridge" {
        return Err(vec![document.problem("kind", no_bridge(&value))]);
    }
    if !ours || !matches!(kind, "NsqCluster" | "NsqTopic") {
        let reason = format!(
            "expected an NsqCluster or NsqTopic of nsq.io/v1alpha1, not {kind:?} of {:?}",
            text_at("/apiVersion")
        );
        return Err(vec![document.problem("", reason)]);
    }
    let name = text_at("/metadata/name").to_owned();
    if name.is_empty() {
        let reason = "a name is required".to_owned();
        return Err(vec![document.problem("metadata.name", reason)]);
    }
    let old = old.and_then(|old| old.json_of(kind, &name));
    check(document, kind, &value, old.as_ref())?;
    if kind == "NsqCluster" {
        let cluster: NsqCluster = typed(document, value)?;
        let problem = |invalid: Invalid| document.problem(&invalid.field(), invalid.reason());
        validate(&cluster).map_err(|invalid| vec![problem(invalid)])?;
        manifest.clusters.push(cluster);
    } else {
        manifest.topics.push(typed(document, value)?);
    }
    Ok(())
}

/// What to do instead: a bridge is nothing but this program.
fn no_bridge(bridge: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("...").to_owned();
    let spec = &bridge["spec"];
    let topics = spec["topics"].as_array().into_iter().flatten();
    let mut command = vec!["nsq_to_nsq".to_owned()];
    command.extend(topics.map(|topic| format!("--topic={}", text(topic))));
    if let Some(channel) = spec["channel"].as_str() {
        command.push(format!("--channel={channel}"));
    }
    command.push("--lookupd-http-address=FROM --destination-nsqd-tcp-address=TO".to_owned());
    format!(
        "an NsqBridge is run by the operator on Kubernetes only: take {} out of this file, and run `{}` beside it, with the \
         addresses that are printed here for FROM and TO",
        text(&bridge["metadata"]["name"]),
        command.join(" ")
    )
}

fn typed<T: serde::de::DeserializeOwned>(
    document: &Tree,
    mut value: Value,
) -> Result<T, Vec<Problem>> {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert("default".into());
    }
    serde_json::from_value(value).map_err(|err| vec![document.problem("", err.to_string())])
}

/// The checks of the API server: first the schema's, then, as there, CEL's.
fn check(
    document: &Tree,
    kind: &str,
    value: &Value,
    old: Option<&Value>,
) -> Result<(), Vec<Problem>> {
    let broken = |err: serde_json::Error| vec![document.problem("", err.to_string())];
    let crds = all_crds().map_err(broken)?;
    let schema = crds
        .iter()
        .find(|crd| crd.spec.names.kind == kind)
        .and_then(|crd| {
            crd.spec
                .versions
                .first()?
                .schema
                .clone()?
                .open_api_v3_schema
        });
    let schema = serde_json::to_value(schema).map_err(broken)?;
    let located = |(field, reason): (String, String)| document.problem(&field, reason);
    let against_schema = schema::violations(&schema, value);
    if !against_schema.is_empty() {
        return Err(against_schema.into_iter().map(located).collect());
    }
    let Err(errors) = Validator::new().validate(&schema, value, old) else {
        return Ok(());
    };
    let errors = errors.into_vec().into_iter();
    Err(errors
        .map(|error| located((error.field_path, error.message)))
        .collect())
}

/// What only shows when all documents are seen together.
fn between_documents(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |reason: String| {
        problems.push(Problem {
            line: 0,
            field: String::new(),
            reason,
        });
    };
    if manifest.clusters.is_empty() {
        problem("there is no NsqCluster in the file".to_owned());
    }
    for (at, cluster) in manifest.clusters.iter().enumerate() {
        let name = cluster.name_any();
        if manifest.clusters[..at]
            .iter()
            .any(|other| other.name_any() == name)
        {
            problem(format!("NsqCluster {name} is declared twice"));
        }
    }
    for (at, topic) in manifest.topics.iter().enumerate() {
        let (name, cluster) = (topic.name_any(), &topic.spec.cluster);
        if manifest.topics[..at]
            .iter()
            .any(|other| other.name_any() == name)
        {
            problem(format!("NsqTopic {name} is declared twice"));
        }
        if !manifest
            .clusters
            .iter()
            .any(|other| other.name_any() == *cluster)
        {
            problem(format!(
                "NsqTopic {name} belongs to the cluster {cluster}, which is not in the file"
            ));
        }
    }
    problems
}

impl Manifest {
    fn json_of(&self, kind: &str, name: &str) -> Option<Value> {
        if kind == "NsqCluster" {
            let found = self
                .clusters
                .iter()
                .find(|cluster| cluster.name_any() == name)?;
            serde_json::to_value(found).ok()
        } else {
            let found = self.topics.iter().find(|topic| topic.name_any() == name)?;
            serde_json::to_value(found).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text, None).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    const CLUSTER: &str = "\
apiVersion: nsq.io/v1alpha1
kind: NsqCluster
metadata:
  name: demo
spec:
  image: nsq:1
  nsqd:
    replicas: 2
    storage:
      size: 1Gi
";

    #[test]
    fn defaults_are_those_of_the_schema() {
        let manifest = parse(CLUSTER, None).unwrap();
        let spec = &manifest.clusters[0].spec;
        assert_eq!((spec.nsqd.replicas, spec.nsqlookupd.replicas), (2, 2));
    }

    #[test]
    fn cel_tells_line_field_and_sentence() {
        let text = CLUSTER.replace("replicas: 2", "replicas: 900");
        assert_eq!(
            problems(&text),
            ["line 8: spec.nsqd.replicas: nsqd.replicas must be between 1 and 200"]
        );
    }

    #[test]
    fn an_unknown_option_is_named() {
        let text = CLUSTER.replace(
            "    storage:",
            "    options:\n      mem-queue: 5\n    storage:",
        );
        assert_eq!(
            problems(&text),
            ["line 9: spec.nsqd.options: nsqd has no option \"mem-queue\""]
        );
    }

    #[test]
    fn an_unknown_field_is_named() {
        let text = CLUSTER.replace("replicas: 2", "replica: 2");
        assert_eq!(
            problems(&text),
            ["line 8: spec.nsqd.replica: unknown field"]
        );
    }

    #[test]
    fn a_misspelt_field_of_the_pod_template_is_found_in_its_line() {
        let text = CLUSTER.replace(
            "    storage:",
            "    podTemplate:\n      spec:\n        nodeSelectr: {a: b}\n    storage:",
        );
        assert_eq!(
            problems(&text),
            ["line 11: spec.nsqd.podTemplate.spec.nodeSelectr: unknown field"]
        );
    }

    #[test]
    fn several_problems_are_told_at_once() {
        let text = CLUSTER
            .replace("replicas: 2", "replicas: two")
            .replace("  image: nsq:1\n", "");
        assert_eq!(
            problems(&text),
            [
                "line 5: spec.image: required",
                "line 7: spec.nsqd.replicas: must be of type integer, not \"two\"",
            ]
        );
    }

    #[test]
    fn a_change_that_is_not_possible_is_refused() {
        let old = parse(CLUSTER, None).unwrap();
        assert!(parse(&CLUSTER.replace("1Gi", "2Gi"), Some(&old)).is_ok());
        let text = CLUSTER.replace("1Gi", "500Mi");
        let problems = parse(&text, Some(&old)).unwrap_err();
        assert_eq!(
            (problems[0].line, problems[0].field.as_str()),
            (10, "spec.nsqd.storage.size")
        );
        assert!(
            problems[0].reason.contains("can only grow"),
            "{}",
            problems[0].reason
        );
    }

    #[test]
    fn broken_yaml_is_told_with_its_line() {
        let found = problems("apiVersion: nsq.io/v1alpha1\nkind: [NsqCluster\nmetadata: {}\n");
        assert!(found[0].starts_with("line "), "{found:?}");
    }

    #[test]
    fn documents_are_checked_against_each_other() {
        let topic = "---\napiVersion: nsq.io/v1alpha1\nkind: NsqTopic\nmetadata: {name: t}\nspec: {cluster: other}\n";
        let found = problems(&format!("{CLUSTER}{topic}"));
        assert_eq!(
            found,
            ["NsqTopic t belongs to the cluster other, which is not in the file"]
        );
    }

    #[test]
    fn lines_are_counted_through_all_documents() {
        let topic = "---\napiVersion: nsq.io/v1alpha1\nkind: NsqTopic\nmetadata: {name: t}\nspec:\n  cluster: demo\n  channels:\n  - name: a b\n";
        assert_eq!(
            problems(&format!("{CLUSTER}{topic}")),
            [
                "line 18: spec.channels[0].name: a channel's name is made of letters, digits, '.', '_' and '-'"
            ]
        );
    }

    #[test]
    fn a_bridge_is_refused_with_the_command_that_it_stands_for() {
        let bridge = "---\napiVersion: nsq.io/v1alpha1\nkind: NsqBridge\nmetadata: {name: to-west}\nspec:\n  image: nsq:1\n  \
                      from: {cluster: demo}\n  to: {nsqdTcpAddresses: ['west:4150']}\n  topics: [orders, clicks]\n  channel: to-west\n";
        let found = problems(&format!("{CLUSTER}{bridge}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("line 13: kind: an NsqBridge is run by the operator on Kubernetes only: take to-west out"),
            "{found:?}"
        );
        let command = "`nsq_to_nsq --topic=orders --topic=clicks --channel=to-west --lookupd-http-address=FROM";
        assert!(found[0].contains(command), "{found:?}");
    }

    #[test]
    fn other_kinds_are_refused() {
        let found = problems("apiVersion: v1\nkind: Service\nmetadata: {name: x}\n");
        assert!(
            found[0].contains("expected an NsqCluster or NsqTopic"),
            "{found:?}"
        );
    }
}
