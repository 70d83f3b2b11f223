//! One pass over an `NsqBridge`: observe, plan, apply, report.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use thiserror::Error;
use tracing::info;

use super::observe::observe;
use super::plan::plan;
use crate::api::NsqBridge;
use crate::cluster::apply::{Failure, write};
use crate::runtime::context::{Context, key};
use crate::runtime::pass;
use crate::runtime::report::{NotWritten, report};
use crate::runtime::watch::Guarded;

/// Longest pass.
const PASS: Duration = Duration::from_secs(60);
/// Field manager of everything this controller writes.
const MANAGER: &str = "nsq-operator/bridge";

/// Why a pass could not be finished.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Apply(#[from] Failure),
    #[error(transparent)]
    Report(#[from] NotWritten),
}

/// Called for every change and when a requeue is due.
///
/// # Errors
/// Whatever kept the pass from being finished; it is tried again later.
pub async fn pass(
    bridge: Arc<Guarded<NsqBridge>>,
    context: Arc<Context>,
) -> Result<Action, pass::Error<Error>> {
    let bridge = pass::readable(&bridge)?;
    let work = pass_over(bridge, &context);
    pass::run("bridge", PASS, bridge, &context, work).await
}

/// Whether anything was changed, and when to look again.
async fn pass_over(bridge: &NsqBridge, context: &Context) -> Result<(bool, Duration), Error> {
    let (name, namespace) = (bridge.name_any(), bridge.namespace().unwrap_or_default());
    if bridge.metadata.deletion_timestamp.is_some() {
        context.metrics.bridge(&namespace, &name, None);
        context.forget(&key(bridge));
        return Ok((false, PASS)); // its Deployment goes with it
    }
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
        report(&context.client, MANAGER, bridge, &plan.status).await?;
        changed = true;
    }
    Ok((changed, requeue))
}
