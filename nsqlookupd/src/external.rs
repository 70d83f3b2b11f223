//! The view of clients outside: the same nsqds, under the addresses by which those clients reach them.
//!
//! Which address that is stands in a file, so that it can change while everything runs: one node a line,
//! `BROADCAST_ADDRESS EXTERNAL_ADDRESS TCP_PORT HTTP_PORT`, port 0 for none. A node that is not in the file is not shown there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nsq_http_api::{Lookup, Node};
use parking_lot::Mutex;
use thiserror::Error;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
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
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    text: String,
    addresses: Addresses,
}

impl External {
    /// # Errors
    /// The file cannot be read or understood.
    pub(crate) fn open(file: &Path) -> Result<Arc<Self>, ExternalError> {
        let text = read(file)?;
        let addresses = parse(&text).map_err(|why| failed(file, why))?;
        Ok(Arc::new(Self {
            file: file.to_owned(),
            known: Mutex::new(Known {
                looked: Instant::now(),
                text,
                addresses,
            }),
        }))
    }

    /// What a lookup has found, as those outside see it.
    pub(crate) fn lookup(&self, mut found: Lookup) -> Lookup {
        self.with(|addresses| {
            found.producers.retain_mut(|node| {
                let ports = (&mut node.tcp_port, &mut node.http_port);
                show(addresses, &mut node.broadcast_address, ports)
            });
        });
        found
    }

    /// All nodes, as those outside see them.
    pub(crate) fn nodes(&self, mut found: Vec<Node>) -> Vec<Node> {
        self.with(|addresses| {
            found.retain_mut(|node| {
                let ports = (&mut node.tcp_port, &mut node.http_port);
                show(addresses, &mut node.broadcast_address, ports)
            });
        });
        found
    }

    fn with(&self, work: impl FnOnce(&Addresses)) {
        let mut known = self.known.lock();
        if known.looked.elapsed() >= LOOK {
            known.looked = Instant::now();
            self.look(&mut known);
        }
        work(&known.addresses);
    }

    fn look(&self, known: &mut Known) {
        let understood = read(&self.file).and_then(|text| {
            let addresses = match text == known.text {
                true => None,
                false => Some(parse(&text).map_err(|why| failed(&self.file, why))?),
            };
            Ok((text, addresses))
        });
        match understood {
            Ok((text, Some(addresses))) => {
                tracing::info!("external addresses: {} nodes", addresses.len());
                (known.text, known.addresses) = (text, addresses);
            }
            Ok((_, None)) => {}
            Err(error) => tracing::error!("{error}; the former ones are kept"),
        }
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

fn failed(file: &Path, why: String) -> ExternalError {
    let path = file.display().to_string();
    ExternalError { path, why }
}

fn read(file: &Path) -> Result<String, ExternalError> {
    let text = fs::read_to_string(file).map_err(|err| failed(file, err.to_string()))?;
    match text.len() <= MAX_FILE {
        true => Ok(text),
        false => Err(failed(file, format!("larger than {MAX_FILE} bytes"))),
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
    use super::{External, parse};

    #[test]
    fn what_cannot_be_understood_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("addresses");
        std::fs::write(&file, "a b 1 2").unwrap();
        let external = External::open(&file).unwrap();
        let count = || {
            let mut known = external.known.lock();
            external.look(&mut known);
            known.addresses.len()
        };
        std::fs::write(&file, "a b 1").unwrap();
        assert_eq!(count(), 1);
        std::fs::write(&file, "a b 1 2\nc d 3 0").unwrap();
        assert_eq!(count(), 2);
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
