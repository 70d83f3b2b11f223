//! Whether a server has anything left, from its statistics.

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Stats {
    topics: Vec<Topic>,
}

#[derive(Deserialize)]
struct Topic {
    depth: i64,
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    depth: i64,
    in_flight_count: i64,
    deferred_count: i64,
}

/// Nothing waits, is in flight or is deferred.
///
/// # Errors
/// When `stats` is not what `/stats?format=json` answers.
pub fn is_drained(stats: &[u8]) -> Result<bool> {
    let stats: Stats = serde_json::from_slice(stats).context("/stats")?;
    Ok(stats.topics.iter().all(|topic| {
        let empty = |channel: &Channel| {
            channel.depth == 0 && channel.in_flight_count == 0 && channel.deferred_count == 0
        };
        topic.depth == 0 && topic.channels.iter().all(empty)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_left_counts() {
        for (topic, depth, in_flight, deferred) in [
            (0, 0, 0, 0),
            (1, 0, 0, 0),
            (0, 1, 0, 0),
            (0, 0, 1, 0),
            (0, 0, 0, 1),
        ] {
            let stats = format!(
                r#"{{"version":"1.3.0","topics":[{{"topic_name":"t","depth":{topic},"channels":[
                {{"depth":{depth},"in_flight_count":{in_flight},"deferred_count":{deferred}}}]}}]}}"#
            );
            let left = topic + depth + in_flight + deferred;
            assert_eq!(is_drained(stats.as_bytes()).unwrap(), left == 0);
        }
        assert!(is_drained(b"nsqd v1.3.0").is_err());
    }
}
