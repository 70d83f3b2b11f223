//! Our nsqd and the Go nsqd, side by side in one run, with the same client.
//!
//! Both start on empty directories and live for the whole run, bound like the load to the same two
//! cores. In each round they take turns at each row, so that neighbours in time can be compared: on
//! shared machines absolute figures move by a factor of two, ratios much less. Whatever is published
//! is consumed again and its numbers are added up; a message lost, repeated or changed ends the run.
//!
//! Publishing is measured on a topic without channels, which spares the Go nsqd a copy of each
//! message; draining, on a channel that was there before its messages, for the same reason.

mod contest;
mod drain;
mod latency;
mod machine;
mod meter;
mod publish;
mod report;
mod rounds;
mod statistics;
mod table;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use contest::{MESSAGE_BYTES, PAIRINGS, Pairing};
use machine::Machine;
use report::Report;
use rounds::{Entrant, Scale};

const FULL: Scale = Scale {
    rounds: 8,
    publish: Duration::from_millis(300),
    drain: Duration::from_millis(700),
    latency: Duration::from_millis(1000),
};
const QUICK: Scale = Scale {
    rounds: 2,
    publish: Duration::from_millis(150),
    drain: Duration::from_millis(200),
    latency: Duration::from_millis(500),
};

#[derive(Parser)]
#[command(about = "our nsqd and the Go nsqd, side by side")]
struct Options {
    /// our nsqd
    #[arg(long)]
    nsqd: PathBuf,
    /// the Go nsqd
    #[arg(long)]
    go_nsqd: PathBuf,
    /// a first impression, in less than half a minute
    #[arg(long)]
    quick: bool,
    /// durability levels of ours: memory, write, fsync
    #[arg(long, value_delimiter = ',', default_value = "memory", value_parser = ["memory", "write", "fsync"])]
    levels: Vec<String>,
    /// rounds that count
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// the report as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// the table as Markdown
    #[arg(long)]
    markdown: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut scale = if options.quick { QUICK } else { FULL };
    if let Some(rounds) = options.rounds {
        scale.rounds = rounds as usize;
    }
    let asked = |pairing: &&Pairing| options.levels.iter().any(|level| level == pairing.level);
    let pairings: Vec<&'static Pairing> = PAIRINGS.iter().filter(asked).collect();
    let machine = Machine::bind()?;
    let mut entrants = Vec::new();
    for pairing in &pairings {
        entrants.push(Entrant::start(&pairing.theirs, &options.go_nsqd)?);
        entrants.push(Entrant::start(&pairing.ours, &options.nsqd)?);
    }
    let samples = rounds::run(&mut entrants, scale, progress)?;
    progress("");
    let report = Report {
        machine,
        rounds: scale.rounds,
        message_bytes: MESSAGE_BYTES,
        lines: report::lines(&pairings, &samples),
    };
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    print!("{}", table::render(&report, options.markdown));
    Ok(())
}

/// Shows on a terminal what is being done.
fn progress(what: &str) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // A terminal that is gone is no reason to stop measuring.
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    }
}
