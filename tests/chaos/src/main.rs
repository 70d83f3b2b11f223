//! Real servers under real faults, judged by the auditor.

mod consumer;
mod depth;
mod finding;
mod load;
mod machine;
mod publisher;
mod report;
mod rows;
mod stage;
mod volume;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use report::{Done, Made};
use rows::{ROWS, Row, Setting};

#[derive(Parser)]
#[command(about = "nsqd under real faults", after_help = rows_help())]
struct Options {
    /// a row of the matrix, or all
    row: String,
    /// our nsqd
    #[arg(long)]
    nsqd: PathBuf,
    /// our nsq_to_nsq, for the rows with two nodes
    #[arg(long)]
    nsq_to_nsq: Option<PathBuf>,
    /// our nsqlookupd, for the row where nodes ask it about each other
    #[arg(long)]
    nsqlookupd: Option<PathBuf>,
    /// the Go nsqlookupd, which is asked as well then
    #[arg(long)]
    go_nsqlookupd: Option<PathBuf>,
    /// our nsqd, linked dynamically: for the row that lies to it about the time
    #[arg(long)]
    dynamic_nsqd: Option<PathBuf>,
    /// the Go nsqd, which is the control: the same rig must see it break promises
    #[arg(long)]
    go_nsqd: Option<PathBuf>,
    /// how often a row's fault is made, instead of the row's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    cycles: Option<u32>,
    /// the long form of each row
    #[arg(long)]
    long: bool,
    /// makes the same moments again; at random if not given
    #[arg(long)]
    seed: Option<u64>,
    /// keep the data of a failed run
    #[arg(long)]
    keep: bool,
    /// what cannot be run here is a failure
    #[arg(long)]
    strict: bool,
    /// writes the outcomes into the table of this Markdown file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn rows_help() -> String {
    let rows = ROWS.iter().map(|row| {
        let Row {
            name,
            about,
            rounds,
            slice,
            long,
            ..
        } = row;
        format!("\n  {name:15} {about} ({slice} {rounds}; --long: {long})")
    });
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
    machine::enter_namespace();
    let seed = options.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let setting = Setting {
        nsqd: options.nsqd,
        nsq_to_nsq: options.nsq_to_nsq,
        nsqlookupd: options.nsqlookupd,
        go_nsqlookupd: options.go_nsqlookupd,
        dynamic_nsqd: options.dynamic_nsqd,
        go_nsqd: options.go_nsqd,
        seed,
        keep: options.keep,
        progress,
    };
    let mut made = Vec::new();
    for row in rows {
        let rounds = match (options.cycles, options.long) {
            (Some(cycles), _) => cycles as usize,
            (None, true) => row.long,
            (None, false) => row.slice,
        };
        let done = make(row, &setting, rounds);
        progress("");
        let one = Made { row, rounds, done };
        match options.output {
            Output::Table => print!("{}", report::lines(&one)),
            Output::Json => println!("{}", report::json(&one, seed)),
        }
        made.push(one);
    }
    if let Some(path) = &options.report {
        report::write(path, &made, seed)?;
    }
    Ok(code(&made, seed, options.strict))
}

fn make(row: &Row, setting: &Setting, rounds: usize) -> Done {
    if let Some(why) = row.needs.iter().find_map(|need| need.missing()) {
        return Done::NotRun(why);
    }
    let began = Instant::now();
    match (row.run)(setting, rounds) {
        Ok(outcome) => Done::Run(outcome, began.elapsed()),
        Err(error) => Done::Failed(format!("{error:#}")),
    }
}

fn code(made: &[Made<'_>], seed: u64, strict: bool) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for one in made {
        let name = one.row.name;
        match &one.done {
            Done::NotRun(why) => {
                eprintln!("!!! NOT RUN, so NOT tested: {name}: {why}");
                if strict {
                    code = ExitCode::FAILURE;
                }
            }
            _ if one.is_good() => {}
            _ => {
                eprintln!(
                    "FAILED {name}: cargo xtask chaos {name} --seed {seed} --keep makes it again"
                );
                code = ExitCode::FAILURE;
            }
        }
    }
    code
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
