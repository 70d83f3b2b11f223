//! One connection of a consumer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::manager::{Event, Subscription};
use super::{Answer, Message};
use crate::config::Config;
use crate::dial::{Dialled, dial};
use crate::wire::{Delivery, Frame, Wire};

/// Answers that wait to be sent; whoever gives more waits.
const ANSWERS: usize = 1024;

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orders {
    pub ready: u32,
    /// It ends when all messages are answered.
    pub close: bool,
}

/// What it shares with others.
pub(super) struct Setting {
    pub number: u64,
    pub address: Arc<str>,
    pub config: Config,
    pub subscription: Arc<Subscription>,
    pub events: mpsc::Sender<Event>,
    pub messages: mpsc::Sender<Message>,
    pub orders: watch::Receiver<Orders>,
}

/// From connecting to the end; why it ended.
pub(super) async fn run(
    setting: Setting,
    admits: Arc<dyn Fn(std::net::SocketAddr) -> bool + Send + Sync>,
) -> String {
    let dialled = dial(&setting.address, &setting.config, |peer| admits(peer)).await;
    let Dialled { wire, most_ready } = match dialled {
        Ok(dialled) => dialled,
        Err(error) => return error.to_string(),
    };
    let (answers, given) = mpsc::channel(ANSWERS);
    let mut link = Link {
        wire,
        waiting: VecDeque::new(),
        in_flight: HashMap::new(),
        answers,
        told: Orders::default(),
        subscribed: false,
        most_ready,
        setting,
    };
    match link.talk(given).await {
        Ok(()) => "closed".to_owned(),
        Err(why) => format!("{}: {why}", link.setting.address),
    }
}

struct Link {
    wire: Wire,
    /// Come, and not taken by whoever consumes; RDY bounds them.
    waiting: VecDeque<Message>,
    /// Attempts of what was not answered.
    in_flight: HashMap<[u8; 16], u16>,
    answers: mpsc::Sender<([u8; 16], Answer)>,
    told: Orders,
    subscribed: bool,
    most_ready: u32,
    setting: Setting,
}

impl Link {
    async fn talk(&mut self, mut given: mpsc::Receiver<([u8; 16], Answer)>) -> Result<(), String> {
        let Subscription { topic, channel } = &*self.setting.subscription;
        let subscribe = format!("SUB {topic} {channel}\n");
        self.send(subscribe.as_bytes()).await?;
        let silence = self.setting.config.read_timeout;
        let messages = self.setting.messages.clone();
        let (mut heard, mut batch) = (Instant::now(), Vec::new());
        while !(self.told.close && self.in_flight.is_empty()) {
            tokio::select! {
                frame = self.wire.frame() => {
                    heard = Instant::now();
                    self.hear(frame.map_err(|error| error.to_string())?).await?;
                }
                _ = given.recv_many(&mut batch, ANSWERS) => self.answer(&mut batch).await?,
                permit = messages.reserve(), if !self.waiting.is_empty() => {
                    let permit = permit.map_err(|_| "nobody consumes any more")?;
                    if let Some(message) = self.waiting.pop_front() {
                        permit.send(message);
                    }
                }
                changed = self.setting.orders.changed() => {
                    changed.map_err(|_| "nobody consumes any more")?;
                    self.obey().await?;
                }
                () = tokio::time::sleep_until(heard + silence) => {
                    return Err(format!("silent for {silence:?}"));
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.wire.send(bytes).await;
        sent.map_err(|error| error.to_string())
    }

    async fn tell(&mut self, event: Event) {
        // Nobody listens once the consumer was dropped; the orders end then too.
        let _ = self.setting.events.send(event).await;
    }

    async fn hear(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Heartbeat => self.send(b"NOP\n").await,
            Frame::Response(data) if data == b"OK" && !self.subscribed => {
                self.subscribed = true;
                let (number, most) = (self.setting.number, self.most_ready);
                self.tell(Event::Connected { number, most }).await;
                self.obey().await
            }
            Frame::Response(_) => Ok(()), // CLOSE_WAIT
            Frame::Error(told) if is_harmless(&told) => {
                tracing::debug!("{} answered {told}", self.setting.address);
                Ok(())
            }
            Frame::Error(told) => Err(format!("answered {told}")),
            Frame::Message(delivery) => self.delivered(delivery).await,
        }
    }

    async fn delivered(&mut self, delivery: Delivery) -> Result<(), String> {
        self.tell(Event::Message(self.setting.number)).await;
        let Delivery {
            timestamp,
            attempts,
            id,
            body,
        } = delivery;
        let most = self.setting.config.max_attempts;
        if most > 0 && attempts > most {
            let id = String::from_utf8_lossy(&id).into_owned();
            tracing::warn!("message {id} came {attempts} times, giving it up");
            return self.send(format!("FIN {id}\n").as_bytes()).await;
        }
        self.in_flight.insert(id, attempts);
        self.waiting.push_back(Message {
            id,
            timestamp,
            attempts,
            body,
            nsqd: Arc::clone(&self.setting.address),
            answers: self.answers.clone(),
        });
        Ok(())
    }

    async fn answer(&mut self, batch: &mut Vec<([u8; 16], Answer)>) -> Result<(), String> {
        let (mut bytes, mut went) = (Vec::new(), Vec::new());
        for (id, answer) in batch.drain(..) {
            let name = String::from_utf8_lossy(&id);
            let text = match answer {
                Answer::Finish => format!("FIN {name}\n"),
                Answer::Touch => format!("TOUCH {name}\n"),
                Answer::Requeue { delay, .. } => {
                    let attempts = self.in_flight.get(&id).copied().unwrap_or(1);
                    let delay = requeue_delay(&self.setting.config, delay, attempts);
                    format!("REQ {name} {}\n", delay.as_millis())
                }
            };
            bytes.extend_from_slice(text.as_bytes());
            if answer != Answer::Touch {
                self.in_flight.remove(&id);
            }
            went.extend(match answer {
                Answer::Finish => Some(true),
                Answer::Requeue { backoff: true, .. } => Some(false),
                Answer::Requeue { .. } | Answer::Touch => None,
            });
        }
        self.send(&bytes).await?;
        for well in went {
            self.tell(Event::Went { well }).await;
        }
        Ok(())
    }

    async fn obey(&mut self) -> Result<(), String> {
        let orders = *self.setting.orders.borrow_and_update();
        if !self.subscribed {
            self.told.close = orders.close;
            return Ok(());
        }
        if orders.close && !self.told.close {
            self.send(b"CLS\n").await?;
        } else if orders.ready != self.told.ready && !orders.close {
            self.send(format!("RDY {}\n", orders.ready).as_bytes())
                .await?;
        }
        self.told = orders;
        Ok(())
    }
}

/// Errors after which nsqd talks on.
fn is_harmless(told: &str) -> bool {
    let code = told.split(' ').next().unwrap_or_default();
    ["E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"].contains(&code)
}

/// What was asked for, or what is usual after so many attempts.
fn requeue_delay(config: &Config, asked: Duration, attempts: u16) -> Duration {
    let delay = match asked {
        Duration::MAX => config.default_requeue_delay * u32::from(attempts),
        asked => asked,
    };
    delay.min(config.max_requeue_delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_delay_grows_with_the_attempts() {
        let config = Config::default();
        let usual = |attempts| requeue_delay(&config, Duration::MAX, attempts).as_secs();
        assert_eq!([usual(1), usual(2), usual(100)], [90, 180, 900]);
        let asked = requeue_delay(&config, Duration::from_secs(3), 9);
        assert_eq!(asked.as_secs(), 3);
    }
}
