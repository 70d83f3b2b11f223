//! What the node tells about itself.

use axum::extract::State as From;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nsq_daemon::http::{Answer, Params};
use nsq_daemon::identity;
use nsq_http_api::Info;

use super::{Result, State, version};
use crate::metrics::Gathered;
use crate::{metrics, stats};

pub(super) async fn ping(From(shared): State) -> Response {
    match shared.nsqd.health() {
        Ok(()) => Answer::Plain("OK".to_owned()).into_response(),
        Err(error) => {
            let told = Answer::Plain(format!("NOK - {error}"));
            (StatusCode::INTERNAL_SERVER_ERROR, told).into_response()
        }
    }
}

/// The process lives. A disk that fails or is full is no reason to kill it: what it has would have
/// to be read back, and delivery would stop.
pub(super) async fn livez() -> Answer {
    Answer::Plain("ok".to_owned())
}

/// Publishers may be sent here.
pub(super) async fn readyz(From(shared): State) -> Response {
    let nsqd = &shared.nsqd;
    let why = match nsqd.health() {
        Err(error) => Some(error.to_string()),
        Ok(()) if nsqd.is_exiting() => Some("stopping".to_owned()),
        Ok(()) if nsqd.drain.is_on() => Some("draining".to_owned()),
        Ok(()) if nsqd.journal.stats().disk_full => Some("the disk is full".to_owned()),
        Ok(()) => None,
    };
    match why {
        None => Answer::Plain(lost(nsqd)).into_response(),
        Some(why) => {
            let told = Answer::Plain(format!("not ready - {why}"));
            (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
        }
    }
}

/// Damage is no reason to send publishers away, but people want to know.
fn lost(nsqd: &crate::Nsqd) -> String {
    let topics = nsqd.topics();
    match topics
        .iter()
        .map(|topic| topic.read(|queue| queue.lost_count()))
        .sum::<u64>()
    {
        0 => "ok".to_owned(),
        lost => format!("ok, but {lost} messages could not be delivered: the disk damaged them"),
    }
}

pub(super) async fn info(From(shared): State) -> Result {
    let options = &shared.nsqd.options;
    let nanos = |duration: std::time::Duration| i64::try_from(duration.as_nanos());
    let topology = options.topology();
    Answer::json(&Info {
        version: version(),
        broadcast_address: options.broadcast_address.clone(),
        hostname: identity::hostname(),
        http_port: shared.ports.http.map_or(-1, i32::from),
        tcp_port: shared.ports.tcp.map_or(-1, i32::from),
        start_time: shared.nsqd.clock.started_at(),
        max_heartbeat_interval: nanos(options.max_heartbeat_interval).unwrap_or(i64::MAX),
        max_output_buffer_size: options.max_output_buffer_size,
        max_output_buffer_timeout: nanos(options.max_output_buffer_timeout).unwrap_or(i64::MAX),
        topology_region: topology.as_ref().map(|topology| topology.region.clone()),
        topology_zone: topology.map(|topology| topology.zone),
        draining: shared.nsqd.drain.is_on(),
        max_deflate_level: i32::try_from(options.max_deflate_level).unwrap_or(i32::MAX),
    })
}

pub(super) async fn stats(From(shared): State, params: Params) -> Result {
    let wanted = stats::Wanted {
        topic: params.get("topic").filter(|name| !name.is_empty()),
        channel: params.get("channel").filter(|name| !name.is_empty()),
        clients: is_not_false(&params, "include_clients"),
        memory: is_not_false(&params, "include_mem"),
    };
    let stats = stats::gather(&shared.nsqd, &wanted);
    match params.get("format") {
        Some("json") => Answer::json(&stats),
        _ => Ok(Answer::Text(stats::text(&stats, &shared.nsqd))),
    }
}

/// Anything that is not plainly false means true, as in NSQ.
fn is_not_false(params: &Params, key: &str) -> bool {
    !matches!(params.get(key), Some("false" | "0"))
}

pub(super) async fn metrics(From(shared): State) -> Answer {
    let nsqd = &shared.nsqd;
    let wanted = stats::Wanted {
        topic: None,
        channel: None,
        clients: false,
        memory: true,
    };
    Answer::Plain(metrics::text(&Gathered {
        stats: stats::gather(nsqd, &wanted),
        connections: nsqd.clients().len(),
        journal: nsqd.journal.stats(),
        relocated: nsqd.relocation.counts(),
        publish_times: nsqd.times.publish.read(),
        processing_times: nsqd.times.processing.read(),
        lookupds: shared.links.status(),
    }))
}
