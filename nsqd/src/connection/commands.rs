//! What each command does. Publishes to one topic that were read together are one run: one lock,
//! one journal record, one write.

use std::sync::Arc;

use nsq_daemon::stream::Socket;
use nsq_journal::{JournalError, Lsn};
use nsq_protocol::{Command, Gate, IdentifyRequest, MessageId, ProtocolError, State, Step};
use nsq_queue::{SettleError, SubscribeError};

use super::Connection;
use super::subscription::Subscription;
use crate::live_topic::{Kept, LiveTopic, PublishError, Then};
use crate::options::Durability;

/// Publishes that were decoded and not yet handed over.
#[derive(Default)]
pub(super) struct PublishRun {
    topic: Option<Arc<LiveTopic>>,
    bodies: Vec<(u32, u32)>,
    oks: u32,
    verb: &'static str,
    /// This connection has published at all.
    pub(super) published: bool,
    /// Staged at level `write`: written together at the end of the round.
    pub(super) staged: Vec<(Arc<LiveTopic>, Then)>,
    pub(super) write_to: Lsn,
}

impl<S: Socket> Connection<S> {
    /// Applies the commands in `input` from `at` on; returns how many bytes the rest needs.
    pub(super) fn apply_all(&mut self, input: &[u8], at: &mut usize) -> usize {
        while *at < input.len() && !self.closing {
            if self.auth.as_ref().is_some_and(|auth| auth.is_asking()) {
                return 0; // what follows waits for the answer
            }
            let gate = Gate {
                state: self.state,
                heartbeats: self.heartbeat > 0,
                tls_missing: self.tls_missing(),
            };
            match self.decoder.decode(gate, &input[*at..]) {
                Ok(Step::Command(command, _)) if self.asks_again(&command) => return 0,
                Ok(Step::Command(command, used)) => {
                    let from = *at as u32;
                    *at += used;
                    if self.keep_order(&command, input) {
                        self.apply(command, input, from);
                    }
                    if self.link.is_some() {
                        self.link_read = input[*at..].to_vec();
                        *at = input.len();
                        return 0;
                    }
                    if let Some(upgrade) = &mut self.upgrade {
                        upgrade.keep(&input[*at..]);
                        *at = input.len();
                    }
                }
                Ok(Step::Incomplete(needed)) => return needed,
                Ok(Step::HangUp) => {
                    self.client.hang_up();
                    return 0;
                }
                Err(error) => {
                    self.hand_over(input);
                    self.fail(error);
                }
            }
        }
        if self.closing {
            *at = input.len(); // whatever follows a fatal error is dropped, as in NSQ
        }
        0
    }

    /// Publishes are gathered, and so are finishes: what is answered to them keeps its order. False: the connection
    /// ends.
    fn keep_order(&mut self, command: &Command<'_>, input: &[u8]) -> bool {
        match command {
            Command::Fin(_) | Command::Req { .. } | Command::Touch(_) if self.run.oks > 0 => {
                self.hand_over(input);
            }
            Command::Fin(_) | Command::Nop | Command::Rdy(_) => {}
            _ if !self.finished.is_empty() => self.finish_all(),
            _ => {}
        }
        !self.closing
    }

    fn apply(&mut self, command: Command<'_>, input: &[u8], from: u32) {
        match command {
            Command::Fin(id) => self.finish(id),
            Command::Pub { topic, body } => {
                if self.may_publish("PUB", topic, input) {
                    self.run.bodies.push((from + body.0, body.1));
                    self.run.oks += 1;
                }
            }
            Command::Mpub { topic } => {
                if self.may_publish("MPUB", topic, input) {
                    let bodies = self.decoder.bodies().iter();
                    self.run
                        .bodies
                        .extend(bodies.map(|body| (from + body.0, body.1)));
                    self.run.oks += 1;
                }
            }
            Command::Dpub {
                topic,
                delay_ms,
                body,
            } => {
                self.hand_over(input);
                if self.may_publish("DPUB", topic, input) {
                    self.run.bodies.push((from + body.0, body.1));
                    self.run.oks += 1;
                    let due = self.nsqd.clock.now() + delay_ms as i64 * 1_000_000;
                    self.hand_over_at(input, if delay_ms == 0 { 0 } else { due });
                }
            }
            Command::Rdy(count) => self.set_ready(count),
            Command::Nop => {}
            Command::Link { verb, role } => self.begin_link(verb, role, input),
            Command::Req { id, delay_ms } => {
                let delay = delay_ms as i64 * 1_000_000;
                self.settle_one("REQ", id, |queue, now, consumer, id, effects| {
                    queue.requeue(now, consumer, id, delay, effects)
                });
            }
            Command::Touch(id) => {
                self.settle_one("TOUCH", id, |queue, now, consumer, id, _| {
                    queue.touch(now, consumer, id)
                });
            }
            Command::Identify(body) => {
                self.hand_over(input);
                if let Err(error) = self.identify(body) {
                    self.fail(error);
                }
            }
            Command::Sub { topic, channel } => {
                self.hand_over(input);
                let authorized = self.authorize("SUB", topic, channel);
                if let Err(error) = authorized.and_then(|()| self.subscribe(topic, channel)) {
                    self.fail(error);
                }
            }
            Command::Cls => {
                self.hand_over(input);
                self.close_subscription();
                self.state = State::Closing;
                self.outbox.response(b"CLOSE_WAIT");
            }
            Command::Auth(secret) => {
                self.hand_over(input);
                self.authenticate(secret);
            }
        }
    }

