//! `nsqd journal inspect|verify`: what lies in a data path, for people in trouble. Nothing is changed: the data path
//! is opened as a server would open it, on a disk that keeps changes in memory.

mod report;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nsq_journal::{Disk, RealDisk, lock_directory};

use report::Report;

/// Exit code for damage; 2 is for what could not be read at all, as for wrong arguments.
const DAMAGED: u8 = 1;
const UNREADABLE: u8 = 2;

#[derive(Parser)]
#[command(
    name = "nsqd journal",
    about = "What lies in a data path. Nothing is changed."
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show files, records, topics and damage
    Inspect {
        #[command(flatten)]
        of: Of,
        /// Each record that a start would read, a line each
        #[arg(long)]
        records: bool,
    },
    /// Read everything, and tell what is damaged: exit code 1 if anything is
    Verify {
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Args)]
struct Of {
    /// The server's --data-path
    #[arg(long, default_value = ".", value_name = "DIRECTORY")]
    data_path: PathBuf,
    /// For machines
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs the command; `arguments` follow `nsqd journal`.
pub fn run(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let program = std::iter::once("nsqd journal".into());
    let command = Command::parse_from(program.chain(arguments));
    let (of, records, verify) = match &command.verb {
        Verb::Inspect { of, records } => (of, *records, false),
        Verb::Verify { of } => (of, false, true),
    };
    match examine(&of.data_path, records) {
        Ok(report) => {
            let text = match of.output {
                Output::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
                Output::Table if verify => table::verdict(&report),
                Output::Table => table::whole(&report),
            };
            print!("{text}");
            match report.is_damaged() && verify {
                true => ExitCode::from(DAMAGED),
                false => ExitCode::SUCCESS,
            }
        }
        Err(error) => {
            eprintln!("nsqd journal: {}: {error}", of.data_path.display());
            ExitCode::from(UNREADABLE)
        }
    }
}

/// Reads the data path.
///
/// # Errors
/// When it is no data path, or its files cannot be read or were made by a later version.
fn examine(data_path: &Path, records: bool) -> anyhow::Result<Report> {
    let disk: Arc<dyn Disk> = RealDisk::new(data_path);
    let journal = data_path.join("journal");
    std::fs::metadata(&journal).context("there is no journal here")?;
    let in_use = lock_directory(data_path).is_err();
    let mut report = Report::of(&disk, records)?;
    report.in_use = in_use;
    Ok(report)
}

#[cfg(test)]
mod tests;
