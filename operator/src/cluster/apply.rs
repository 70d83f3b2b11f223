//! Doing: carries a plan out, in its order, and decides nothing.

use std::fmt::Debug;

use futures::future::{self, join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::act::act;
use super::build::certificates;
use super::object::Object;
use super::plan::{Action, Deletion, Plan};
use crate::runtime::context::Context;

/// Field manager of everything this controller writes.
pub const MANAGER: &str = "nsq-operator/cluster";

/// What could not be done.
#[derive(Debug, Error)]
#[error("cannot {what}: {source}")]
pub struct Failure {
    what: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    pub(super) fn new(
        what: String,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            what,
            source: Box::new(source),
        }
    }
}

/// Carries out everything but the status. A step that fails does not keep the others from being done, for one of
/// them may be what heals it; only pods are left alone then, but for steps that can do no harm.
///
/// # Errors
/// Every step that failed.
pub async fn apply(
    context: &Context,
    namespace: &str,
    cluster: &str,
    plan: &Plan,
) -> Result<(), Vec<Failure>> {
    let client = &context.client;
    let mut failures = Vec::new();
    for object in &plan.apply {
        failures.extend(write(client, namespace, MANAGER, object).await.err());
    }
    for deletion in &plan.delete {
        failures.extend(delete(client, namespace, deletion).await.err());
    }
    let all_written = failures.is_empty();
    let (harmless, others): (Vec<&Action>, Vec<&Action>) =
        plan.actions.iter().partition(|action| action.is_harmless());
    // At once: what is asked of a machine that is off takes its time, and the rest does not wait for it.
    let harmless = harmless
        .into_iter()
        .map(|action| act(context, namespace, cluster, action));
    let others = async {
        let mut failures = Vec::new();
        for action in others.into_iter().filter(|_| all_written) {
            failures.extend(act(context, namespace, cluster, action).await.err());
        }
        failures
    };
    let (done, failed) = future::join(join_all(harmless), others).await;
    failures.extend(done.into_iter().filter_map(Result::err));
    failures.extend(failed);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

/// Writes one object, as this field manager.
///
/// # Errors
/// The API server refused or could not be reached.
pub async fn write(
    client: &Client,
    namespace: &str,
    manager: &str,
    object: &Object,
) -> Result<(), Failure> {
    let place = (client, namespace, manager);
    match object {
        Object::ServiceAccount(object) => write_one(place, object.as_ref()).await,
        Object::ConfigMap(object) => write_one(place, object.as_ref()).await,
        Object::Service(object) => write_one(place, object.as_ref()).await,
        Object::PodDisruptionBudget(object) => write_one(place, object.as_ref()).await,
        Object::StatefulSet(object) => write_one(place, object.as_ref()).await,
        Object::Deployment(object) => write_one(place, object.as_ref()).await,
        Object::Certificate(object) => write_certificate(place, object).await,
    }
}

/// By whom, in which namespace, as whom.
type Place<'a> = (&'a Client, &'a str, &'a str);

async fn write_one<K>((client, namespace, manager): Place<'_>, object: &K) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let options = PatchParams::apply(manager).force();
    let written = api.patch(&name, &options, &Patch::Apply(object)).await;
    done(written, || format!("write {} {name}", K::kind(&())))
}

async fn write_certificate(
    (client, namespace, manager): Place<'_>,
    object: &DynamicObject,
) -> Result<(), Failure> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &certificates());
    let options = PatchParams::apply(manager).force();
    let written = api.patch(&name, &options, &Patch::Apply(object)).await;
    done(written, || format!("write Certificate {name}"))
}

async fn delete(client: &Client, namespace: &str, deletion: &Deletion) -> Result<(), Failure> {
    let name = &deletion.name;
    let what = || format!("delete {} {name}", deletion.kind);
    match deletion.kind {
        "Service" => {
            let api: Api<Service> = Api::namespaced(client.clone(), namespace);
            let deleted = api.delete(name, &exactly(&deletion.uid)).await;
            done(gone_is_fine(deleted), what)
        }
        "ConfigMap" => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let deleted = api.delete(name, &exactly(&deletion.uid)).await;
            done(gone_is_fine(deleted), what)
        }
        _ => {
            let api: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
            let deleted = api.delete(name, &exactly(&deletion.uid)).await;
            done(gone_is_fine(deleted), what)
        }
    }
}

/// Deletes this very object, never one that has taken its name since.
pub(super) fn exactly(uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

pub(super) fn gone_is_fine<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

pub(super) fn done<T>(
    result: kube::Result<T>,
    what: impl FnOnce() -> String,
) -> Result<(), Failure> {
    result
        .map(drop)
        .map_err(|source| Failure::new(what(), source))
}
