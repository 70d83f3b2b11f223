//! AUTH: a connection asks the auth servers, at first and whenever their answer has expired. While
//! it waits it reads nothing; what was read already lies in the inbox.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nsq_daemon::stream::Socket;
use nsq_http_api::AuthQuestion;
use nsq_protocol::{Command, ProtocolError};
use serde::Serialize;

use super::Connection;
use crate::auth::Authorized;

type Asking = Pin<Box<dyn Future<Output = Result<Authorized, String>> + Send>>;

/// Of a connection that has to authenticate.
#[derive(Default)]
pub(super) struct Auth {
    secret: String,
    authorized: Option<Authorized>,
    asking: Option<Asking>,
    /// What was allowed last: most connections publish to one topic.
    published_to: String,
}

/// The answer to AUTH, in NSQ's order.
#[derive(Serialize)]
struct Told<'a> {
    identity: &'a str,
    identity_url: &'a str,
    permission_count: usize,
}

impl Auth {
    pub(super) fn is_asking(&self) -> bool {
        self.asking.is_some()
    }
}

impl<S: Socket> Connection<S> {
    pub(super) fn authenticate(&mut self, secret: &[u8]) {
        match &mut self.auth {
            None => self.fail(ProtocolError::fatal("E_AUTH_DISABLED", "AUTH disabled")),
            Some(auth) if auth.authorized.is_some() => {
                self.fail(ProtocolError::invalid("AUTH already set"));
            }
            Some(auth) => {
                auth.secret = String::from_utf8_lossy(secret).into_owned();
                self.ask();
            }
        }
    }

    fn ask(&mut self) {
        let Some(auth) = &mut self.auth else { return };
        let tls = self.client.identity.lock().tls.clone();
        let remote = &self.client.remote_address;
        let host = remote.rsplit_once(':').map_or("", |(host, _)| host);
        let question = AuthQuestion {
            remote_ip: host.trim_matches(['[', ']']).to_owned(),
            tls: tls.is_some(),
            secret: auth.secret.clone(),
            common_name: tls.map(|tls| tls.common_name).unwrap_or_default(),
        };
        let nsqd = Arc::clone(&self.nsqd);
        auth.asking = Some(Box::pin(async move {
            match nsqd.auth() {
                Some(servers) => servers.ask(&question, nsqd.clock).await,
                None => Err("no auth server".to_owned()),
            }
        }));
    }

    /// Whether this command needs an answer that has expired: then it is being asked for anew, and
    /// the command has to come again.
    pub(super) fn asks_again(&mut self, command: &Command<'_>) -> bool {
        let Some(auth) = &mut self.auth else {
            return false;
        };
        let guarded = matches!(
            command,
            Command::Pub { .. } | Command::Mpub { .. } | Command::Dpub { .. } | Command::Sub { .. }
        );
        let now = self.nsqd.clock.now();
        let expired = |authorized: &Authorized| authorized.has_expired(now);
        if !guarded || !auth.authorized.as_ref().is_some_and(expired) {
            return false;
        }
        self.ask();
        true
    }

    /// Takes the servers' answer, and then up the commands that wait for it. Whether there was one.
    pub(super) fn go_on_asking(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> bool {
        let Some(auth) = &mut self.auth else {
            return false;
        };
        let Some(asking) = &mut auth.asking else {
            return false;
        };
        let Poll::Ready(answer) = asking.as_mut().poll(cx) else {
            return false;
        };
        auth.asking = None;
        auth.published_to.clear();
        self.last_input = self.nsqd.clock.now();
        if let Err(error) = self.answered(answer) {
            self.fail(error);
        }
        if !self.closing && self.inbox.again(scratch) {
            self.take_input(scratch);
        }
        true
    }

    fn answered(&mut self, answer: Result<Authorized, String>) -> Result<(), ProtocolError> {
        let Some(auth) = &mut self.auth else {
            return Ok(());
        };
        let authorized = answer.map_err(|why| {
            // Not for the client: it would tell strangers about the auth server.
            let client = &self.client.remote_address;
            tracing::warn!("PROTOCOL(V2): [{client}] AUTH failed {why}");
            ProtocolError::fatal("E_AUTH_FAILED", "AUTH failed")
        })?;
        let first = auth.authorized.is_none();
        if first && authorized.permissions() == 0 {
            let text = "AUTH no authorizations found";
            return Err(ProtocolError::fatal("E_UNAUTHORIZED", text));
        }
        {
            let mut identity = self.client.identity.lock();
            identity.authed = authorized.permissions() > 0;
            identity.auth_identity.clone_from(&authorized.identity);
            identity
                .auth_identity_url
                .clone_from(&authorized.identity_url);
        }
        if first {
            let told = serde_json::to_vec(&Told {
                identity: &authorized.identity,
                identity_url: &authorized.identity_url,
                permission_count: authorized.permissions(),
            });
            let told =
                told.map_err(|error| ProtocolError::fatal("E_AUTH_ERROR", error.to_string()))?;
            self.outbox.response(&told);
        }
        auth.authorized = Some(authorized);
        Ok(())
    }

    /// Whether the client may do this; an empty `channel` stands for publishing.
    ///
    /// # Errors
    /// In NSQ's words.
    pub(super) fn authorize(
        &mut self,
        verb: &str,
        topic: &str,
        channel: &str,
    ) -> Result<(), ProtocolError> {
        let Some(auth) = &mut self.auth else {
            return Ok(());
        };
        if channel.is_empty() && auth.published_to == topic {
            return Ok(());
        }
        let Some(authorized) = &auth.authorized else {
            let text = format!("AUTH required before {verb}");
            return Err(ProtocolError::fatal("E_AUTH_FIRST", text));
        };
        if !authorized.allows(topic, channel) {
            let text = format!("AUTH failed for {verb} on {topic:?} {channel:?}");
            return Err(ProtocolError::fatal("E_UNAUTHORIZED", text));
        }
        if channel.is_empty() {
            topic.clone_into(&mut auth.published_to);
        }
        Ok(())
    }
}
