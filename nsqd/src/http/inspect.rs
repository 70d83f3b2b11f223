//! Looking at messages without taking them; taking back deferred ones.

use axum::extract::State as From;
use nsq_daemon::http::{Answer, ApiError, Params};
use nsq_protocol::MessageId;
use nsq_queue::Peeked;
use serde_json::{Value, json};

use super::{Result, Shared, State, not_kept};
use crate::LiveTopic;

/// Messages that are shown, by default and at the most.
const SHOWN: usize = 10;
const MOST_SHOWN: usize = 1000;
/// Bytes of a body that are shown, and of all together.
const BODY_BYTES: usize = 64 << 10;
const ALL_BYTES: usize = 8 << 20;

pub(super) async fn peek_topic(From(shared): State, params: Params) -> Result {
    let topic = shared.topic_param(&params)?;
    peek(&shared, &topic, None, &params)
}

pub(super) async fn peek_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    peek(&shared, &topic, Some(channel), &params)
}

fn peek(
    shared: &Shared,
    topic: &std::sync::Arc<LiveTopic>,
    channel: Option<&str>,
    params: &Params,
) -> Result {
    let count = count(params)?;
    loop {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let peeked = topic.read(|queue| {
            queue.peek(channel, count, |message| {
                if bytes < ALL_BYTES {
                    let body = message.chunk.0.bytes(message.offset, message.len);
                    bytes += body.len().min(BODY_BYTES);
                    messages.push(shown(&message, body));
                }
            })
        });
        match peeked.ok_or(ApiError::not_found("CHANNEL_NOT_FOUND"))? {
            Peeked::All => return Answer::json(&json!({"messages": messages})),
            Peeked::NeedsPage { .. } if bytes >= ALL_BYTES => {
                return Answer::json(&json!({"messages": messages}));
            }
            Peeked::NeedsPage { page, pos } => {
                shared.nsqd.page_in(topic, &page, pos).map_err(not_kept)?;
            }
        }
    }
}

fn shown<C>(message: &nsq_queue::Delivery<'_, C>, body: &[u8]) -> Value {
    let cut = &body[..body.len().min(BODY_BYTES)];
    let mut shown = json!({
        "id": hex(message.id),
        "timestamp": message.timestamp,
        "attempts": message.attempts,
        "bytes": body.len(),
    });
    match std::str::from_utf8(cut) {
        Ok(text) => shown["body"] = text.into(),
        Err(_) => {
            use base64::Engine as _;
            let engine = base64::engine::general_purpose::STANDARD;
            shown["body_base64"] = engine.encode(cut).into();
        }
    }
    shown
}

/// `/channel/deferred`: what waits for its time, next first.
pub(super) async fn deferred(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    let count = count(&params)?;
    let items = topic.read(|queue| queue.deferred(channel, count));
    let items = items.ok_or(ApiError::not_found("CHANNEL_NOT_FOUND"))?;
    let items = items
        .iter()
        .map(|item| json!({"id": hex(item.id), "due": item.due, "attempts": item.attempts}));
    Answer::json(&json!({"messages": items.collect::<Vec<_>>()}))
}

/// `/channel/deferred/cancel?id=`: the channel never gets the message.
pub(super) async fn cancel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    let id = params.required("id", "MISSING_ARG_ID")?;
    let id = <&[u8; 16]>::try_from(id.as_bytes()).ok();
    let id = id.and_then(MessageId::parse);
    let id = id.ok_or(ApiError::bad_request("INVALID_ARG_ID"))?;
    let cancelled = topic.change_now(&shared.nsqd, |queue, _| {
        queue.cancel_deferred(channel, id.0)
    });
    match cancelled {
        true => Ok(Answer::Empty),
        false => Err(ApiError::not_found("MESSAGE_NOT_FOUND")),
    }
}

fn count(params: &Params) -> Result<usize> {
    let Some(text) = params.get("count") else {
        return Ok(SHOWN);
    };
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=MOST_SHOWN).contains(count));
    count.ok_or(ApiError::bad_request("INVALID_ARG_COUNT"))
}

fn hex(id: u64) -> String {
    String::from_utf8_lossy(&MessageId(id).to_hex()).into_owned()
}
