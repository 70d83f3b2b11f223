//! `nsq_to_nsq --relocate`: moves what is unfinished from one nsqd to others, identity kept. The source lets go of a
//! message once a target has kept it and both have the same: killed at any point, it costs duplicates and loses nothing.

mod carry;
mod line;
mod options;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use nsq_daemon::{Stop, log, shutdown};
use nsq_protocol::{Move, PairMessage, PairRole};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connect::{self, ConnectError, Feature};
use carry::{Carrier, Moved, Then};
use line::{Event, Line, Outgoing};

pub use options::Options;

/// Between two passes, when consumers hold some messages.
const PAUSE: Duration = Duration::from_millis(500);
/// How often progress is shown.
const SHOW: Duration = Duration::from_millis(200);
/// Frames that wait to be looked at.
const EVENTS: usize = 1024;
/// The exit code when messages are left because consumers hold them.
const INCOMPLETE: u8 = 3;

/// Why it could not be done. What was moved by then stays moved.
#[derive(Debug, thiserror::Error)]
pub enum RelocateError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}: {1}")]
    Ended(String, String),
    #[error("{0} and {1} are the same nsqd")]
    Same(String, String),
    #[error("{0} and {1} have the same --node-id, {2}: their messages could have the same ids")]
    SameNodeId(String, String, u16),
    #[error("{0} is draining: it cannot be a destination")]
    Draining(String),
    #[error("unexpected word on line {0}: {1}")]
    Misplaced(Line, String),
    #[error("a word is not understood: {0}")]
    Malformed(#[from] nsq_protocol::PairError),
}

/// What is told at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Nothing that was there at the start is left.
    pub complete: bool,
    #[serde(flatten)]
    pub moved: Moved,
    /// Messages that consumers of the source hold.
    pub held: u64,
    /// Deliveries that are left at the source: also of what was published meanwhile.
    pub left: u64,
    pub passes: u64,
    pub seconds: f64,
}

/// The program in this mode.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let options = match Options::from_args(args) {
        Ok(options) => options,
        Err(stop) => return stop.report("[nsq_to_nsq] "),
    };
    match run(&options) {
        Ok(Some(summary)) => {
            tell(&options, &summary);
            match summary.complete {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(INCOMPLETE),
            }
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => Stop::Fatal(error.to_string()).report(&options.log_prefix),
    }
}

fn tell(options: &Options, summary: &Summary) {
    if options.is_json() {
        // Numbers and strings: JSON can express them.
        println!("{}", serde_json::to_string(summary).unwrap_or_default());
        return;
    }
    let Summary { moved, seconds, .. } = summary;
    let (messages, bytes) = (moved.messages, moved.bytes);
    println!("moved {messages} messages, {bytes} bytes, in {seconds:.1} s");
    for (topic, count) in &moved.topics {
        println!("  {topic}: {count}");
    }
    if !summary.complete {
        println!(
            "{} messages are held by consumers of {}: run it again later",
            summary.held,
            options.source()
        );
    } else if summary.left > 0 {
        println!("{} deliveries of later messages are left", summary.left);
    }
}

/// `None`: it was told to stop.
#[tokio::main(flavor = "current_thread")]
async fn run(options: &Options) -> anyhow::Result<Option<Summary>> {
    log::init(&options.log_prefix, options.log_level, log::LogFormat::Nsq);
    let signalled = shutdown::signalled()?;
    tokio::select! {
        signal = signalled => {
            tracing::info!("{signal}: stopping; what was moved stays moved");
            Ok(None)
        }
        summary = relocate(options) => Ok(Some(summary?)),
    }
}

