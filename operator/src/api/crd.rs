//! The CRDs as files: generated here, never edited.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{NsqBridge, NsqCluster, NsqTopic};

/// All CRDs.
///
/// # Errors
/// If the derived schema does not survive JSON; the tests of this crate rule that out.
pub fn all() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [NsqCluster::crd(), NsqTopic::crd(), NsqBridge::crd()]
        .into_iter()
        .map(tidy)
        .collect()
}

/// One CRD as a YAML document.
///
/// # Errors
/// As [`all`].
pub fn to_yaml(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(&serde_json::to_value(crd)?)?)
}

/// Optional fields are derived as `nullable`, which keeps an explicit `null` in the object, where CEL's
/// `has()` sees it. Without the mark the API server drops the `null`, as it does for its own kinds.
fn tidy(crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    if let Some(versions) = value.pointer_mut("/spec/versions") {
        tidy_schema(versions);
    }
    serde_json::from_value(value)
}

fn tidy_schema(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !(key == "nullable" && value.is_boolean()));
            map.values_mut().for_each(tidy_schema);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy_schema),
        _ => {}
    }
}
