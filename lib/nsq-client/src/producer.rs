//! Publishing to one nsqd: many at a time over one connection, each with its own answer.

use std::collections::VecDeque;
use std::sync::Arc;

use nsq_protocol::is_valid_name;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::Config;
use crate::dial::{DialError, dial, with_body};
use crate::wire::{Frame, Wire};

/// Publishes that wait for the connection; whoever publishes more waits.
const WAITING: usize = 1024;
/// Publishes that wait for their answers.
const OUTSTANDING: usize = 10_000;

/// Why a message was not published. It may be there all the same when the connection broke before the answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    NotConnected(Arc<DialError>),
    #[error("{address}: {why}")]
    Broken { address: String, why: String },
    #[error("{address} answered {told}")]
    Refused { address: String, told: String },
    #[error("{0:?} is no name of a topic")]
    Name(String),
}

/// Connects when there is something to publish, and again after a failure. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Producer {
    address: Arc<str>,
    commands: mpsc::Sender<Publish>,
}

#[derive(Debug)]
struct Publish {
    bytes: Vec<u8>,
    told: oneshot::Sender<Result<(), PublishError>>,
}

impl Producer {
    /// To the nsqd at `address`. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(address: &str, config: Config) -> Self {
        let (commands, waiting) = mpsc::channel(WAITING);
        let address: Arc<str> = address.into();
        tokio::spawn(run(Arc::clone(&address), config, waiting));
        Self { address, commands }
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Publishes, and waits for the answer.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, topic: &str, body: &[u8]) -> Result<(), PublishError> {
        if !is_valid_name(topic) {
            return Err(PublishError::Name(topic.to_owned()));
        }
        let (told, answer) = oneshot::channel();
        let bytes = with_body(&format!("PUB {topic}\n"), body);
        let ended = || PublishError::Broken {
            address: self.address.to_string(),
            why: "the connection has ended".to_owned(),
        };
        let sent = self.commands.send(Publish { bytes, told }).await;
        sent.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

async fn run(address: Arc<str>, config: Config, mut commands: mpsc::Receiver<Publish>) {
    while let Some(first) = commands.recv().await {
        match dial(&address, &config, |_| true).await {
            Ok(dialled) => {
                tracing::info!("({address}) connected");
                let mut link = Link {
                    address: &address,
                    wire: dialled.wire,
                    waiting: VecDeque::new(),
                };
                let ended = link.serve(first, &mut commands, &config).await;
                if let Err(error) = ended {
                    tracing::warn!("{error}");
                    link.fail(&error);
                }
            }
            Err(error) => {
                // Those that came meanwhile would wait as long again, for nothing.
                let error = PublishError::NotConnected(Arc::new(error));
                tracing::warn!("{error}");
                let mut failed = Some(first);
                while let Some(publish) = failed {
                    let _ = publish.told.send(Err(error.clone()));
                    failed = commands.try_recv().ok();
                }
            }
        }
    }
}

struct Link<'a> {
    address: &'a str,
    wire: Wire,
    waiting: VecDeque<oneshot::Sender<Result<(), PublishError>>>,
}

impl Link<'_> {
    /// Until nobody publishes any more.
    async fn serve(
        &mut self,
        first: Publish,
        commands: &mut mpsc::Receiver<Publish>,
        config: &Config,
    ) -> Result<(), PublishError> {
        let mut batch = vec![first];
        self.send(&mut batch).await?;
        let (mut heard, mut over) = (Instant::now(), false);
        while !(over && self.waiting.is_empty()) {
            let room = OUTSTANDING.saturating_sub(self.waiting.len());
            tokio::select! {
                frame = self.wire.frame() => {
                    heard = Instant::now();
                    let frame = frame.map_err(|error| self.broken(error.to_string()))?;
                    self.hear(frame).await?;
                }
                count = commands.recv_many(&mut batch, room), if room > 0 && !over => {
                    over = count == 0;
                    self.send(&mut batch).await?;
                }
                () = tokio::time::sleep_until(heard + config.read_timeout) => {
                    let why = format!("silent for {:?}", config.read_timeout);
                    return Err(self.broken(why));
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, batch: &mut Vec<Publish>) -> Result<(), PublishError> {
        let mut bytes = Vec::new();
        for publish in batch.drain(..) {
            bytes.extend_from_slice(&publish.bytes);
            self.waiting.push_back(publish.told);
        }
        let sent = self.wire.send(&bytes).await;
        sent.map_err(|error| self.broken(error.to_string()))
    }

    async fn hear(&mut self, frame: Frame) -> Result<(), PublishError> {
        let answer = match frame {
            Frame::Heartbeat => {
                let sent = self.wire.send(b"NOP\n").await;
                return sent.map_err(|error| self.broken(error.to_string()));
            }
            Frame::Response(_) => Ok(()),
            Frame::Error(told) => Err(PublishError::Refused {
                address: self.address.to_owned(),
                told,
            }),
            Frame::Message(_) => return Err(self.broken("a message for a producer".to_owned())),
        };
        if let Some(told) = self.waiting.pop_front() {
            // Whoever waited may have gone.
            let _ = told.send(answer);
        }
        Ok(())
    }

    fn broken(&self, why: String) -> PublishError {
        PublishError::Broken {
            address: self.address.to_owned(),
            why,
        }
    }

    fn fail(&mut self, error: &PublishError) {
        for told in self.waiting.drain(..) {
            let _ = told.send(Err(error.clone()));
        }
    }
}
