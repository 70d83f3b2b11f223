//! Real servers under real faults, judged by the auditor.

mod consumer;
mod depth;
mod kill;
mod publisher;
mod rows;
mod stage;
mod table;
mod trial;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use rows::{ROWS, Row, Setting};
use serde_json::json;

#[derive(Parser)]
#[command(about = "nsqd under real faults", after_help = rows_help())]
struct Options {
    /// a row of the matrix, or all
    row: String,
    /// our nsqd
    #[arg(long)]
    nsqd: PathBuf,
    /// the Go nsqd, which is the control: the same rig must see it lose messages
    #[arg(long)]
    go_nsqd: Option<PathBuf>,
    /// kills
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cycles: u32,
    /// kills of the control, at most
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    control_cycles: u32,
    /// makes the same moments again; at random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// durability level of ours
    #[arg(long, default_value = "write", value_parser = ["memory", "write", "fsync"])]
    durability: String,
    /// keep the data of a failed run
    #[arg(long)]
    keep: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn rows_help() -> String {
    let rows = ROWS
        .iter()
        .map(|row| format!("\n  {:8} {}", row.name, row.about));
    format!("Rows:{}\n  all", rows.collect::<String>())
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| options.row == "all" || options.row == row.name)
        .collect();
    if rows.is_empty() {
        bail!("there is no row {:?}\n{}", options.row, rows_help());
    }
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let setting = Setting {
        nsqd: options.nsqd,
        go_nsqd: options.go_nsqd,
        cycles: options.cycles as usize,
        control_cycles: options.control_cycles.min(options.cycles) as usize,
        seed,
        durability: options.durability,
        keep: options.keep,
        progress,
    };
    let mut outcomes = Vec::new();
    for row in rows {
        outcomes.push((row.name, (row.run)(&setting)?));
    }
    progress("");
    let trials: Vec<_> = outcomes
        .iter()
        .flat_map(|(row, outcome)| {
            let control = outcome.control.as_ref();
            [Some(&outcome.ours), control]
                .into_iter()
                .flatten()
                .map(|trial| (*row, trial))
        })
        .collect();
    match options.output {
        Output::Table => println!("{}", table::render(&trials)),
        Output::Json => {
            let trials = trials
                .iter()
                .map(|(row, trial)| json!({"row": row, "trial": trial}));
            println!(
                "{:#}",
                json!({"seed": seed, "trials": trials.collect::<Vec<_>>()})
            );
        }
    }
    let mut code = ExitCode::SUCCESS;
    for (row, outcome) in &outcomes {
        if !outcome.ours.is_good() {
            eprintln!("FAILED {row}: a promise was broken; --seed {seed} --keep makes it again");
            code = ExitCode::FAILURE;
        }
        if outcome
            .control
            .as_ref()
            .is_some_and(|control| control.lost == 0)
        {
            eprintln!("FAILED {row}: the control lost nothing, so this run proves nothing");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Shows on a terminal what is being done.
fn progress(what: &str) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // A terminal that is gone is no reason to stop.
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    }
}
