//! Messages that wait in memory.

use std::path::Path;

use anyhow::Result;
use nsq_rig::{Connection, push_mpub};

use super::{Measured, Much, Subject, measured};
use crate::contest::MESSAGE_BYTES;

const TARGET: f64 = 240.0;
const BATCH: usize = 200;
/// All of them stay in memory.
const FLAGS: &[&str] = &["--mem-queue-size=10000000"];

pub(super) fn measure(program: &Path, go: bool, much: Much) -> Result<Vec<Measured>> {
    let subject = Subject::start(program, go, FLAGS)?;
    let mut publisher = Connection::open(subject.address)?;
    publish(&mut publisher, "warm", BATCH * 50)?;
    let before = subject.memory()?;
    publish(&mut publisher, "queued", much.messages)?;
    let after = subject.memory()?;
    let each = after.saturating_sub(before) as f64 / much.messages as f64;
    let what = format!(
        "{} queued messages of {MESSAGE_BYTES} bytes, each",
        much.messages
    );
    Ok(vec![measured(what, "bytes", TARGET, each)])
}

fn publish(publisher: &mut Connection, topic: &str, count: usize) -> Result<()> {
    let body = [b'x'; MESSAGE_BYTES];
    let mut command = Vec::new();
    push_mpub(&mut command, topic, std::iter::repeat_n(&body[..], BATCH));
    for _ in 0..count / BATCH {
        publisher.send(&command)?;
        publisher.ok()?;
    }
    Ok(())
}