    fn finish(&mut self, text: &[u8; 16]) {
        match MessageId::parse(text) {
            Some(id) => self.finished.push(id.0),
            None => self.settle_failed("FIN", text, SettleError::NotInFlight),
        }
    }

    pub(super) fn settle_failed(&mut self, verb: &'static str, id: &[u8; 16], why: SettleError) {
        let code = match verb {
            "FIN" => "E_FIN_FAILED",
            "REQ" => "E_REQ_FAILED",
            _ => "E_TOUCH_FAILED",
        };
        let text = format!("{verb} {} failed {why}", String::from_utf8_lossy(id));
        self.fail(ProtocolError::recoverable(code, text));
    }

    /// The client may, and `topic` is the one that is published to. False: that was answered.
    fn may_publish(&mut self, verb: &'static str, topic: &str, input: &[u8]) -> bool {
        if let Err(error) = self.authorize(verb, topic, "") {
            self.hand_over(input);
            self.fail(error);
            return false;
        }
        if self.nsqd.drain.is_on() {
            self.hand_over(input);
            let text = format!("{verb} failed {}", crate::drain::DRAINING);
            self.fail(ProtocolError::fatal(publish_code(verb), text));
            return false;
        }
        self.gather(topic, verb, input)
    }

    /// Makes `topic` the one that is published to. False: it cannot be, and that was answered.
    fn gather(&mut self, topic: &str, verb: &'static str, input: &[u8]) -> bool {
        let current = self.run.topic.as_ref();
        if current.is_some_and(|current| current.name == topic && !current.is_deleted()) {
            self.run.verb = verb;
            return true;
        }
        self.hand_over(input);
        if self.closing {
            return false;
        }
        match self.nsqd.topic(topic) {
            Ok(topic) => {
                self.run.topic = Some(topic);
                self.run.verb = verb;
                true
            }
            Err(error) => {
                self.publish_failed(verb, &error.into());
                false
            }
        }
    }

    /// Publishes what was gathered.
    pub(super) fn hand_over(&mut self, input: &[u8]) {
        self.hand_over_at(input, 0);
    }

    fn hand_over_at(&mut self, input: &[u8], due: i64) {
        let oks = std::mem::take(&mut self.run.oks);
        let Some(topic) = self.run.topic.clone().filter(|_| oks > 0) else {
            return;
        };
        if self.refused_for_the_peer(self.run.verb) {
            return self.run.bodies.clear();
        }
        let count = self.run.bodies.len() as u64;
        let published = topic.publish(&self.nsqd, input, &self.run.bodies, due);
        self.run.bodies.clear();
        self.run.published = true;
        match published {
            Ok((kept, then)) => {
                self.client.count_publishes(&topic.name, count);
                let apart = self.nsqd.pair.unlisted();
                self.outbox.oks(kept, oks, self.last_input, apart);
                self.commit(&topic, kept, then);
            }
            Err(error) => self.publish_failed(self.run.verb, &error),
        }
        let pool = self.nsqd.journal.pool();
        if topic.level() == Durability::Memory {
            pool.prepare(); // at the other levels the journal does so when it writes
        }
        self.nsqd.pager.note_growth(&self.nsqd.journal);
    }

