//! One pass over an `NsqCluster`: observe, decide, apply, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action as Next;
use thiserror::Error;
use tracing::info;

use super::apply::{Failure, MANAGER, apply};
use super::decide;
use super::observe::{Source, observe};
use super::observed::Observed;
use super::plan::{Action, Event, Plan, QUIET_REQUEUE};
use super::validate::validate;
use crate::api::NsqCluster;
use crate::runtime::context::{Context, key};
use crate::runtime::pace::{self, CLUSTERS_A_SECOND};
use crate::runtime::pass;
use crate::runtime::report::{NotWritten, report};
use crate::runtime::watch::Guarded;

/// Longest pass.
const PASS: Duration = Duration::from_secs(120);

/// Why a pass could not be finished.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot look at the cluster: {0}")]
    Observe(#[source] kube::Error),
    #[error("{}", sentences(.0))]
    Apply(Vec<Failure>),
    #[error(transparent)]
    Report(#[from] NotWritten),
}

fn sentences(failures: &[Failure]) -> String {
    let sentences: Vec<String> = failures.iter().map(ToString::to_string).collect();
    sentences.join("; ")
}

/// Called for every change and when a requeue is due.
///
/// # Errors
/// Whatever kept the pass from being finished; it is tried again later.
pub async fn pass(
    cluster: Arc<Guarded<NsqCluster>>,
    context: Arc<Context>,
) -> Result<Next, pass::Error<Error>> {
    let cluster = pass::readable(&cluster)?;
    let work = pass_over(cluster, &context);
    pass::run("cluster", PASS, cluster, &context, work).await
}

/// Whether anything was written, and when to look again.
async fn pass_over(cluster: &NsqCluster, context: &Context) -> Result<(bool, Duration), Error> {
    if cluster.metadata.deletion_timestamp.is_some() {
        // Everything belongs to the cluster and goes with it; volumes as their StatefulSet says.
        context.forget(&key(cluster));
        return Ok((false, PASS));
    }
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let plan = decide_on_fresh_facts(cluster, context).await?;
    let clusters = context.stores.clusters.len();
    let requeue = pace::requeue(
        plan.requeue_seconds,
        QUIET_REQUEUE,
        clusters,
        CLUSTERS_A_SECOND,
    );
    if plan.is_empty(cluster) {
        return Ok((false, requeue));
    }
    let applied = apply(context, &namespace, &name, &plan).await;
    if applied.is_ok() {
        log(&namespace, &name, &plan);
    }
    // The status is written even if something failed: it says what was found.
    if cluster.status.as_ref() != Some(&plan.status) {
        report(&context.client, MANAGER, cluster, &plan.status).await?;
    }
    context.tell(cluster, &plan.events).await;
    if let Err(failures) = &applied {
        let event = Event::warning("CannotApply", sentences(failures));
        context.tell(cluster, &[event]).await;
    }
    applied.map_err(Error::Apply)?;
    Ok((true, requeue))
}

/// Looks at what the watches know; only if something is to be written, looks again at the API server itself and
/// decides on that. A quiet cluster costs no request, and nothing is done on stale facts.
async fn decide_on_fresh_facts(cluster: &NsqCluster, context: &Context) -> Result<Plan, Error> {
    let Ok(valid) = validate(cluster) else {
        let nothing = Observed {
            now: Timestamp::now(),
            ..Observed::default()
        };
        return Ok(decide(cluster, &nothing)); // says what is wrong, touches nothing
    };
    let look = |source| observe(context, &valid, source);
    let watched = look(Source::Watched).await.map_err(Error::Observe)?;
    let plan = decide(cluster, &watched);
    if plan.apply.is_empty() && plan.delete.is_empty() && plan.actions.is_empty() {
        return Ok(plan);
    }
    match look(Source::Live).await {
        Ok(live) => Ok(decide(cluster, &live)),
        // Without the API server, what can do no harm is done on what is known.
        Err(_) if plan.actions.iter().any(Action::is_harmless) => Ok(Plan {
            apply: Vec::new(),
            delete: Vec::new(),
            actions: plan
                .actions
                .into_iter()
                .filter(Action::is_harmless)
                .collect(),
            ..plan
        }),
        Err(err) => Err(Error::Observe(err)),
    }
}

fn log(namespace: &str, name: &str, plan: &Plan) {
    for object in &plan.apply {
        info!(
            namespace,
            cluster = name,
            kind = object.kind(),
            object = object.name(),
            "written"
        );
    }
    for deletion in &plan.delete {
        info!(
            namespace,
            cluster = name,
            kind = deletion.kind,
            object = deletion.name,
            "deleted"
        );
    }
    for event in &plan.events {
        info!(
            namespace,
            cluster = name,
            reason = event.reason,
            "{}",
            event.note
        );
    }
}
