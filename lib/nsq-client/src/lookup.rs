//! Where a topic is: what the nsqlookupds say, asked again and again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use nsq_http_api::{Client, ClientOptions};
use tokio::sync::mpsc;

use crate::config::Config;

/// Asks for ever, as long as somebody listens: addresses of the nsqds that have the topic.
pub(crate) async fn poll(
    lookupds: Vec<String>,
    topic: String,
    config: Config,
    found: mpsc::Sender<Vec<String>>,
) {
    let token = &config.lookupd_token_file;
    let client = Client::new(ClientOptions {
        request_timeout: config.lookupd_poll_timeout,
        token_file: (!token.is_empty()).then(|| PathBuf::from(token)),
        ..ClientOptions::default()
    });
    loop {
        let mut addresses = BTreeSet::new();
        for lookupd in &lookupds {
            let address = lookupd.trim_end_matches('/');
            match client.nsqlookupd(address).lookup(&topic).await {
                Ok(lookup) => {
                    let producers = lookup.producers.iter();
                    addresses.extend(producers.map(|producer| {
                        let host = &producer.broadcast_address;
                        match host.contains(':') && !host.starts_with('[') {
                            true => format!("[{host}]:{}", producer.tcp_port),
                            false => format!("{host}:{}", producer.tcp_port),
                        }
                    }));
                }
                // Nobody has the topic yet.
                Err(error) if error.is_not_found() => {}
                Err(error) => tracing::warn!("{error}"),
            }
        }
        if found.send(addresses.into_iter().collect()).await.is_err() {
            return;
        }
        tokio::time::sleep(pause(
            config.lookupd_poll_interval,
            config.lookupd_poll_jitter,
            rand::random(),
        ))
        .await;
    }
}

/// The interval, and a random part of its jitter: many consumers that start together do not ask together for ever.
fn pause(interval: Duration, jitter: f64, random: f64) -> Duration {
    interval + interval.mul_f64(jitter * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_moved_by_the_jitter_at_most() {
        let interval = Duration::from_secs(10);
        assert_eq!(pause(interval, 0.3, 0.0), interval);
        assert_eq!(pause(interval, 0.3, 1.0), Duration::from_secs(13));
        assert_eq!(pause(interval, 0.0, 1.0), interval);
    }
}
