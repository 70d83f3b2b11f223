//! `/config/:opt`: any option can be read by its config key, two can be changed.

use axum::body::Body;
use axum::extract::{Path, State as From};
use nsq_daemon::http::{Answer, ApiError};
use nsq_daemon::identity;
use nsq_daemon::log::{self, LogLevel};
use nsq_daemon::options::Command;
use nsq_daemon::value::FlagValue;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::{Result, Shared, State};
use crate::options::Options;

/// nsqlookupds that can be set at run time.
const MAX_LOOKUPDS: usize = 256;

/// The options in force.
pub(super) struct Settings {
    command: Command<Options>,
    options: Mutex<Options>,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            command: Options::command(&identity::hostname()),
            options: Mutex::new(options.clone()),
        }
    }

    fn answer(&self, option: &str) -> Result {
        let value = self.command.json(&self.options.lock(), option);
        match value.ok_or(ApiError::bad_request("INVALID_OPTION"))? {
            // As it is, without quotes.
            Json::String(text) => Ok(Answer::Text(text)),
            value => Answer::json(&value),
        }
    }
}

pub(super) async fn get(From(shared): State, Path(option): Path<String>) -> Result {
    shared.settings.answer(&option)
}

pub(super) async fn put(From(shared): State, Path(option): Path<String>, body: Body) -> Result {
    let most = usize::try_from(shared.nsqd.options.max_msg_size).unwrap_or(0);
    let body = shared.read_body(body, most, "INVALID_VALUE").await?;
    if body.bytes.is_empty() {
        return Err(ApiError::new(413, "INVALID_VALUE"));
    }
    let done = match option.as_str() {
        "nsqlookupd_tcp_addresses" => shared.set_lookupds(&body.bytes),
        "log_level" => shared.set_log_level(&body.bytes),
        _ => return Err(ApiError::bad_request("INVALID_OPTION")),
    };
    done.ok_or(ApiError::bad_request("INVALID_VALUE"))?;
    shared.settings.answer(&option)
}

/// `None`: the value is not one.
impl Shared {
    fn set_lookupds(&self, value: &[u8]) -> Option<()> {
        let addresses: Vec<String> = serde_json::from_slice(value).ok()?;
        if addresses.len() > MAX_LOOKUPDS {
            return None;
        }
        // Two at once: what is shown stays what is done.
        let mut options = self.settings.options.lock();
        self.links.set_addresses(&addresses);
        options.lookupd_tcp_addresses = addresses;
        Some(())
    }

    fn set_log_level(&self, value: &[u8]) -> Option<()> {
        let level = LogLevel::parse(std::str::from_utf8(value).ok()?).ok()?;
        let mut options = self.settings.options.lock();
        log::set_level(level);
        options.log_level = level;
        Some(())
    }
}
