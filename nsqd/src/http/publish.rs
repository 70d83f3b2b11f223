//! Publishing: `/pub` and `/mpub`.

use axum::body::Body;
use axum::extract::State as From;
use axum::http::Uri;
use nsq_daemon::http::{Answer, ApiError, Params};
use nsq_protocol::is_valid_name;

use crate::keep::NotKept;
use crate::pair::PeerLost;

use super::{Result, Shared, State, not_kept};
use crate::live_topic::PublishError;

/// `--on-peer-loss=block`: the peer does not mirror this node.
const PEER_LOST: &str = "PEER_LOST";

/// Bodies in a buffer: (offset, length).
type Ranges = Vec<(u32, u32)>;

/// One message: the body of the request.
pub(super) async fn one(From(shared): State, uri: Uri, body: Body) -> Result {
    let most = size(shared.nsqd.options.max_msg_size);
    let body = shared.read_body(body, most, "MSG_TOO_BIG").await?;
    if body.bytes.is_empty() {
        return Err(ApiError::bad_request("MSG_EMPTY"));
    }
    let params = params(&uri)?;
    let ranges = vec![(0, body.bytes.len() as u32)];
    shared.publish(&params, &body.bytes, &ranges).await
}

/// Several messages: lines of text, or as in the MPUB command.
pub(super) async fn many(From(shared): State, uri: Uri, body: Body) -> Result {
    let (max_body, max_msg) = {
        let options = &shared.nsqd.options;
        (size(options.max_body_size), size(options.max_msg_size))
    };
    let params = params(&uri)?;
    topic_name(&params)?;
    let body = shared.read_body(body, max_body, "BODY_TOO_BIG").await?;
    let ranges = match is_binary(&params) {
        true => batch(&body.bytes, max_msg, max_body)?,
        false => lines(&body.bytes, max_msg)?,
    };
    shared.publish(&params, &body.bytes, &ranges).await
}

impl Shared {
    /// Publishes, and answers once the messages are kept.
    async fn publish(&self, params: &Params, buffer: &[u8], ranges: &[(u32, u32)]) -> Result {
        let name = topic_name(params)?;
        let delay = self.delay(params)?;
        let read = self.nsqd.clock.now();
        self.nsqd.pager.room().await;
        if self.nsqd.is_exiting() {
            return Err(ApiError::new(503, "EXITING"));
        }
        if self.nsqd.drain.is_on() {
            return Err(ApiError::new(503, "DRAINING"));
        }
        if self.nsqd.pair.is_awaited() && self.nsqd.pair.refuses() {
            return Err(ApiError::new(503, PEER_LOST));
        }
        let topic = self.nsqd.topic(name).map_err(not_kept)?;
        if ranges.is_empty() {
            return Ok(Answer::ok());
        }
        let due = match delay {
            0 => 0,
            delay => self.nsqd.clock.now() + delay * 1_000_000,
        };
        let nsqd = &self.nsqd;
        let (kept, then) = topic
            .publish(nsqd, buffer, ranges, due)
            .map_err(not_published)?;
        // Before the first await: consumers are woken even if this client goes away.
        then.happen_after(nsqd, &topic, kept);
        let pool = nsqd.journal.pool();
        pool.prepare();
        nsqd.pager.note_growth(&nsqd.journal);
        match nsqd.keep_mirrored(kept).await {
            Ok(()) => {}
            Err(NotKept::Journal(error)) => return Err(not_kept(error)),
            Err(NotKept::Peer(PeerLost)) => return Err(ApiError::new(503, PEER_LOST)),
        }
        let took = u64::try_from(nsqd.clock.now() - read).unwrap_or(0);
        nsqd.times.publish.count(took, 1);
        Ok(Answer::ok())
    }

    /// Milliseconds; 0 when there is none.
    fn delay(&self, params: &Params) -> Result<i64> {
        let Some(text) = params.get("defer") else {
            return Ok(0);
        };
        let most = self.nsqd.options.longest_delay().as_millis();
        let delay = text
            .parse()
            .ok()
            .filter(|delay: &i64| u128::try_from(*delay).is_ok_and(|delay| delay <= most));
        delay.ok_or(ApiError::bad_request("INVALID_DEFER"))
    }
}