/// Moves everything there is to move.
///
/// # Errors
/// [`RelocateError`]: the source goes on delivering what it has left.
pub async fn relocate(options: &Options) -> Result<Summary, RelocateError> {
    let tls = connect::tls(&options.access)?;
    let mut tasks = JoinSet::new();
    let (events, happened) = mpsc::channel(EVENTS);
    let addresses = [options.source()].into_iter();
    let addresses: Vec<&str> = addresses
        .chain(options.targets.iter().map(String::as_str))
        .collect();
    let mut lines = Vec::new();
    for (line, address) in addresses.iter().enumerate() {
        let role = match line {
            0 => PairRole::Source,
            _ => PairRole::Target,
        };
        let stream = connect::connect(address, tls.as_ref(), Feature::Relocate).await?;
        let stream = connect::link(stream, role, &options.access.auth_secret).await?;
        lines.push(line::begin(line, stream, events.clone(), &mut tasks));
    }
    drop(events);
    let run = Run {
        options,
        addresses,
        lines,
        carrier: Carrier::new(options.targets.len()),
        began: Instant::now(),
        progress: Progress::default(),
    };
    run.carry(happened).await
}

struct Run<'a> {
    options: &'a Options,
    addresses: Vec<&'a str>,
    lines: Vec<Outgoing>,
    carrier: Carrier,
    began: Instant,
    progress: Progress,
}

impl Run<'_> {
    async fn carry(mut self, mut events: mpsc::Receiver<Event>) -> Result<Summary, RelocateError> {
        let mut passes = 0;
        // What was left after the last pass that got anything done, and when that was.
        let (mut before, mut moved_at) = ((0, u64::MAX), Instant::now());
        while let Some(event) = events.recv().await {
            let (line, frame) = match event {
                Event::Said(line, frame) => (line, frame),
                Event::Ended(line, why) => {
                    let address = self.addresses[line].to_owned();
                    return Err(RelocateError::Ended(address, why));
                }
            };
            let Some((word, _)) = PairMessage::decode(&frame)? else {
                continue; // frames are whole
            };
            match self.carrier.hear(line, &word)? {
                Then::Nothing => {}
                Then::To(to) => self.send(to, frame),
                Then::ToTargets => {
                    (1..self.lines.len()).for_each(|to| self.send(to, frame.clone()))
                }
                Then::Begin => {
                    if !self.carrier.is_draining() {
                        let source = self.addresses[0];
                        tracing::warn!(
                            "{source} is not draining: what is published from now on stays"
                        );
                    }
                    self.ask();
                }
                Then::Passed { held, left } => {
                    passes += 1;
                    let now = (self.carrier.moved.messages, held);
                    if now != before {
                        (before, moved_at) = (now, Instant::now());
                    }
                    if held == 0 || moved_at.elapsed() >= self.options.wait {
                        self.progress.end();
                        return Ok(Summary {
                            complete: held == 0,
                            moved: self.carrier.moved,
                            held,
                            left,
                            passes,
                            seconds: self.began.elapsed().as_secs_f64(),
                        });
                    }
                    tokio::time::sleep(PAUSE).await;
                    self.ask();
                }
            }
            self.progress.show(&self.carrier.moved);
        }
        Err(RelocateError::Ended(
            self.addresses[0].to_owned(),
            "it is gone".to_owned(),
        ))
    }

    fn ask(&self) {
        let topics = self.options.topics.iter().map(String::as_str).collect();
        let mut frame = Vec::new();
        PairMessage::Move(Move::Pass { topics }).encode(&mut frame);
        self.send(0, frame);
    }

    fn send(&self, line: Line, frame: Vec<u8>) {
        // A line that has ended says so as an event.
        let _ = self.lines[line].send(frame);
    }
}

/// A line that is written over again and again, where there is a terminal.
#[derive(Default)]
struct Progress {
    shown: Option<Instant>,
}

impl Progress {
    fn show(&mut self, moved: &Moved) {
        let soon = self.shown.is_some_and(|shown| shown.elapsed() < SHOW);
        if soon || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown = Some(Instant::now());
        let (messages, bytes) = (moved.messages, moved.bytes / 1_000_000);
        // Nothing depends on it.
        let _ = write!(
            std::io::stderr(),
            "\r{messages} messages, {bytes} MB moved "
        );
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
