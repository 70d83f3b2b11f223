//! The HTTP API.

mod body;
mod config;
mod debug;
mod drain;
mod inspect;
mod names;
mod pair;
mod publish;
mod settings;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use nsq_daemon::http::{Answer, Api, ApiError};
use nsq_journal::JournalError;
use nsq_protocol::NSQ_VERSION;
use tokio::sync::Semaphore;

use crate::lookup::LookupLinks;
use crate::nsqd::Nsqd;
use config::Settings;

/// Bytes of bodies that are being read at once; what comes on top is refused.
const BODY_BYTES: usize = 256 << 20;

/// What handlers share.
pub(crate) struct Shared {
    nsqd: Arc<Nsqd>,
    links: Arc<LookupLinks>,
    settings: Settings,
    ports: Ports,
    /// One permit per byte of [`BODY_BYTES`].
    body_bytes: Arc<Semaphore>,
}

/// Where the listeners are; `None` on a unix socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub tcp: Option<u16>,
    pub http: Option<u16>,
}

impl Shared {
    pub(crate) fn new(nsqd: Arc<Nsqd>, links: Arc<LookupLinks>, ports: Ports) -> Arc<Self> {
        Arc::new(Self {
            settings: Settings::new(&nsqd.options),
            body_bytes: Arc::new(Semaphore::new(BODY_BYTES)),
            nsqd,
            links,
            ports,
        })
    }
}

type State = axum::extract::State<Arc<Shared>>;
type Result<T = Answer> = std::result::Result<T, ApiError>;

pub(crate) fn routes() -> Api<Arc<Shared>> {
    Api::new()
        .get("/ping", status::ping)
        .get("/info", status::info)
        .get("/stats", status::stats)
        .get("/metrics", status::metrics)
        .get("/pair", pair::status)
        .post("/pair/adopt", pair::adopt)
        .get("/drain", drain::status)
        .post("/drain", drain::begin)
        .post("/undrain", drain::end)
        .post("/pub", publish::one)
        .post("/mpub", publish::many)
        .post("/topic/create", names::create_topic)
        .post("/topic/delete", names::delete_topic)
        .post("/topic/empty", names::empty_topic)
        .post("/topic/pause", names::pause_topic)
        .post("/topic/unpause", names::unpause_topic)
        .post("/channel/create", names::create_channel)
        .post("/channel/delete", names::delete_channel)
        .post("/channel/empty", names::empty_channel)
        .post("/channel/pause", names::pause_channel)
        .post("/channel/unpause", names::unpause_channel)
        .get("/topic/settings", settings::get_topic)
        .put("/topic/settings", settings::set_topic)
        .post("/topic/settings", settings::set_topic)
        .get("/channel/settings", settings::get_channel)
        .put("/channel/settings", settings::set_channel)
        .post("/channel/settings", settings::set_channel)
        .post("/topic/redrive", settings::redrive)
        .get("/topic/peek", inspect::peek_topic)
        .get("/channel/peek", inspect::peek_channel)
        .get("/channel/deferred", inspect::deferred)
        .post("/channel/deferred/cancel", inspect::cancel)
        .get("/livez", status::livez)
        .get("/readyz", status::readyz)
        .get("/debug/pprof/heap", nsq_daemon::http::heap_profile)
        .get("/debug/pprof/profile", nsq_daemon::http::cpu_profile)
        .get("/debug/cpu", debug::cpu)
        .get("/debug/memory", debug::memory)
        .get("/debug/tasks", debug::tasks)
        .get("/config/{option}", config::get)
        .put("/config/{option}", config::put)
}

/// What probes and monitoring ask, and nothing that changes anything.
pub(crate) fn read_only_routes() -> Api<Arc<Shared>> {
    Api::new()
        .get("/ping", status::ping)
        .get("/livez", status::livez)
        .get("/readyz", status::readyz)
        .get("/info", status::info)
        .get("/stats", status::stats)
        .get("/metrics", status::metrics)
}

/// Plain HTTP where TLS is required: every request is told where HTTPS is, in NSQ's very bytes.
/// `https_port` is 0 if nowhere.
pub(crate) fn tls_required(https_port: u16) -> Router {
    let body = format!(r#"{{"message": "TLS_REQUIRED", "https_port": {https_port}}}"#);
    let refuse = async move || (StatusCode::FORBIDDEN, Answer::Json(body));
    Router::new().fallback(refuse)
}

/// What went wrong with keeping something, for the client. The reason stands in the log.
fn not_kept(error: JournalError) -> ApiError {
    tracing::error!("HTTP: {error}");
    match error {
        JournalError::DiskFull(_) => ApiError::new(503, "DISK_FULL"),
        JournalError::Poisoned(_) => ApiError::new(503, "JOURNAL_STOPPED"),
        JournalError::TooLarge { .. } => ApiError::new(413, "MSG_TOO_BIG"),
        _ => ApiError::new(500, "INTERNAL_ERROR"),
    }
}

fn version() -> String {
    NSQ_VERSION.to_owned()
}
