//! The HTTP API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use nsq_daemon::http::{Answer, Api, ApiError, Params};
use nsq_http_api::{Channels, LookupInfo, Nodes, Topics};
use nsq_protocol::{NSQ_VERSION, is_valid_name};
use serde::Serialize;

use crate::registry::{DumpEntry, Full};
use crate::{Shared, metrics};

type Lookupd = State<Arc<Shared>>;
type Result = std::result::Result<Answer, ApiError>;

pub(crate) fn routes() -> Api<Arc<Shared>> {
    Api::new()
        .get("/ping", async || Answer::Plain("OK".to_owned()))
        .get("/info", info)
        .get("/metrics", prometheus)
        .get("/debug", debug)
        .get("/lookup", lookup)
        .get("/topics", topics)
        .get("/channels", channels)
        .get("/nodes", nodes)
        .post("/topic/create", create_topic)
        .post("/topic/delete", delete_topic)
        .post("/topic/tombstone", tombstone)
        .post("/channel/create", create_channel)
        .post("/channel/delete", delete_channel)
}

fn full(_: Full) -> ApiError {
    ApiError::new(503, "REGISTRY_FULL")
}

async fn info() -> Result {
    Answer::json(&LookupInfo {
        version: NSQ_VERSION.to_owned(),
    })
}

async fn prometheus(State(lookupd): Lookupd) -> Answer {
    let counts = lookupd.registry.lock().counts(lookupd.now());
    Answer::Plain(metrics::text(counts))
}

async fn lookup(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    let found = lookupd.registry.lock().lookup(topic, lookupd.now());
    Answer::json(&found.ok_or(ApiError::not_found("TOPIC_NOT_FOUND"))?)
}

async fn topics(State(lookupd): Lookupd) -> Result {
    let topics = lookupd.registry.lock().topics();
    Answer::json(&Topics { topics })
}

async fn channels(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    let channels = lookupd.registry.lock().channels(topic);
    Answer::json(&Channels { channels })
}

async fn nodes(State(lookupd): Lookupd) -> Result {
    let producers = lookupd.registry.lock().nodes(lookupd.now());
    Answer::json(&Nodes { producers })
}

async fn create_topic(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = valid(&params, "topic", "MISSING_ARG_TOPIC", "INVALID_ARG_TOPIC")?;
    tracing::info!("DB: adding topic({topic})");
    lookupd.registry.lock().create_topic(topic).map_err(full)?;
    Ok(Answer::Empty)
}

async fn delete_topic(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    tracing::info!("DB: removing topic({topic})");
    lookupd.registry.lock().delete_topic(topic);
    Ok(Answer::Empty)
}

async fn tombstone(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    let node = params.required("node", "MISSING_ARG_NODE")?;
    tracing::info!("DB: setting tombstone for {node} of topic({topic})");
    lookupd
        .registry
        .lock()
        .tombstone(topic, node, lookupd.now());
    Ok(Answer::Empty)
}

async fn create_channel(State(lookupd): Lookupd, params: Params) -> Result {
    let (topic, channel) = topic_and_channel(&params)?;
    tracing::info!("DB: adding channel({channel}) of topic({topic})");
    lookupd
        .registry
        .lock()
        .create_channel(topic, channel)
        .map_err(full)?;
    Ok(Answer::Empty)
}

async fn delete_channel(State(lookupd): Lookupd, params: Params) -> Result {
    let (topic, channel) = topic_and_channel(&params)?;
    tracing::info!("DB: removing channel({channel}) of topic({topic})");
    if lookupd.registry.lock().delete_channel(topic, channel) {
        Ok(Answer::Empty)
    } else {
        Err(ApiError::not_found("CHANNEL_NOT_FOUND"))
    }
}

fn topic_and_channel(params: &Params) -> std::result::Result<(&str, &str), ApiError> {
    let topic = valid(params, "topic", "MISSING_ARG_TOPIC", "INVALID_ARG_TOPIC")?;
    let channel = valid(
        params,
        "channel",
        "MISSING_ARG_CHANNEL",
        "INVALID_ARG_CHANNEL",
    )?;
    Ok((topic, channel))
}

fn valid<'a>(
    params: &'a Params,
    key: &str,
    missing: &'static str,
    invalid: &'static str,
) -> std::result::Result<&'a str, ApiError> {
    let name = params.required(key, missing)?;
    if is_valid_name(name) {
        Ok(name)
    } else {
        Err(ApiError::bad_request(invalid))
    }
}

/// An nsqd in `/debug`. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct DebugProducer {
    broadcast_address: String,
    hostname: String,
    http_port: i32,
    id: String,
    last_update: i64,
    tcp_port: i32,
    tombstoned: bool,
    tombstoned_at: i64,
    version: String,
}

/// The year 1, Go's zero time: NSQ's "never".
const NEVER: i64 = -6_795_364_578_871_345_152;

async fn debug(State(lookupd): Lookupd) -> Result {
    let now = lookupd.now();
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut table: BTreeMap<String, Vec<DebugProducer>> = BTreeMap::new();
    for entry in lookupd.registry.lock().dump(now) {
        // The registry's clock is not the wall's: an age is what both agree on.
        let wall = |at: Duration| nanos(since_epoch.saturating_sub(now.saturating_sub(at)));
        let producer = debug_producer(&entry, wall);
        table.entry(entry.key).or_default().push(producer);
    }
    Answer::json(&table)
}

fn debug_producer(entry: &DumpEntry<'_>, wall: impl Fn(Duration) -> i64) -> DebugProducer {
    let info = entry.peer.info.clone();
    DebugProducer {
        broadcast_address: info.broadcast_address,
        hostname: info.hostname,
        http_port: info.http_port,
        id: entry.peer.remote_address.clone(),
        last_update: wall(entry.peer.last_seen),
        tcp_port: info.tcp_port,
        tombstoned: entry.tombstoned_at.is_some(),
        tombstoned_at: entry.tombstoned_at.map_or(NEVER, wall),
        version: info.version,
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
