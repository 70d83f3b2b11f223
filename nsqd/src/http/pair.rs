//! `/pair`: how the pair stands, and the order to adopt.

use axum::extract::State as From;
use nsq_daemon::http::{Answer, ApiError, Params};

use super::{Result, State, not_kept};
use crate::pair::{AdoptError, Order};

pub(super) async fn status(From(shared): State) -> Result {
    Answer::json(&shared.nsqd.pair.status(&shared.nsqd))
}

/// `node`: whose messages; `incarnation` and `run`, as `/pair` shows them, refuse an order that came too late.
/// Answered at once, with the state of things: ask again until it is done. Repeating it does no harm.
pub(super) async fn adopt(From(shared): State, params: Params) -> Result {
    let order = Order {
        node: params.required("node", "MISSING_ARG_NODE")?,
        incarnation: number(&params, "incarnation", 16)?,
        run: number(&params, "run", 10)?,
    };
    let nsqd = &shared.nsqd;
    let ordered = nsqd.pair.order(nsqd, &order);
    ordered.map_err(|error| match error {
        AdoptError::NoMirror => ApiError::not_found("NO_MIRROR_OF_NODE"),
        AdoptError::CameBack(_) => ApiError::new(409, "NODE_CAME_BACK"),
        AdoptError::Journal(error) => not_kept(error),
    })?;
    nsqd.journal.write(nsqd.journal.tail()).map_err(not_kept)?;
    Answer::json(&nsqd.pair.status(nsqd))
}

fn number(params: &Params, key: &str, radix: u32) -> Result<Option<u64>> {
    let Some(text) = params.get(key) else {
        return Ok(None);
    };
    let number = u64::from_str_radix(text, radix);
    let number = number.map_err(|_| ApiError::bad_request("INVALID_ARG"))?;
    Ok(Some(number))
}
