//! Settings of topics and channels over HTTP, and the way back from a dead-letter topic.

use axum::body::Body;
use axum::extract::State as From;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use nsq_daemon::http::{Answer, ApiError, Params};
use nsq_protocol::is_valid_name;
use nsq_queue::Settings;

use super::publish::not_published;
use super::{Result, State, not_kept};
use crate::settings::{SetError, redrive as move_back};

/// Largest settings, in bytes.
const MAX_SETTINGS: usize = 16 << 10;

pub(super) async fn get_topic(From(shared): State, params: Params) -> Result {
    let topic = shared.topic_param(&params)?;
    Answer::json(&topic.read(|queue| queue.settings().clone()))
}

pub(super) async fn get_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    let settings = topic.read(|queue| queue.channel_settings(channel));
    Answer::json(&settings.ok_or(ApiError::not_found("CHANNEL_NOT_FOUND"))?)
}

/// The body is the whole of the new settings: what it leaves out is as in NSQ again.
pub(super) async fn set_topic(From(shared): State, uri: Uri, body: Body) -> Result<Response> {
    let params = query(&uri)?;
    let topic = shared.topic_param(&params)?;
    set(&shared, &topic, None, body).await
}

pub(super) async fn set_channel(From(shared): State, uri: Uri, body: Body) -> Result<Response> {
    let params = query(&uri)?;
    let (topic, channel) = shared.topic_and_channel(&params)?;
    set(&shared, &topic, Some(channel), body).await
}

fn query(uri: &Uri) -> Result<Params> {
    let query = uri.query().unwrap_or_default();
    Params::parse(query).ok_or(ApiError::bad_request("INVALID_REQUEST"))
}

async fn set(
    shared: &super::Shared,
    topic: &std::sync::Arc<crate::LiveTopic>,
    channel: Option<&str>,
    body: Body,
) -> Result<Response> {
    let body = shared.read_body(body, MAX_SETTINGS, "BODY_TOO_BIG").await?;
    let settings: Settings = match serde_json::from_slice(&body.bytes) {
        Ok(settings) => settings,
        Err(error) => return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    match topic.set_settings(&shared.nsqd, channel, settings) {
        Ok(kept) => {
            shared.nsqd.keep(kept).await.map_err(not_kept)?;
            Ok(Answer::Empty.into_response())
        }
        Err(SetError::NoSuchChannel) => Err(ApiError::not_found("CHANNEL_NOT_FOUND")),
        Err(SetError::Journal(error)) => Err(not_kept(error)),
        Err(why @ SetError::Invalid(_)) => Ok(refused(StatusCode::BAD_REQUEST, &why.to_string())),
        Err(why @ SetError::NotEmpty) => Ok(refused(StatusCode::CONFLICT, &why.to_string())),
    }
}

/// NSQ's form of an error, with what is wrong beside its code.
fn refused(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({"message": "INVALID_SETTINGS", "detail": detail});
    (status, Answer::Json(body.to_string())).into_response()
}

/// `/topic/redrive?topic=dead&to=orders`: the messages of one topic go into another.
pub(super) async fn redrive(From(shared): State, params: Params) -> Result {
    let from = shared.topic_param(&params)?;
    let to = params.required("to", "MISSING_ARG_TO")?.to_owned();
    if !is_valid_name(&to) || to == from.name {
        return Err(ApiError::bad_request("INVALID_ARG_TO"));
    }
    let channel = params.get("channel").unwrap_or("redrive").to_owned();
    if !is_valid_name(&channel) {
        return Err(ApiError::bad_request("INVALID_ARG_CHANNEL"));
    }
    // What was dead once may come back while it is being moved: no more than there is now.
    let there: u64 = from.read(|queue| {
        let stats = queue.stats();
        let own = stats.channels.iter().find(|own| own.name == channel);
        stats.depth + own.map_or(0, |own| own.depth)
    });
    let count = match params.get("count") {
        None => there,
        Some(text) => match text.parse::<u64>() {
            Ok(count) => count.min(there),
            Err(_) => return Err(ApiError::bad_request("INVALID_ARG_COUNT")),
        },
    };
    // A task of its own: it ends well even if whoever asked for it is gone.
    let nsqd = std::sync::Arc::clone(&shared.nsqd);
    let moved = tokio::spawn(move_back(nsqd, from, channel, to, count)).await;
    let moved = moved.map_err(|_| ApiError::new(500, "INTERNAL_ERROR"))?;
    Answer::json(&serde_json::json!({"moved": moved.map_err(not_published)?}))
}
