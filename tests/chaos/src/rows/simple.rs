//! A publisher and a consumer that do as they are told, for faults that need no crowd.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use nsq_auditor::{decode, encode};
use nsq_rig::{Connection, Frame, push_fin, push_mpub};

/// Messages of an MPUB.
const BATCH: u64 = 100;
/// Nothing for so long: nothing more comes.
const SILENCE: Duration = Duration::from_secs(3);

/// Publishes messages of `len` bytes with the numbers of `range`; all are acknowledged.
///
/// # Errors
/// When one is not.
pub fn publish(
    to: &mut Connection,
    topic: &str,
    range: std::ops::Range<u64>,
    len: usize,
) -> Result<()> {
    let mut next = range.start;
    while next < range.end {
        let end = (next + BATCH).min(range.end);
        let bodies: Vec<Vec<u8>> = (next..end).map(|number| encode(number, len)).collect();
        let mut command = Vec::new();
        push_mpub(&mut command, topic, bodies.iter().map(Vec::as_slice));
        to.send(&command)?;
        to.ok()?;
        next = end;
    }
    Ok(())
}

/// A consumer with `ready` messages in flight at most.
///
/// # Errors
/// The server's refusal.
pub fn subscribe(
    address: SocketAddr,
    topic: &str,
    channel: &str,
    ready: u32,
) -> Result<Connection> {
    let mut consumer = Connection::open(address)?;
    consumer.subscribe(topic, channel)?;
    if ready > 0 {
        consumer.ready(ready)?;
    }
    Ok(consumer)
}

/// Takes messages until `enough` different ones have come or none does any more; number and attempts of
/// each. Finishes them if told to.
///
/// # Errors
/// A body that is not what was published; what the connection says.
pub fn take(from: &mut Connection, enough: usize, finish: bool) -> Result<BTreeMap<u64, u16>> {
    from.set_patience(Some(SILENCE))?;
    let mut taken = BTreeMap::new();
    let mut answers = Vec::new();
    loop {
        while let Some(frame) = from.next_frame()? {
            let Frame::Message { attempts, id, body } = frame else {
                bail!("instead of a message: {frame:?}");
            };
            let Some(number) = decode(body) else {
                bail!("a body was altered");
            };
            taken.insert(number, attempts);
            if finish {
                push_fin(&mut answers, id);
            }
        }
        from.send(&answers)?;
        answers.clear();
        if taken.len() >= enough {
            return Ok(taken);
        }
        match from.fill() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
            filled => filled?,
        }
    }
}
