//! Many short rounds, in which the servers take turns at each row of the table.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nsq_rig::{Program, Server};
use tempfile::TempDir;

use crate::contest::{Contestant, FILL, ROWS, Row, Work};
use crate::drain::Consumers;
use crate::latency::Pair;
use crate::meter::{Meter, Used, wait_idle};
use crate::publish::{Moved, Publishers, Until};
use crate::statistics::quantile;

/// Connections that empty a queue when nobody measures.
const EMPTIERS: usize = 8;
/// No queue is filled for longer than this, however slow the server.
const FILL_TIME: Duration = Duration::from_secs(2);
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
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Sample {
    pub messages: u64,
    pub seconds: f64,
    pub used: Used,
    /// Half and 99 of 100 messages took less, nanoseconds.
    pub latency: Option<(u64, u64)>,
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

    pub fn interrupts_per_second(&self) -> f64 {
        self.used.interrupts as f64 / self.used.elapsed.as_secs_f64()
    }
}

/// A running contestant.
pub struct Entrant {
    pub contestant: &'static Contestant,
    server: Server,
    address: SocketAddr,
    /// Messages it is given to drain, by row.
    backlogs: Vec<u64>,
    _data: TempDir,
}

impl Entrant {
    /// Starts a server on an empty directory.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(contestant: &'static Contestant, program: &std::path::Path) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("nsq-bench-").tempdir()?;
        let program = Program {
            path: program.to_owned(),
            flags: contestant
                .flags
                .iter()
                .map(|&flag| flag.to_owned())
                .collect(),
        };
        let mut server = Server::start(&program, data.path())?;
        let (address, _) = server.wait_ready()?;
        Ok(Self {
            contestant,
            server,
            address,
            backlogs: vec![FIRST_BACKLOG; ROWS.len()],
            _data: data,
        })
    }
}

/// Samples by row, then by entrant, then by round.
pub type Samples = Vec<Vec<Vec<Sample>>>;

/// Runs all rounds; one more before them warms up and is not counted.
///
/// # Errors
/// When a server fails, or loses, repeats or changes a message.
pub fn run(entrants: &mut [Entrant], scale: Scale, progress: impl Fn(&str)) -> Result<Samples> {
    let mut samples = vec![vec![Vec::new(); entrants.len()]; ROWS.len()];
    let mut warm_up = scale;
    warm_up.publish /= 4;
    warm_up.latency /= 4;
    for round in 0..=scale.rounds {
        let scale = if round == 0 { warm_up } else { scale };
        for (at, row) in ROWS.iter().enumerate() {
            progress(&format!("round {round} of {}: {}", scale.rounds, row.name));
            for turn in 0..entrants.len() {
                // Who comes first in one round comes last in the next.
                let turn = if round % 2 == 0 {
                    turn
                } else {
                    entrants.len() - 1 - turn
                };
                let pids: Vec<u32> = entrants
                    .iter()
                    .map(|entrant| entrant.server.pid())
                    .collect();
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
            Work::Publish(pattern) => {
                let publishers = Publishers::connect(self.address, row.connections)?;
                let until = Until {
                    time: scale.publish,
                    messages: u64::MAX,
                };
                let (sent, used) = self.metered(|| publishers.run(&topic, pattern, until))?;
                let consumers = Consumers::connect(self.address, EMPTIERS, &topic)?;
                check(&sent, &consumers.run(sent.messages)?)?;
                sample(&sent, used)
            }
            Work::Drain => self.drain(at, row, &topic, scale)?,
            Work::Latency => {
                let pair = Pair::connect(self.address, &topic)?;
                let (mut latencies, used) = self.metered(|| pair.run(&topic, scale.latency))?;
                let low = quantile(&mut latencies, 0.5);
                let high = quantile(&mut latencies, 0.99);
                Sample {
                    messages: latencies.len() as u64,
                    seconds: used.elapsed.as_secs_f64(),
                    used,
                    latency: Some((low, high)),
                }
            }
        };
        self.server.delete_topic(&topic)?;
        Ok(sample)
    }

    /// Fills a channel and drains it.
    fn drain(&mut self, at: usize, row: &Row, topic: &str, scale: Scale) -> Result<Sample> {
        // The channel is there first, so that its messages wait in it and not in the topic.
        drop(Consumers::connect(self.address, 1, topic)?);
        let until = Until {
            time: FILL_TIME,
            messages: self.backlogs[at],
        };
        let publishers = Publishers::connect(self.address, EMPTIERS)?;
        let sent = publishers.run(topic, FILL, until)?;
        wait_idle(&[self.server.pid()])?;
        let consumers = Consumers::connect(self.address, row.connections, topic)?;
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
    }
}
