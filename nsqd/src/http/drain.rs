//! `/drain`: no more messages are taken, what is here is still consumed.

use axum::extract::State as From;
use nsq_daemon::http::Answer;

use super::{Result, State, not_kept};
use crate::drain;

/// What is left.
pub(super) async fn status(From(shared): State) -> Result {
    Answer::json(&drain::status(&shared.nsqd))
}

/// Answered once it is kept, with what is left.
pub(super) async fn begin(From(shared): State) -> Result {
    drain::set(&shared.nsqd, true).await.map_err(not_kept)?;
    Answer::json(&drain::status(&shared.nsqd))
}

/// Messages are taken again.
pub(super) async fn end(From(shared): State) -> Result {
    drain::set(&shared.nsqd, false).await.map_err(not_kept)?;
    Answer::json(&drain::status(&shared.nsqd))
}
