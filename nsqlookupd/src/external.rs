//! The view of clients outside: the same nsqds, under the addresses by which those clients reach them.
//!
//! Which address that is stands in a file, so that it can change while everything runs: one node a line,
//! `BROADCAST_ADDRESS EXTERNAL_ADDRESS TCP_PORT HTTP_PORT`, port 0 for none. A node that is not in the file is not shown there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nsq_daemon::reread::Reread;
use nsq_http_api::{Lookup, Node};
use parking_lot::Mutex;
use thiserror::Error;

/// Largest file, in bytes: ten thousand nodes.
const MAX_FILE: usize = 1 << 20;

/// Why the addresses cannot be had.
#[derive(Debug, Error)]
#[error("external addresses {path}: {why}")]
pub struct ExternalError {
    path: String,
    why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    host: String,
    tcp_port: i32,
    http_port: i32,
}

type Addresses = BTreeMap<String, Address>;

/// The addresses in a file. It is read again when it changes; while it cannot be read, what it said last counts.
#[derive(Debug)]
pub(crate) struct External {
    file: PathBuf,
    addresses: Mutex<Reread<Addresses>>,
}

impl External {
    /// # Errors
    /// The file cannot be read or understood.
    pub(crate) fn open(file: &Path) -> Result<Arc<Self>, ExternalError> {
        let addresses = Reread::open(&[file], || read(file))?;
        Ok(Arc::new(Self {
            file: file.to_owned(),
            addresses: Mutex::new(addresses),
        }))
    }

    /// What a lookup has found, as those outside see it.
    pub(crate) fn lookup(&self, mut found: Lookup) -> Lookup {
        self.with(Instant::now(), |addresses| {
            found.producers.retain_mut(|node| {
                let ports = (&mut node.tcp_port, &mut node.http_port);
                show(addresses, &mut node.broadcast_address, ports)
            });
        });
        found
    }

    /// All nodes, as those outside see them.
    pub(crate) fn nodes(&self, mut found: Vec<Node>) -> Vec<Node> {
        self.with(Instant::now(), |addresses| {
            found.retain_mut(|node| {
                let ports = (&mut node.tcp_port, &mut node.http_port);
                show(addresses, &mut node.broadcast_address, ports)
            });
        });
        found
    }

    fn with(&self, now: Instant, work: impl FnOnce(&Addresses)) {
        let mut addresses = self.addresses.lock();
        match addresses.look(now, &[&self.file], || read(&self.file)) {
            None => {}
            Some(Ok(())) => {
                tracing::info!("external addresses: {} nodes", addresses.value().len());
            }
            Some(Err(error)) => tracing::error!("{error}; the former ones are kept"),
        }
        work(addresses.value());
    }
}

/// Whether the node has an address outside, which is put into its place.
fn show(addresses: &Addresses, host: &mut String, ports: (&mut i32, &mut i32)) -> bool {
    let Some(address) = addresses.get(host) else {
        return false;
    };
    host.clone_from(&address.host);
    (*ports.0, *ports.1) = (address.tcp_port, address.http_port);
    true
}

fn read(file: &Path) -> Result<Addresses, ExternalError> {
    let failed = |why: String| ExternalError {
        path: file.display().to_string(),
        why,
    };
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    match text.len() <= MAX_FILE {
        true => parse(&text).map_err(failed),
        false => Err(failed(format!("larger than {MAX_FILE} bytes"))),
    }
}

fn parse(text: &str) -> Result<Addresses, String> {
    let mut addresses = Addresses::new();
    let lines = (1..).zip(text.lines().map(str::trim));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [node, host, tcp, http] = words.as_slice() else {
            return Err(format!(
                "line {number} is not `BROADCAST_ADDRESS EXTERNAL_ADDRESS TCP_PORT HTTP_PORT`: {line:?}"
            ));
        };
        let port = |word: &str| match word.parse::<u16>() {
            Ok(port) => Ok(i32::from(port)),
            _ => Err(format!("line {number} has no port {word:?}")),
        };
        let address = Address {
            host: (*host).to_owned(),
            tcp_port: port(tcp)?,
            http_port: port(http)?,
        };
        addresses.insert((*node).to_owned(), address);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{External, parse};

    #[test]
    fn what_cannot_be_understood_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("addresses");
        std::fs::write(&file, "a b 1 2").unwrap();
        let external = External::open(&file).unwrap();
        let start = Instant::now();
        let count = |seconds| {
            let mut count = 0;
            let now = start + Duration::from_secs(seconds);
            external.with(now, |addresses| count = addresses.len());
            count
        };
        std::fs::write(&file, "a b 1").unwrap();
        assert_eq!(count(2), 1);
        std::fs::write(&file, "a b 1 2\nc d 3 0").unwrap();
        assert_eq!(count(4), 2);
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(parse("\n# nobody yet\n").unwrap().len(), 0);
        assert_eq!(parse("a b 1 2\nc b 3 4\n").unwrap().len(), 2);
        for (text, line) in [("a b 1", 1), ("\na b 1 http", 2), ("a b 70000 2", 1)] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line} ")), "{error}");
        }
    }
}
