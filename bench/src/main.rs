//! Our nsqd and others, side by side in one run, with the same load.
//!
//! All start on empty directories and live for the whole run, bound like the load to the same two
//! cores. In each round they take turns at each row, so that neighbours in time can be compared: on
//! shared machines absolute figures move by a factor of two, ratios much less. Whatever is published
//! is consumed again, or counted where it is held, and its numbers are added up; a message lost,
//! repeated or changed ends the run.
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
mod scale;
mod server;
mod speaker;
mod statistics;
mod table;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use contest::{CONTESTS, Contest, MESSAGE_BYTES, Row};
use machine::Machine;
use report::Report;
use rounds::{Entrant, Scale};
use server::Programs;

const FULL: Scale = Scale {
    rounds: 8,
    publish: Duration::from_millis(300),
    drain: Duration::from_millis(700),
    latency: Duration::from_millis(1000),
    flood: Duration::from_millis(2000),
};
const QUICK: Scale = Scale {
    rounds: 2,
    publish: Duration::from_millis(150),
    drain: Duration::from_millis(200),
    latency: Duration::from_millis(500),
    flood: Duration::from_millis(500),
};

#[derive(Parser)]
#[command(about = "our nsqd and others, side by side", after_help = contests())]
struct Options {
    /// what is measured
    #[arg(default_value = "speed")]
    contest: String,
    /// our nsqd
    #[arg(long)]
    nsqd: PathBuf,
    /// the Go nsqd
    #[arg(long)]
    go_nsqd: PathBuf,
    /// our nsq_to_nsq, for `pair`
    #[arg(long)]
    nsq_to_nsq: Option<PathBuf>,
    /// NATS, for `durable` and `pair`
    #[arg(long)]
    nats_server: Option<PathBuf>,
    /// Redis, for `durable`
    #[arg(long)]
    redis_server: Option<PathBuf>,
    /// a first impression, in a minute or two
    #[arg(long)]
    quick: bool,
    /// these rows only, by their keys
    #[arg(long, value_delimiter = ',', value_name = "KEY")]
    rows: Vec<String>,
    /// rounds that count
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// the report as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// the page of `scale`, with its table
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// the table as Markdown
    #[arg(long)]
    markdown: bool,
}

fn contests() -> String {
    let one = |contest: &Contest| {
        let keys: Vec<&str> = contest.rows.iter().map(|row| row.key).collect();
        format!(
            "  {:8} {}\n           rows: {}\n",
            contest.key,
            contest.about,
            keys.join(", ")
        )
    };
    format!(
        "What is measured:\n{}  {:8} connections, channels, deferred and queued messages: what each costs\n           rows: {}\n",
        CONTESTS.iter().map(one).collect::<String>(),
        "scale",
        scale::keys().join(", ")
    )
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut scale = if options.quick { QUICK } else { FULL };
    if let Some(rounds) = options.rounds {
        scale.rounds = rounds as usize;
    }
    if options.contest == "scale" {
        return measure_scale(&options);
    }
    let Some(contest) = Contest::find(&options.contest) else {
        bail!("there is no contest {:?}\n{}", options.contest, contests());
    };
    let rows = rows(contest, &options.rows)?;
    let programs = Programs {
        ours: options.nsqd,
        nsq_to_nsq: options.nsq_to_nsq,
        go: options.go_nsqd,
        nats: options.nats_server,
        redis: options.redis_server,
    };
    let machine = Machine::bind()?;
    let mut entrants = Vec::new();
    for contestant in contest.contestants {
        entrants.push(Entrant::start(contestant, &programs)?);
    }
    let samples = rounds::run(&mut entrants, &rows, scale, progress)?;
    progress("");
    let report = Report {
        machine,
        contest: contest.key,
        judged: contest.contestants.last().map_or("", |judged| judged.name),
        rounds: scale.rounds,
        message_bytes: MESSAGE_BYTES,
        lines: report::lines(contest, &rows, &samples),
    };
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    print!("{}", table::render(&report, options.markdown));
    Ok(())
}

/// How much of something costs how much.
fn measure_scale(options: &Options) -> Result<()> {
    let much = if options.quick {
        scale::QUICK
    } else {
        scale::FULL
    };
    let (ours, go) = (&options.nsqd, &options.go_nsqd);
    if let Some(key) = options
        .rows
        .iter()
        .find(|key| !scale::keys().contains(&key.as_str()))
    {
        bail!(
            "scale has no row {key:?}: there are {}",
            scale::keys().join(", ")
        );
    }
    let outcome = scale::run(ours, go, much, &options.rows, progress)?;
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&outcome)?;
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    if let Some(file) = &options.report {
        let text = format!("{SCALE_PAGE}{}", scale::render(&outcome, true));
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    print!("{}", scale::render(&outcome, options.markdown));
    Ok(())
}

/// What stands above the table in `docs/scale.md`.
const SCALE_PAGE: &str = "# What much costs\n\nWritten by `cargo xtask bench scale --report docs/scale.md`, beside the Go nsqd 1.3.0 on the same machine.\n\n";

/// The rows asked for, or all.
fn rows(contest: &'static Contest, keys: &[String]) -> Result<Vec<&'static Row>> {
    for key in keys {
        if !contest.rows.iter().any(|row| row.key == key) {
            bail!("{} has no row {key:?}\n{}", contest.key, contests());
        }
    }
    let asked = |row: &&Row| keys.is_empty() || keys.iter().any(|key| key == row.key);
    Ok(contest.rows.iter().filter(asked).collect())
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
