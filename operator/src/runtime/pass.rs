//! The frame of every pass, whatever the resource: read it, bound it, count it, try again when it failed.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Resource;
use kube::runtime::controller::Action;
use thiserror::Error;
use tracing::warn;

use super::context::{Context, key};
use super::watch::Guarded;

/// How long a pass waits, after the operator's start, for what the watches tell.
const FILLED: Duration = Duration::from_secs(30);

/// Why a pass could not be finished.
#[derive(Debug, Error)]
pub enum Error<E> {
    #[error("{0}")]
    Failed(E),
    #[error("the resource cannot be read: {0}")]
    Unreadable(String),
    #[error("the pass took longer than {0:?}")]
    TooLong(Duration),
    #[error(
        "the API server has not told everything within {0:?}: may the operator watch all that its ClusterRole names?"
    )]
    Blind(Duration),
}

/// What the API server has sent, if it is what it claims to be.
///
/// # Errors
/// It is not: a newer operator's field, or a resource from before a rule.
pub fn readable<K, E>(resource: &Guarded<K>) -> Result<&K, Error<E>> {
    match &resource.0 {
        Ok(resource) => Ok(resource),
        Err(invalid) => Err(Error::Unreadable(invalid.error.clone())),
    }
}

/// Runs one pass of a controller, `longest` at most: every request in it has a shorter bound of its own. `pass` tells
/// whether anything was changed, and when to look again.
///
/// # Errors
/// Whatever kept the pass from being finished.
pub async fn run<K, E>(
    controller: &'static str,
    longest: Duration,
    resource: &K,
    context: &Context,
    pass: impl Future<Output = Result<(bool, Duration), E>>,
) -> Result<Action, Error<E>>
where
    K: Resource<DynamicType = ()>,
{
    let begun = Instant::now();
    let done = match tokio::time::timeout(FILLED, context.stores.filled()).await {
        Ok(()) => match tokio::time::timeout(longest, pass).await {
            Ok(done) => done.map_err(Error::Failed),
            Err(_) => Err(Error::TooLong(longest)),
        },
        Err(_) => Err(Error::Blind(FILLED)),
    };
    context.metrics.passed(controller, &done, begun.elapsed());
    let (_, requeue) = done?;
    context.succeeded(&key(resource));
    Ok(Action::requeue(requeue))
}

/// Called when a pass has failed; says when to try again.
pub fn failed<K, E>(resource: Arc<Guarded<K>>, error: &Error<E>, context: Arc<Context>) -> Action
where
    K: Resource<DynamicType = ()>,
    E: Display,
{
    let key = key(resource.as_ref());
    let wait = context.failed(&key);
    warn!(resource = key, error = %error, "the pass failed, next try in {wait:.1?}");
    Action::requeue(wait)
}
