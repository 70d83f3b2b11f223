//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::api::{all_crds, crd_to_yaml};
use crate::dev::{self, Output};

/// Runs NSQ clusters on Kubernetes, and on this machine.
#[derive(Debug, Parser)]
#[command(name = "nsq-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a manifest as processes on this machine, without Kubernetes
    Dev(DevArgs),
    /// Print the custom resource definitions
    Crds,
}

#[derive(Debug, clap::Args)]
struct DevArgs {
    /// Manifest with NsqClusters and NsqTopics; edits are applied as they are saved
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Directory of the nsqd and nsqlookupd binaries [default: beside this program]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Directory for data and logs
    #[arg(long, value_name = "DIR", default_value = "nsq-dev")]
    data_dir: PathBuf,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t = Output::Auto)]
    output: Output,
}

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps the command from being done, as a sentence for the person who gave it.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Dev(args) => {
            dev::run(dev::Options {
                manifest: args.file,
                binaries: args.bin_dir,
                data: args.data_dir,
                output: args.output,
            })
            .await
        }
        Command::Crds => {
            for crd in all_crds()? {
                print!("---\n{}", crd_to_yaml(&crd)?);
            }
            Ok(())
        }
    }
}
