//! The HTTP API.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nsq_daemon::http::{Answer, Api, ApiError, Params};
use nsq_http_api::{Channels, Lookup, LookupInfo, Nodes, Topics};
use nsq_protocol::{NSQ_VERSION, is_valid_name};
use serde::Serialize;

use crate::external::External;
use crate::registry::{DumpEntry, Full};
use crate::{Shared, metrics};

type Lookupd = State<Arc<Shared>>;
/// There for those who ask from outside.
type Outside = Option<Extension<Arc<External>>>;
type Result<T = Answer> = std::result::Result<T, ApiError>;

pub(crate) fn routes() -> Api<Arc<Shared>> {
    read_only_routes()
        .get("/debug", debug)
        .get("/debug/pprof/heap", nsq_daemon::http::heap_profile)
        .get("/debug/pprof/profile", nsq_daemon::http::cpu_profile)
        .post("/topic/create", create_topic)
        .post("/topic/delete", delete_topic)
        .post("/topic/tombstone", tombstone)
        .post("/channel/create", create_channel)
        .post("/channel/delete", delete_channel)
}

/// What clients, probes and monitoring ask, and nothing that changes anything.
pub(crate) fn read_only_routes() -> Api<Arc<Shared>> {
    Api::new()
        .get("/ping", async || Answer::Plain("OK".to_owned()))
        .get("/livez", async || Answer::Plain("ok".to_owned()))
        .get("/readyz", async || Answer::Plain("ok".to_owned()))
        .get("/info", info)
        .get("/metrics", prometheus)
        .get("/lookup", lookup)
        .get("/topics", topics)
        .get("/channels", channels)
        .get("/nodes", nodes)
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
    let refused = lookupd.refused.load(Ordering::Relaxed);
    Answer::Plain(metrics::text(counts, lookupd.changes.waiting(), refused))
}

/// The longest that a lookup waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// With `wait`, seconds: answers once the topic has an nsqd, or once the answer is not the one of `If-None-Match`, or
/// when the time is over.
async fn lookup(
    State(lookupd): Lookupd,
    outside: Outside,
    params: Params,
    headers: HeaderMap,
) -> Result<Response> {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    let wait = match params.get("wait") {
        None => None,
        Some(text) => {
            let seconds: u64 = text
                .parse()
                .map_err(|_| ApiError::bad_request("INVALID_WAIT"))?;
            Some(Duration::from_secs(seconds).min(WAIT_MAX))
        }
    };
    let look = || {
        let found = lookupd.registry.lock().lookup(topic, lookupd.now());
        match &outside {
            Some(Extension(external)) => found.map(|found| external.lookup(found)),
            None => found,
        }
    };
    let Some(wait) = wait else {
        return Ok(Answer::json(&look().ok_or(TOPIC_NOT_FOUND)?)?.into_response());
    };
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let news = |found: &Option<Lookup>| match known {
        None => found
            .as_ref()
            .is_some_and(|found| !found.producers.is_empty()),
        Some(known) => tag(found.as_ref()) != known,
    };
    let found = lookupd.changes.wait(wait, look, news).await;
    let tag = [(ETAG, tag(found.as_ref()))];
    Ok(match found {
        Some(found) => (tag, Answer::json(&found)?).into_response(),
        None => (tag, TOPIC_NOT_FOUND).into_response(),
    })
}

const TOPIC_NOT_FOUND: ApiError = ApiError {
    status: StatusCode::NOT_FOUND,
    code: "TOPIC_NOT_FOUND",
};

/// Differs when what was found does.
fn tag(found: Option<&Lookup>) -> String {
    let mut hasher = DefaultHasher::new();
    // What cannot be written is not answered either.
    serde_json::to_vec(&found)
        .unwrap_or_default()
        .hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
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

/// With `pair_name`: the nsqds of that name, and how long ago they were heard of. Who asks is deciding whether one of them
/// is gone, so inactive ones are told of too.
async fn nodes(State(lookupd): Lookupd, outside: Outside, params: Params) -> Result {
    let (now, pair_name) = (lookupd.now(), params.get("pair_name").unwrap_or_default());
    let producers = match pair_name {
        "" => lookupd.registry.lock().nodes(now),
        name => lookupd.registry.lock().nodes_of_pair(name, now),
    };
    let producers = match outside {
        Some(Extension(external)) => external.nodes(producers),
        None => producers,
    };
    Answer::json(&Nodes {
        producers,
        pair_name: pair_name.to_owned(),
    })
}

async fn create_topic(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = valid(&params, "topic", "MISSING_ARG_TOPIC", "INVALID_ARG_TOPIC")?;
    tracing::info!("DB: adding topic({topic})");
    let created = lookupd.change(|registry| registry.create_topic(topic));
    created.map_err(full)?;
    Ok(Answer::Empty)
}

async fn delete_topic(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    tracing::info!("DB: removing topic({topic})");
    lookupd.change(|registry| registry.delete_topic(topic));
    Ok(Answer::Empty)
}

async fn tombstone(State(lookupd): Lookupd, params: Params) -> Result {
    let topic = params.required("topic", "MISSING_ARG_TOPIC")?;
    let node = params.required("node", "MISSING_ARG_NODE")?;
    tracing::info!("DB: setting tombstone for {node} of topic({topic})");
    let now = lookupd.now();
    lookupd.change(|registry| registry.tombstone(topic, node, now));
    Ok(Answer::Empty)
}

async fn create_channel(State(lookupd): Lookupd, params: Params) -> Result {
    let (topic, channel) = topic_and_channel(&params)?;
    tracing::info!("DB: adding channel({channel}) of topic({topic})");
    let created = lookupd.change(|registry| registry.create_channel(topic, channel));
    created.map_err(full)?;
    Ok(Answer::Empty)
}

async fn delete_channel(State(lookupd): Lookupd, params: Params) -> Result {
    let (topic, channel) = topic_and_channel(&params)?;
    tracing::info!("DB: removing channel({channel}) of topic({topic})");
    if lookupd.change(|registry| registry.delete_channel(topic, channel)) {
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
