//! How late deferred messages come, with few channels and with many.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use nsq_rig::{Connection, Frame, push_dpub, push_fin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::channels::create;
use super::{Measured, Much, Subject, measured};
use crate::statistics::quantile;

const TARGET_MS: f64 = 5.0;
/// Topics of one channel, each with a consumer.
const PROBES: usize = 600;
/// Deferred messages of each.
const EACH: usize = 5;
/// The first are due after this ...
const SOONEST: Duration = Duration::from_secs(10);
/// ... and the others are spread over this, so that none waits for another.
const SPREAD: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(240);
const BODY: usize = 16;

pub(super) fn measure(program: &Path, go: bool, much: Much) -> Result<Vec<Measured>> {
    let mut subject = Subject::start(program, go, &[])?;
    let few = lateness(&subject)?;
    let rest = if subject.go {
        much.go_channels
    } else {
        much.channels
    };
    let http = subject.server.http_address()?;
    super::channels::post_all(
        http,
        (0..100).map(|topic| format!("/topic/create?topic=t{topic}")),
    )?;
    create(http, rest - PROBES)?;
    let many = lateness(&subject)?;
    let what = |channels: usize| format!("deferred messages, {channels} channels: p99 late by");
    Ok(vec![
        measured(what(PROBES), "ms", TARGET_MS, few),
        measured(what(much.channels), "ms", TARGET_MS, many),
    ])
}

/// The 99th of a hundred, milliseconds.
fn lateness(subject: &Subject) -> Result<f64> {
    let mut consumers = Vec::with_capacity(PROBES);
    for probe in 0..PROBES {
        let mut consumer = Connection::open(subject.address)?;
        consumer.subscribe(&format!("probe{probe}"), "channel")?;
        consumer.ready(100)?;
        consumers.push(consumer);
    }
    let origin = Instant::now();
    publish(subject, origin)?;
    let mut late = receive(&mut consumers, origin)?;
    Ok(quantile(&mut late, 0.99) as f64 / 1e6)
}

/// Each body says when it is due. Delays are whole milliseconds, spread without repeating.
fn publish(subject: &Subject, origin: Instant) -> Result<()> {
    let mut publisher = Connection::open(subject.address)?;
    let (mut command, count) = (Vec::new(), PROBES * EACH);
    for at in 0..count {
        let spread = SPREAD.as_millis() as usize * (at * 7919 % count) / count;
        let delay = SOONEST + Duration::from_millis(spread as u64);
        let mut body = [0; BODY];
        let due = origin.elapsed() + delay;
        body[..8].copy_from_slice(&(due.as_nanos() as u64).to_le_bytes());
        command.clear();
        let topic = format!("probe{}", at % PROBES);
        push_dpub(&mut command, &topic, delay.as_millis() as u32, &body);
        publisher.send(&command)?;
        publisher.ok()?;
    }
    ensure!(
        origin.elapsed() < SOONEST,
        "publishing took longer than the first delay"
    );
    Ok(())
}

fn receive(consumers: &mut [Connection], origin: Instant) -> Result<Vec<u64>> {
    let streams: Vec<TcpStream> = consumers
        .iter()
        .map(Connection::stream)
        .collect::<Result<_, _>>()?;
    let mut late = Vec::with_capacity(PROBES * EACH);
    let mut finishes = Vec::new();
    let wait = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    while late.len() < PROBES * EACH {
        ensure!(origin.elapsed() < PATIENCE, "{} messages came", late.len());
        let mut polled: Vec<PollFd<'_>> = streams
            .iter()
            .map(|stream| PollFd::new(stream, PollFlags::IN))
            .collect();
        poll(&mut polled, Some(&wait))?;
        let now = origin.elapsed().as_nanos() as u64;
        let ready: Vec<usize> = polled
            .iter()
            .enumerate()
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|(index, _)| index)
            .collect();
        for index in ready {
            let consumer = &mut consumers[index];
            consumer.fill()?;
            finishes.clear();
            while let Some(frame) = consumer.next_frame()? {
                let Frame::Message { id, body, .. } = frame else {
                    bail!("instead of a message: {frame:?}");
                };
                push_fin(&mut finishes, id);
                let due = body.first_chunk::<8>().map(|due| u64::from_le_bytes(*due));
                late.push(now.saturating_sub(due.unwrap_or(now)));
            }
            consumer.send(&finishes)?;
        }
    }
    Ok(late)
}