/// A topic that is full is no fault of the server, and trying again makes sense.
pub(super) fn not_published(error: PublishError) -> ApiError {
    match error {
        PublishError::Journal(error) => not_kept(error),
        PublishError::Full(_) => ApiError::new(503, "TOPIC_FULL"),
    }
}

fn params(uri: &Uri) -> Result<Params> {
    let query = uri.query().unwrap_or_default();
    Params::parse(query).ok_or(ApiError::bad_request("INVALID_REQUEST"))
}

fn topic_name(params: &Params) -> Result<&str> {
    let name = params.required("topic", "MISSING_ARG_TOPIC")?;
    match is_valid_name(name) {
        true => Ok(name),
        false => Err(ApiError::bad_request("INVALID_TOPIC")),
    }
}

/// The options are checked to be positive and to fit.
fn size(option: i64) -> usize {
    usize::try_from(option).unwrap_or(0)
}

/// Anything but `false` and `0` means binary, as in NSQ.
fn is_binary(params: &Params) -> bool {
    let value = params.get("binary");
    value.is_some_and(|value| !matches!(value, "false" | "0"))
}

/// Each line is a message; empty ones are none.
fn lines(body: &[u8], max_msg: usize) -> Result<Ranges> {
    let mut ranges = Ranges::new();
    let mut at = 0;
    for line in body.split(|byte| *byte == b'\n') {
        if line.len() > max_msg {
            return Err(ApiError::new(413, "MSG_TOO_BIG"));
        }
        if !line.is_empty() {
            ranges.push((at as u32, line.len() as u32));
        }
        at += line.len() + 1;
    }
    Ok(ranges)
}

/// A count, then each message after its size. What follows the last one is ignored.
fn batch(body: &[u8], max_msg: usize, max_body: usize) -> Result<Ranges> {
    let number = |at: usize| {
        let bytes = body.get(at..)?.first_chunk::<4>()?;
        usize::try_from(i32::from_be_bytes(*bytes)).ok()
    };
    let bad_message = || ApiError::new(413, "BAD_MESSAGE");
    let most = max_body.saturating_sub(4) / 5;
    let count = number(0).filter(|count| (1..=most).contains(count));
    let count = count.ok_or(ApiError::new(413, "BAD_BODY"))?;
    let mut ranges = Ranges::new();
    let mut at = 4;
    for _ in 0..count {
        let size = number(at).filter(|size| (1..=max_msg).contains(size));
        let size = size.ok_or_else(bad_message)?;
        at += 4;
        if body.len() - at < size {
            return Err(bad_message());
        }
        ranges.push((at as u32, size as u32));
        at += size;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_empty_ones() {
        let lines = |text: &str| lines(text.as_bytes(), 3).map_err(|error| error.code);
        assert_eq!(lines("a\nb\n\n\ncc"), Ok(vec![(0, 1), (2, 1), (6, 2)]));
        assert_eq!(lines("\n\n"), Ok(vec![]));
        assert_eq!(lines("abc\n"), Ok(vec![(0, 3)]));
        assert_eq!(lines("a\nabcd"), Err("MSG_TOO_BIG"));
    }

    #[test]
    fn batches_cut_anywhere_are_refused() {
        let whole = b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02bb";
        assert_eq!(batch(whole, 2, 100).unwrap(), [(8, 1), (13, 2)]);
        assert_eq!(
            batch(b"\0\0\0\x01\0\0\0\x01atrailing", 2, 100).unwrap(),
            [(8, 1)]
        );
        for cut in 0..whole.len() {
            let expected = if cut < 4 { "BAD_BODY" } else { "BAD_MESSAGE" };
            assert_eq!(batch(&whole[..cut], 2, 100).unwrap_err().code, expected);
        }
        assert_eq!(batch(whole, 1, 100).unwrap_err().code, "BAD_MESSAGE");
        assert_eq!(batch(whole, 2, 13).unwrap_err().code, "BAD_BODY", "count");
        assert_eq!(
            batch(b"\xff\xff\xff\xff", 2, 100).unwrap_err().code,
            "BAD_BODY"
        );
    }
}