    fn publish_failed(&mut self, verb: &'static str, error: &PublishError) {
        let code = publish_code(verb);
        let client = &self.client.remote_address;
        match error {
            // Said once for all, by whoever looks after the disk; a full topic is nobody's fault.
            PublishError::Journal(JournalError::DiskFull(_)) | PublishError::Full(_) => {
                tracing::debug!("client({client}): {verb} failed - {error}")
            }
            _ => tracing::error!("client({client}): {verb} failed - {error}"),
        }
        self.fail(ProtocolError::fatal(code, format!("{verb} failed {error}")));
    }

    /// Consumers hear of messages once these are kept: at the end of the round, or after the sync.
    fn commit(&mut self, topic: &Arc<LiveTopic>, kept: Kept, then: Then) {
        let alone = kept.mirrored && self.nsqd.pair.wake_at(&self.nsqd, kept, &self.client);
        match kept.level {
            Durability::Memory => then.happen(&self.nsqd, topic),
            Durability::Write => {
                self.run.write_to = self.run.write_to.max(kept.at);
                self.run.staged.push((Arc::clone(topic), then));
            }
            Durability::Fsync => {
                self.sync_soon(kept, alone);
                then.happen_after(&self.nsqd, topic, kept);
            }
        }
    }

    fn identify(&mut self, body: &[u8]) -> Result<(), ProtocolError> {
        let request = IdentifyRequest::parse(body)?;
        let agreed = request.negotiate(&self.nsqd.identify_limits())?;
        self.may_link = agreed.pair;
        self.heartbeat = agreed.heartbeat_ms * 1_000_000;
        self.next_heartbeat = self.nsqd.clock.now() + self.heartbeat;
        self.spec.msg_timeout = agreed.msg_timeout * 1_000_000;
        self.spec.sample_rate = agreed.sample_rate as u8;
        {
            let mut identity = self.client.identity.lock();
            identity.client_id = request.client_id.unwrap_or_default();
            identity.hostname = request.hostname.unwrap_or_default();
            identity.user_agent = request.user_agent.unwrap_or_default();
            identity.sample_rate = agreed.sample_rate;
            identity.topology_region = request.topology_region.unwrap_or_default();
            identity.topology_zone = request.topology_zone.unwrap_or_default();
            let options = &self.nsqd.options;
            self.spec.locality =
                options.locality(&identity.topology_region, &identity.topology_zone);
        }
        if request.feature_negotiation == Some(true) {
            self.begin_upgrade(&agreed)?;
            let answer = serde_json::to_vec(&agreed).unwrap_or_else(|_| b"OK".to_vec());
            self.outbox.response(&answer);
        } else {
            self.outbox.response(b"OK");
        }
        self.time_passed();
        Ok(())
    }

    fn subscribe(&mut self, topic: &str, channel: &str) -> Result<(), ProtocolError> {
        let failed =
            |why: String| ProtocolError::fatal("E_SUB_FAILED", format!("SUB failed {why}"));
        let spec = self.spec.of(&self.client);
        // A topic may be deleted between being found and being subscribed to.
        for _ in 0..8 {
            let live = self
                .nsqd
                .topic(topic)
                .map_err(|error| failed(error.to_string()))?;
            let subscribed = live.subscribe(&self.nsqd, channel, &spec);
            match subscribed.map_err(|error| failed(error.to_string()))? {
                Ok(_) if live.is_deleted() => {}
                Ok((consumer, kept)) => {
                    self.state = State::Subscribed;
                    self.client
                        .subscribed
                        .store(true, std::sync::atomic::Ordering::Relaxed);
                    self.subscription = Some(Subscription::new(live, consumer));
                    self.outbox.response_after(kept, b"OK");
                    self.keep_soon(kept);
                    return Ok(());
                }
                Err(SubscribeError::TooManyConsumers) => {
                    let most = self.nsqd.options.max_channel_consumers;
                    return Err(failed(format!(
                        "consumers for {topic}:{channel} exceeds limit of {most}"
                    )));
                }
                Err(SubscribeError::NoSuchChannel) => {}
            }
        }
        Err(failed(format!("{topic}:{channel} is being deleted")))
    }
}

pub(super) fn publish_code(verb: &str) -> &'static str {
    match verb {
        "MPUB" => "E_MPUB_FAILED",
        "DPUB" => "E_DPUB_FAILED",
        _ => "E_PUB_FAILED",
    }
}
