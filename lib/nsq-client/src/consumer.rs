//! Consuming a channel from all nsqds that have its topic.

mod link;
mod manager;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nsq_protocol::is_valid_name;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, ConfigError};

/// Where messages come from.
#[derive(Clone)]
pub struct Sources {
    /// `host:port` of nsqds.
    pub nsqds: Vec<String>,
    /// `host:port` of the HTTP listeners of nsqlookupds.
    pub lookupds: Vec<String>,
    /// Whether to consume from the server that is there.
    pub admits: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>,
}

/// A running consumer. Dropped, it ends at once: what it holds goes to others after its timeout.
pub struct Consumer {
    messages: mpsc::Receiver<Message>,
    stop: Arc<watch::Sender<bool>>,
}

/// Tells a consumer to stop.
#[derive(Clone)]
pub struct Stopper(Arc<watch::Sender<bool>>);

/// A message, which is to be answered before its timeout.
#[derive(Debug)]
pub struct Message {
    pub id: [u8; 16],
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    pub attempts: u16,
    pub body: Vec<u8>,
    /// The nsqd it came from.
    pub nsqd: Arc<str>,
    answers: mpsc::Sender<([u8; 16], Answer)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Finish,
    Requeue { delay: Duration, backoff: bool },
    Touch,
}

impl Consumer {
    /// Begins to consume. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Options, or names, that cannot be.
    pub fn start(
        config: Config,
        topic: &str,
        channel: &str,
        sources: Sources,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        if !is_valid_name(topic) || !is_valid_name(channel) {
            return Err(ConfigError::Together("no valid topic or channel"));
        }
        let (to_user, messages) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let subscription = manager::Subscription {
            topic: topic.to_owned(),
            channel: channel.to_owned(),
        };
        tokio::spawn(manager::run(
            config,
            subscription,
            sources,
            to_user,
            stopped,
        ));
        Ok(Self {
            messages,
            stop: Arc::new(stop),
        })
    }

    /// The next message; `None` once it has stopped.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// With which it can be stopped.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }
}

impl Stopper {
    /// No further messages are asked for; those on their way are still handed out, and answers to them taken, for at most
    /// half a minute.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Message {
    /// It was dealt with.
    pub async fn finish(self) {
        self.answer(Answer::Finish).await;
    }

    /// It is to come again, after `delay` or as long as is usual, and everything slower for a while.
    pub async fn requeue(self, delay: Option<Duration>) {
        let delay = delay.unwrap_or(Duration::MAX);
        self.answer(Answer::Requeue {
            delay,
            backoff: true,
        })
        .await;
    }

    /// It is to come again, and that says nothing about others.
    pub async fn requeue_without_backoff(self, delay: Option<Duration>) {
        let delay = delay.unwrap_or(Duration::MAX);
        self.answer(Answer::Requeue {
            delay,
            backoff: false,
        })
        .await;
    }

    /// It takes longer.
    pub async fn touch(&self) {
        self.answer(Answer::Touch).await;
    }

    async fn answer(&self, answer: Answer) {
        // A connection that is gone cannot be answered: the message comes again.
        let _ = self.answers.send((self.id, answer)).await;
    }
}
