//! Whom a consumer is connected to, and how much each connection may send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::{self, Orders, Setting};
use super::{Message, Sources};
use crate::backoff::Backoff;
use crate::config::Config;
use crate::flow::{Flow, Limits, Mood};
use crate::lookup;

/// How long messages on their way are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(30);
/// How soon a server that was named is tried again, at first.
const AGAIN: Duration = Duration::from_secs(1);
/// News that wait to be looked at.
const EVENTS: usize = 1024;

pub(super) struct Subscription {
    pub topic: String,
    pub channel: String,
}

/// What connections tell.
#[derive(Debug)]
pub(super) enum Event {
    Connected {
        number: u64,
        most: u32,
    },
    Message(u64),
    /// A message was answered.
    Went {
        well: bool,
    },
}

struct Manager {
    config: Config,
    subscription: Arc<Subscription>,
    sources: Sources,
    flow: Flow,
    backoff: Backoff,
    began: Instant,
    /// Connections, and attempts at them, by their number.
    links: BTreeMap<u64, (Arc<str>, watch::Sender<Orders>)>,
    /// Servers that were named: when to try again, and the pause after that.
    again: BTreeMap<Arc<str>, (Instant, Duration)>,
    running: JoinSet<(u64, String)>,
    numbers: u64,
    events: mpsc::Sender<Event>,
    messages: mpsc::Sender<Message>,
}

/// Runs until it is stopped, or nobody consumes any more.
pub(super) async fn run(
    config: Config,
    subscription: Subscription,
    sources: Sources,
    messages: mpsc::Sender<Message>,
    mut stopped: watch::Receiver<bool>,
) {
    let (events, mut news) = mpsc::channel(EVENTS);
    let (found, mut lookups) = mpsc::channel(1);
    let _polls = (!sources.lookupds.is_empty()).then(|| {
        let topic = subscription.topic.clone();
        let mut polls = JoinSet::new(); // ends with us
        polls.spawn(lookup::poll(
            sources.lookupds.clone(),
            topic,
            config.clone(),
            found,
        ));
        polls
    });
    let mut manager = Manager::new(config, subscription, sources, events, messages);
    for address in manager.sources.nsqds.clone() {
        manager.connect(&address);
    }
    loop {
        manager.share_out();
        let wake = manager.wake();
        tokio::select! {
            Some(event) = news.recv() => manager.heard(event),
            Some(addresses) = lookups.recv() => {
                addresses.iter().for_each(|address| manager.connect(address));
            }
            Some(ended) = manager.running.join_next() => manager.ended(ended.ok()),
            () = tokio::time::sleep_until(wake) => manager.look(),
            _ = stopped.wait_for(|stop| *stop) => break,
            () = manager.messages.closed() => return,
        }
    }
    manager.farewell(&mut news).await;
}

impl Manager {
    fn new(
        config: Config,
        subscription: Subscription,
        sources: Sources,
        events: mpsc::Sender<Event>,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let limits = Limits {
            max_in_flight: config.max_in_flight,
            idle: nanos(config.low_rdy_idle_timeout),
            held: nanos(config.low_rdy_timeout),
        };
        Self {
            flow: Flow::new(limits),
            backoff: Backoff::new(
                config.backoff_strategy,
                config.backoff_multiplier,
                config.max_backoff_duration,
            ),
            began: Instant::now(),
            links: BTreeMap::new(),
            again: BTreeMap::new(),
            running: JoinSet::new(),
            numbers: 0,
            config,
            subscription: Arc::new(subscription),
            sources,
            events,
            messages,
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Unless it is connected, or being connected.
    fn connect(&mut self, address: &str) {
        if self.links.values().any(|link| &*link.0 == address) {
            return;
        }
        self.numbers += 1;
        let number = self.numbers;
        let address: Arc<str> = address.into();
        let (orders, given) = watch::channel(Orders::default());
        let setting = Setting {
            number,
            address: Arc::clone(&address),
            config: self.config.clone(),
            subscription: Arc::clone(&self.subscription),
            events: self.events.clone(),
            messages: self.messages.clone(),
            orders: given,
        };
        let admits = Arc::clone(&self.sources.admits);
        self.running
            .spawn(async move { (number, link::run(setting, admits).await) });
        self.links.insert(number, (address, orders));
    }

    fn heard(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connected { number, most } => {
                if let Some((address, _)) = self.links.get(&number) {
                    tracing::info!("({address}) connected");
                    self.again.remove(address);
                    self.flow.connected(number, most, now);
                }
            }
            Event::Message(number) => self.flow.message(number, now),
            Event::Went { well: true } => self.backoff.succeeded(now, rand::random()),
            Event::Went { well: false } => {
                self.backoff.failed(now, rand::random());
                if let Some(until) = self.backoff.deadline() {
                    let pause = Duration::from_nanos((until - now).max(0).unsigned_abs());
                    tracing::warn!("messages fail: taking none for {pause:.1?}");
                }
            }
        }
    }

    fn ended(&mut self, ended: Option<(u64, String)>) {
        let Some((number, why)) = ended else { return };
        self.flow.closed(number);
        let Some((address, _)) = self.links.remove(&number) else {
            return;
        };
        // One of a lookup is tried again when it is found again.
        if self.sources.nsqds.iter().any(|named| **named == *address) {
            let most = self.config.lookupd_poll_interval.max(AGAIN);
            let pause = self.again.get(&address).map_or(AGAIN, |again| again.1);
            tracing::warn!("{why}, again in {pause:?}");
            let next = (pause * 2).min(most);
            self.again.insert(address, (Instant::now() + pause, next));
        } else {
            tracing::warn!("{why}");
        }
    }

    /// When there is something to do even if nothing happens.
    fn wake(&self) -> Instant {
        let mut wake = Instant::now() + self.config.rdy_redistribute_interval;
        if let Some(deadline) = self.backoff.deadline() {
            let deadline = Duration::from_nanos(deadline.max(0).unsigned_abs());
            wake = wake.min(self.began + deadline);
        }
        let again = self.again.values().map(|again| again.0);
        again.fold(wake, Instant::min)
    }

    fn look(&mut self) {
        let now = self.now();
        self.backoff.tick(now);
        let now = Instant::now();
        let due: Vec<Arc<str>> = self
            .again
            .iter()
            .filter(|one| one.1.0 <= now)
            .map(|one| Arc::clone(one.0))
            .collect();
        for address in due {
            // Further attempts are told of by their ends.
            if let Some(again) = self.again.get_mut(&address) {
                again.0 = now + again.1;
            }
            self.connect(&address);
        }
    }

    /// Tells the connections how much they may send.
    fn share_out(&mut self) {
        let mood = match (self.backoff.is_open(), self.backoff.is_testing()) {
            (true, _) => Mood::Open,
            (_, true) => Mood::Testing,
            _ => Mood::Paused,
        };
        let now = self.now();
        for (number, ready) in self.flow.decide(mood, now, rand::random()) {
            if let Some((_, orders)) = self.links.get(&number) {
                orders.send_modify(|orders| orders.ready = ready);
            }
        }
    }

    /// Waits for the answers to what is in flight.
    async fn farewell(&mut self, news: &mut mpsc::Receiver<Event>) {
        for (_, orders) in self.links.values() {
            orders.send_modify(|orders| orders.close = true);
        }
        let deadline = Instant::now() + FAREWELL;
        while !self.running.is_empty() {
            tokio::select! {
                _ = self.running.join_next() => {}
                _ = news.recv() => {}
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!("messages were not answered within {FAREWELL:?}");
                    return;
                }
            }
        }
    }
}
