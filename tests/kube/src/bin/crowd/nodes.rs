//! Pretended nodes: one HTTP server answers for all nsqds and nsqlookupds, each at an address of this machine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::Uri;
use axum::serve::IncomingStream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Their addresses, all of which are this machine.
const NETWORK: &str = "10.250.0.0/16";
/// HTTP ports of nsqd and nsqlookupd.
const PORTS: [u16; 2] = [4151, 4161];
const A_BLOCK: u32 = 250;

/// The address of a pod by its number; there is room for 62,500.
pub fn address(number: u32) -> String {
    format!("10.250.{}.{}", number / A_BLOCK, number % A_BLOCK + 1)
}

/// For as long as it lives, the addresses are this machine's.
pub struct Addresses;

impl Addresses {
    pub async fn take() -> Result<Self> {
        ensure!(
            route("replace").await?,
            "cannot make {NETWORK} this machine's own"
        );
        Ok(Self)
    }

    pub async fn give_back(self) -> Result<()> {
        ensure!(route("del").await?, "cannot give {NETWORK} back");
        Ok(())
    }
}

async fn route(verb: &str) -> Result<bool> {
    let words = ["route", verb, "local", NETWORK, "dev", "lo"];
    Ok(Command::new("ip").args(words).status().await?.success())
}

/// Answers for all of them.
pub async fn serve(nodes: &Arc<Nodes>) -> Result<()> {
    for port in PORTS {
        let router = Router::new().fallback(answer).with_state(nodes.clone());
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?;
        let service = router.into_make_service_with_connect_info::<Local>();
        tokio::spawn(async move { axum::serve(listener, service).await });
    }
    Ok(())
}

type Topics = BTreeMap<String, BTreeSet<String>>;

/// All pretended nodes.
#[derive(Default)]
pub struct Nodes {
    topics: Mutex<HashMap<IpAddr, Topics>>,
    pub requests: AtomicU64,
}

/// By which address of this machine a request came.
#[derive(Clone, Copy)]
struct Local(IpAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Local {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let local = stream.io().local_addr();
        Self(local.map_or(IpAddr::from([0, 0, 0, 0]), |local| local.ip()))
    }
}

async fn answer(
    State(nodes): State<Arc<Nodes>>,
    ConnectInfo(Local(ip)): ConnectInfo<Local>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
) -> String {
    nodes.requests.fetch_add(1, Ordering::Relaxed);
    let mut all = nodes.topics.lock().unwrap_or_else(PoisonError::into_inner);
    let own = all.entry(ip).or_default();
    let topic = query.get("topic").cloned().unwrap_or_default();
    let channels = |channels: &BTreeSet<String>| -> Vec<Value> {
        let one = |name: &String| json!({"channel_name": name, "depth": 0, "paused": false});
        channels.iter().map(one).collect()
    };
    let answer = match uri.path() {
        "/topic/create" => {
            own.entry(topic).or_default();
            return String::new();
        }
        "/channel/create" => {
            let channel = query.get("channel").cloned().unwrap_or_default();
            own.entry(topic).or_default().insert(channel);
            return String::new();
        }
        "/topics" => json!({"topics": own.keys().collect::<Vec<_>>()}),
        "/channels" => json!({"channels": own.get(&topic).cloned().unwrap_or_default()}),
        "/stats" => {
            let found = own
                .iter()
                .filter(|(name, _)| topic.is_empty() || **name == topic);
            let found = found.map(|(name, of)| {
                json!({"topic_name": name, "channels": channels(of), "depth": 0, "paused": false})
            });
            json!({"version": "1.3.0", "health": "OK", "topics": found.collect::<Vec<_>>()})
        }
        _ => json!({"version": "1.3.0", "draining": false}),
    };
    answer.to_string()
}
