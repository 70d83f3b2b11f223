//! Many short rounds, in which the servers take turns at each row of the table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::contest::{Contestant, FILL, Pattern, Row, Work};
use crate::drain::Consumers;
use crate::latency::Pair;
use crate::machine::touch_memory;
use crate::meter::{Meter, Used, wait_idle};
use crate::publish::{Moved, Publishers, Until};
use crate::server::{Programs, Running};
use crate::statistics::quantile;

/// Connections that empty a queue when nobody measures.
const EMPTIERS: usize = 8;
/// No queue is filled for longer than this, however slow the server.
const FILL_TIME: Duration = Duration::from_secs(2);
/// No contest has more rows.
const ROWS_MAX: usize = 16;
/// The first backlog, before it is known how fast a server drains.
const FIRST_BACKLOG: u64 = 100_000;
/// Backlogs beyond this tell nothing new: a good part of a second for the fastest of servers.
const BACKLOG: u64 = 5_000_000;

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub rounds: usize,
    pub publish: Duration,
    /// What a backlog is made to last.
    pub drain: Duration,
    pub latency: Duration,
    pub flood: Duration,
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Sample {
    pub messages: u64,
    pub seconds: f64,
    pub used: Used,
    /// Half and 99 of 100 messages took less, nanoseconds.
    pub latency: Option<(u64, u64)>,
    /// Messages that were received while these were published.
    pub received: Option<u64>,
}

impl Sample {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// CPU microseconds of the server for each message.
    pub fn cpu_micros(&self) -> f64 {
        self.used.cpu_nanos as f64 / 1000.0 / self.messages as f64
    }

    /// Received while published, of what was published.
    pub fn received_share(&self) -> Option<f64> {
        Some(self.received? as f64 / self.messages as f64)
    }

    pub fn interrupts_per_second(&self) -> f64 {
        self.used.interrupts as f64 / self.used.elapsed.as_secs_f64()
    }
}

/// A running contestant.
pub struct Entrant {
    pub contestant: &'static Contestant,
    server: Running,
    /// Messages it is given to drain, by row.
    backlogs: Vec<u64>,
}

impl Entrant {
    /// Starts a server on an empty directory.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(contestant: &'static Contestant, programs: &Programs) -> Result<Self> {
        let server = Running::start(contestant, programs);
        Ok(Self {
            contestant,
            server: server.with_context(|| contestant.name)?,
            backlogs: vec![FIRST_BACKLOG; ROWS_MAX],
        })
    }
}

/// Samples by row, then by entrant, then by round.
pub type Samples = Vec<Vec<Vec<Sample>>>;

