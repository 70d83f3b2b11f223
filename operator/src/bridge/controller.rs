//! One pass over an `NsqBridge`: observe, plan, apply, report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tracing::{info, warn};

use super::observe::observe;
use super::plan::plan;
use crate::api::{NsqBridge, NsqBridgeStatus};
use crate::cluster::apply::{Failure, write};
use crate::runtime::context::{Context, key};
use crate::runtime::watch::Guarded;

/// Longest pass; every request in it has a shorter bound of its own.
const PASS: Duration = Duration::from_secs(60);
const CONTROLLER: &str = "bridge";
/// Field manager of everything this controller writes.
const MANAGER: &str = "nsq-operator/bridge";

/// Why a pass could not be finished.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Apply(#[from] Failure),
    #[error("cannot write the status: {0}")]
    Report(#[source] kube::Error),
    #[error("the resource cannot be read: {0}")]
    Unreadable(String),
    #[error("the pass took longer than {PASS:?}")]
    TooLong,
}

/// Called for every change and when a requeue is due.
///
/// # Errors
/// Whatever kept the pass from being finished; it is tried again later.
pub async fn pass(bridge: Arc<Guarded<NsqBridge>>, context: Arc<Context>) -> Result<Action, Error> {
    let bridge = match &bridge.0 {
        Ok(bridge) => bridge,
        Err(invalid) => return Err(Error::Unreadable(invalid.error.clone())),
    };
    let begun = Instant::now();
    let done = tokio::time::timeout(PASS, pass_over(bridge, &context))
        .await
        .unwrap_or(Err(Error::TooLong));
    context.metrics.passed(CONTROLLER, &done, begun.elapsed());
    let (_, requeue) = done?;
    context.succeeded(&bridge_key(bridge));
    Ok(Action::requeue(requeue))
}

/// Whether anything was changed, and when to look again.
async fn pass_over(bridge: &NsqBridge, context: &Context) -> Result<(bool, Duration), Error> {
    if bridge.metadata.deletion_timestamp.is_some() {
        let (namespace, name) = (bridge.namespace().unwrap_or_default(), bridge.name_any());
        context.metrics.bridge(&namespace, &name, None);
        context.forget(&bridge_key(bridge));
        return Ok((false, PASS)); // its Deployment goes with it
    }
    let (name, namespace) = (bridge.name_any(), bridge.namespace().unwrap_or_default());
    let plan = plan(bridge, &observe(bridge, context).await);
    context
        .metrics
        .bridge(&namespace, &name, plan.status.backlog);
    let requeue = Duration::from_secs(plan.requeue_seconds);
    let mut changed = false;
    if let Some(deployment) = &plan.apply {
        write(&context.client, &namespace, MANAGER, deployment).await?;
        info!(namespace, bridge = name, "its Deployment is written");
        changed = true;
    }
    if bridge.status.as_ref() != Some(&plan.status) {
        report(bridge, context, &plan.status).await?;
        changed = true;
    }
    Ok((changed, requeue))
}

async fn report(
    bridge: &NsqBridge,
    context: &Context,
    status: &NsqBridgeStatus,
) -> Result<(), Error> {
    let namespace = bridge.namespace().unwrap_or_default();
    let api: Api<NsqBridge> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": NsqBridge::api_version(&()),
        "kind": NsqBridge::kind(&()),
        "status": status,
    });
    let options = PatchParams::apply(MANAGER).force();
    let written = api
        .patch_status(&bridge.name_any(), &options, &Patch::Apply(&patch))
        .await;
    written.map(drop).map_err(Error::Report)
}

/// Its key among those of all kinds.
fn bridge_key(bridge: &NsqBridge) -> String {
    format!("bridge {}", key(bridge))
}

/// Called when a pass has failed; says when to try again.
pub fn failed(bridge: Arc<Guarded<NsqBridge>>, error: &Error, context: Arc<Context>) -> Action {
    let key = format!("bridge {}", key(bridge.as_ref()));
    let wait = context.failed(&key);
    warn!(bridge = key, error = %error, "the pass failed, next try in {wait:.1?}");
    Action::requeue(wait)
}
