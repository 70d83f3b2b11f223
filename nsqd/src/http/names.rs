//! Topics and channels by name: create, delete, empty, pause. Each is answered once it is kept.

use std::sync::Arc;

use axum::extract::State as From;
use nsq_daemon::http::{Answer, ApiError, Params};
use nsq_journal::JournalError;
use nsq_protocol::is_valid_name;

use super::{Result, Shared, State, not_kept};
use crate::channels::NoSuchChannel;
use crate::live_topic::{Kept, LiveTopic};
use crate::options::Durability;

const MISSING_TOPIC: &str = "MISSING_ARG_TOPIC";

pub(super) async fn create_topic(From(shared): State, params: Params) -> Result {
    let name = valid_topic(&params)?;
    let topic = shared.nsqd.topic(name).map_err(not_kept)?;
    // Even at level `memory` topics are written down.
    let level = match topic.level() {
        Durability::Memory => Durability::Write,
        level => level,
    };
    let at = shared.nsqd.journal.tail();
    shared.done(Kept { level, at }).await
}

pub(super) async fn delete_topic(From(shared): State, params: Params) -> Result {
    let name = params.required("topic", MISSING_TOPIC)?;
    let kept = shared.nsqd.delete_topic(name).map_err(not_kept)?;
    shared
        .done(kept.ok_or(ApiError::not_found("TOPIC_NOT_FOUND"))?)
        .await
}

pub(super) async fn empty_topic(From(shared): State, params: Params) -> Result {
    let topic = shared.find(valid_topic(&params)?)?;
    let kept = topic.empty(&shared.nsqd).map_err(not_kept)?;
    shared.done(kept).await
}

pub(super) async fn pause_topic(From(shared): State, params: Params) -> Result {
    shared.pause(&params, true).await
}

pub(super) async fn unpause_topic(From(shared): State, params: Params) -> Result {
    shared.pause(&params, false).await
}

pub(super) async fn create_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    let kept = topic
        .create_channel(&shared.nsqd, channel)
        .map_err(not_kept)?;
    shared.done(kept).await
}

pub(super) async fn delete_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    shared
        .changed(topic.delete_channel(&shared.nsqd, channel))
        .await
}

pub(super) async fn empty_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    shared
        .changed(topic.empty_channel(&shared.nsqd, channel))
        .await
}

pub(super) async fn pause_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    shared
        .changed(topic.pause_channel(&shared.nsqd, channel, true))
        .await
}

pub(super) async fn unpause_channel(From(shared): State, params: Params) -> Result {
    let (topic, channel) = shared.topic_and_channel(&params)?;
    shared
        .changed(topic.pause_channel(&shared.nsqd, channel, false))
        .await
}

impl Shared {
    fn find(&self, topic: &str) -> Result<Arc<LiveTopic>> {
        let found = self.nsqd.find_topic(topic);
        found.ok_or(ApiError::not_found("TOPIC_NOT_FOUND"))
    }

    /// The topic that `topic=` names.
    pub(super) fn topic_param(&self, params: &Params) -> Result<Arc<LiveTopic>> {
        self.find(valid_topic(params)?)
    }

    pub(super) fn topic_and_channel<'a>(
        &self,
        params: &'a Params,
    ) -> Result<(Arc<LiveTopic>, &'a str)> {
        let topic = valid(params, "topic", MISSING_TOPIC, "INVALID_ARG_TOPIC")?;
        let channel = valid(
            params,
            "channel",
            "MISSING_ARG_CHANNEL",
            "INVALID_ARG_CHANNEL",
        )?;
        Ok((self.find(topic)?, channel))
    }

    async fn pause(&self, params: &Params, paused: bool) -> Result {
        let topic = self.find(params.required("topic", MISSING_TOPIC)?)?;
        let kept = topic.pause(&self.nsqd, paused).map_err(not_kept)?;
        self.done(kept).await
    }

    async fn changed(
        &self,
        done: std::result::Result<std::result::Result<Kept, NoSuchChannel>, JournalError>,
    ) -> Result {
        let kept = done.map_err(not_kept)?;
        let kept = kept.map_err(|NoSuchChannel| ApiError::not_found("CHANNEL_NOT_FOUND"))?;
        self.done(kept).await
    }

    async fn done(&self, kept: Kept) -> Result {
        self.nsqd.keep(kept).await.map_err(not_kept)?;
        Ok(Answer::Empty)
    }
}

fn valid_topic(params: &Params) -> Result<&str> {
    valid(params, "topic", MISSING_TOPIC, "INVALID_TOPIC")
}

fn valid<'a>(
    params: &'a Params,
    key: &str,
    missing: &'static str,
    invalid: &'static str,
) -> Result<&'a str> {
    let name = params.required(key, missing)?;
    match is_valid_name(name) {
        true => Ok(name),
        false => Err(ApiError::bad_request(invalid)),
    }
}
