//! Writing the status of a resource of ours.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

/// The API server refused a status, or could not be reached.
#[derive(Debug, Error)]
#[error("cannot write the status: {0}")]
pub struct NotWritten(#[source] kube::Error);

/// Writes the whole status, as this field manager.
///
/// # Errors
/// The API server refused or could not be reached.
pub async fn report<K>(
    client: &Client,
    manager: &str,
    resource: &K,
    status: &impl Serialize,
) -> Result<(), NotWritten>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let namespace = resource.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "status": status,
    });
    let options = PatchParams::apply(manager).force();
    let written = api
        .patch_status(&resource.name_any(), &options, &Patch::Apply(&patch))
        .await;
    written.map(drop).map_err(NotWritten)
}
