//! The links to the nsqlookupds: tell each of them what topics and channels this nsqd has, and ask them
//! which channels a new topic should have from the start.
//!
//! One task per nsqlookupd keeps a connection. Whenever it connects it tells everything anew, taken
//! from the state source; after that, changes as they are announced. So nothing that is lost on the
//! way matters for longer than the next connection.

mod back_off;
mod connection;
mod link;
mod testimony;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use nsq_http_api::{Client, ClientOptions};
use nsq_protocol::is_ephemeral;
use nsq_protocol::lookup::{LookupCommand, PeerInfo, Registration};
use parking_lot::Mutex;

use crate::{Announcer, Change};
use link::{Asked, Link};
pub use testimony::{Presence, Testimony};

/// Largest answer to a question for channels: 100,000 names of 64 characters.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// NSQ's. nsqlookupd hides an nsqd that is silent for its inactive-producer-timeout, 5 minutes.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Every topic and its channels, ephemeral ones too, at the moment of the call.
pub type StateSource = Arc<dyn Fn() -> Vec<(String, Vec<String>)> + Send + Sync>;

/// How the links are set up.
#[derive(Debug, Clone)]
pub struct LookupConfig {
    /// What nsqlookupd tells consumers about this nsqd.
    pub identity: PeerInfo,
    /// TCP addresses of the nsqlookupds.
    pub addresses: Vec<String>,
    /// Of TCP connections and of HTTP requests.
    pub connect_timeout: Duration,
    /// Of HTTP requests; bounds how long [`LookupLinks::channels_of`] takes.
    pub request_timeout: Duration,
    /// Between two PINGs; [`PING_INTERVAL`] but for tests.
    pub ping_interval: Duration,
}

/// How one link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The nsqlookupd's TCP address, as configured.
    pub address: String,
    /// Connected, and everything has been told.
    pub connected: bool,
}

/// See the module. Dropping it closes the connections.
pub struct LookupLinks {
    config: LookupConfig,
    source: StateSource,
    http: Client,
    links: Mutex<BTreeMap<String, Link>>,
}

impl LookupLinks {
    /// Starts a link to each address of `config`. Must be called within a Tokio runtime.
    #[must_use]
    pub fn spawn(config: LookupConfig, source: StateSource) -> Self {
        let http = Client::new(ClientOptions {
            connect_timeout: config.connect_timeout,
            request_timeout: config.request_timeout,
            max_response_bytes: MAX_ANSWER,
            ..ClientOptions::default()
        });
        let addresses = config.addresses.clone();
        let links = Self {
            config,
            source,
            http,
            links: Mutex::default(),
        };
        links.set_addresses(&addresses);
        links
    }

    /// Links to exactly these nsqlookupds from now on; links that stay are not disturbed.
    pub fn set_addresses(&self, addresses: &[String]) {
        let wanted: BTreeSet<&String> = addresses.iter().collect();
        let mut links = self.links.lock();
        links.retain(|address, _| {
            let stays = wanted.contains(address);
            if !stays {
                tracing::info!("LOOKUPD({address}): removing peer");
            }
            stays
        });
        for address in wanted {
            if !links.contains_key(address) {
                tracing::info!("LOOKUPD({address}): adding peer");
                let link = Link::spawn(address.clone(), &self.config, self.source.clone());
                links.insert(address.clone(), link);
            }
        }
    }

    /// How the links stand, by address.
    #[must_use]
    pub fn status(&self) -> Vec<LinkStatus> {
        let links = self.links.lock();
        let status = links.iter().map(|(address, link)| LinkStatus {
            address: address.clone(),
            connected: link.http_address().is_some(),
        });
        status.collect()
    }

    /// The channels that any connected nsqlookupd knows of the topic, sorted, without ephemeral ones:
    /// what a topic that is new here gets before its first message, so that no channel misses it.
    ///
    /// An nsqlookupd that does not answer within the request time-out is left out, with a warning.
    pub async fn channels_of(&self, topic: &str) -> Vec<String> {
        let addresses: Vec<_> = {
            let links = self.links.lock();
            links.values().filter_map(Link::http_address).collect()
        };
        let asked = addresses
            .iter()
            .map(|address| async move { self.http.nsqlookupd(address).channels(topic).await });
        let mut channels = BTreeSet::new();
        for answer in join_all(asked).await {
            match answer {
                Ok(found) => channels.extend(found),
                Err(err) => tracing::warn!("failed to query nsqlookupd for channels - {err}"),
            }
        }
        channels.retain(|channel| !is_ephemeral(channel));
        channels.into_iter().collect()
    }

    /// What each configured nsqlookupd says about the nsqd of that pair name, by the nsqlookupd's TCP address. Takes
    /// no longer than the request time-out.
    pub async fn testimonies(&self, pair_name: &str) -> BTreeMap<String, Testimony> {
        let links: Vec<(String, Asked)> = {
            let links = self.links.lock();
            let links = links.iter();
            let asked = links.map(|(address, link)| (address.clone(), link.asked()));
            asked.collect()
        };
        let asked = links.into_iter().map(|(address, link)| async move {
            (address, testimony::ask(&self.http, &link, pair_name).await)
        });
        join_all(asked).await.into_iter().collect()
    }
}

impl Announcer for LookupLinks {
    /// To be called when the change is already visible in the state source: a link that connects at
    /// this moment takes it from there.
    fn announce(&self, change: Change) {
        let command = command(change);
        for link in self.links.lock().values() {
            link.tell(command.clone());
        }
    }

    fn knows_others(&self) -> bool {
        self.links
            .lock()
            .values()
            .any(|link| link.http_address().is_some())
    }

    fn channels_of(&self, topic: String) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(async move { Self::channels_of(self, &topic).await })
    }
}

fn command(change: Change) -> LookupCommand {
    let registration = |topic, channel| Registration { topic, channel };
    match change {
        Change::TopicCreated(topic) => LookupCommand::Register(registration(topic, None)),
        Change::TopicDeleted(topic) => LookupCommand::Unregister(registration(topic, None)),
        Change::ChannelCreated(topic, channel) => {
            LookupCommand::Register(registration(topic, Some(channel)))
        }
        Change::ChannelDeleted(topic, channel) => {
            LookupCommand::Unregister(registration(topic, Some(channel)))
        }
    }
}