/// Runs all rounds; one more before them warms up and is not counted.
///
/// # Errors
/// When a server fails, or loses, repeats or changes a message.
pub fn run(
    entrants: &mut [Entrant],
    rows: &[&'static Row],
    scale: Scale,
    progress: impl Fn(&str),
) -> Result<Samples> {
    let mut samples = vec![vec![Vec::new(); entrants.len()]; rows.len()];
    let mut warm_up = scale;
    warm_up.publish /= 4;
    warm_up.latency /= 4;
    let pids: Vec<u32> = entrants
        .iter()
        .flat_map(|entrant| entrant.server.pids())
        .collect();
    for round in 0..=scale.rounds {
        let scale = if round == 0 { warm_up } else { scale };
        for (at, row) in rows.iter().enumerate() {
            progress(&format!("round {round} of {}: {}", scale.rounds, row.name));
            for turn in 0..entrants.len() {
                // Who comes first in one round comes last in the next.
                let turn = if round % 2 == 0 {
                    turn
                } else {
                    entrants.len() - 1 - turn
                };
                touch_memory();
                wait_idle(&pids)?;
                let entrant = &mut entrants[turn];
                let name = entrant.contestant.name;
                let sample = entrant
                    .measure(at, row, round, scale)
                    .with_context(|| format!("{name}: {}, round {round}", row.name))?;
                if round > 0 {
                    samples[at][turn].push(sample);
                }
            }
        }
    }
    Ok(samples)
}

impl Entrant {
    fn measure(&mut self, at: usize, row: &Row, round: usize, scale: Scale) -> Result<Sample> {
        let topic = format!("{}-{round}", row.key);
        let sample = match row.work {
            Work::Publish(pattern) => self.publish(row, pattern, &topic, scale)?,
            Work::Drain => self.drain(at, row, &topic, scale)?,
            Work::Flood(pattern) => self.flood(row, pattern, &topic, scale)?,
            Work::Latency => self.latency(&topic, scale)?,
        };
        self.server.delete_topic(&topic)?;
        Ok(sample)
    }

    /// Publishes for a while; what was published must be there.
    fn publish(&self, row: &Row, pattern: Pattern, topic: &str, scale: Scale) -> Result<Sample> {
        let publishers = Publishers::connect(&self.server, row.connections)?;
        let until = Until {
            time: scale.publish,
            messages: u64::MAX,
        };
        let (sent, used) = self.metered(|| publishers.run(topic, pattern, until))?;
        if self.server.is_nsqd() {
            let consumers = Consumers::connect(self.server.address, EMPTIERS, topic)?;
            check(&sent, &consumers.run(sent.messages)?)?;
        } else {
            let held = self.server.take_count(topic)?;
            ensure!(
                held == sent.messages,
                "{held} messages are held, {} were acknowledged",
                sent.messages
            );
        }
        Ok(sample(&sent, used))
    }

    /// Publishes and consumes at the same time.
    fn flood(&self, row: &Row, pattern: Pattern, topic: &str, scale: Scale) -> Result<Sample> {
        let consumers = Consumers::connect(self.server.address, row.connections, topic)?;
        let publishers = Publishers::connect(&self.server, row.connections)?;
        let until = Until {
            time: scale.flood,
            messages: u64::MAX,
        };
        let (expected, come) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let consuming = scope.spawn(|| consumers.run_until(&expected, &come));
            let metered = self.metered(|| publishers.run(topic, pattern, until));
            let meanwhile = come.load(Ordering::Relaxed);
            let published = metered.as_ref().map_or(0, |(sent, _)| sent.messages);
            expected.store(published, Ordering::Relaxed);
            let received = match consuming.join() {
                Ok(received) => received,
                Err(_) => bail!("the consumers panicked"),
            };
            let (sent, used) = metered?;
            check(&sent, &received?)?;
            let mut sample = sample(&sent, used);
            sample.received = Some(meanwhile);
            Ok(sample)
        })
    }

    fn latency(&self, topic: &str, scale: Scale) -> Result<Sample> {
        let pair = Pair::connect(self.server.address, topic)?;
        let (mut latencies, used) = self.metered(|| pair.run(topic, scale.latency))?;
        let low = quantile(&mut latencies, 0.5);
        let high = quantile(&mut latencies, 0.99);
        Ok(Sample {
            messages: latencies.len() as u64,
            seconds: used.elapsed.as_secs_f64(),
            used,
            latency: Some((low, high)),
            received: None,
        })
    }

    /// Fills a channel and drains it.
    fn drain(&mut self, at: usize, row: &Row, topic: &str, scale: Scale) -> Result<Sample> {
        let address = self.server.address;
        // The channel is there first, so that its messages wait in it and not in the topic.
        drop(Consumers::connect(address, 1, topic)?);
        let until = Until {
            time: FILL_TIME,
            messages: self.backlogs[at],
        };
        let publishers = Publishers::connect(&self.server, EMPTIERS)?;
        let sent = publishers.run(topic, FILL, until)?;
        wait_idle(&self.server.pids())?;
        let consumers = Consumers::connect(address, row.connections, topic)?;
        let (received, used) = self.metered(|| consumers.run(sent.messages))?;
        check(&sent, &received)?;
        let sample = sample(&received, used);
        let lasts = (sample.rate() * scale.drain.as_secs_f64()) as u64;
        self.backlogs[at] = lasts.clamp(FIRST_BACKLOG, BACKLOG);
        Ok(sample)
    }

    fn metered<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Used)> {
        let meter = Meter::start(self.server.pid())?;
        let done = work()?;
        Ok((done, meter.stop()?))
    }
}

fn check(sent: &Moved, received: &Moved) -> Result<()> {
    ensure!(
        sent.is_same(received),
        "the messages that came are not those that were published"
    );
    Ok(())
}

fn sample(moved: &Moved, used: Used) -> Sample {
    Sample {
        messages: moved.messages,
        seconds: moved.elapsed.as_secs_f64(),
        used,
        latency: None,
        received: None,
    }
}
