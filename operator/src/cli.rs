//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::api::{all_crds, crd_to_yaml};
use crate::demo;
use crate::dev::{self, Output};
use crate::runtime;

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
    /// Show on this machine what the death of a node costs: numbered messages, a kill, a live count
    Demo(DemoArgs),
    /// Run the controllers in or against a Kubernetes cluster
    Run(RunArgs),
    /// Print the custom resource definitions
    Crds,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The one namespace to watch [default: all]
    #[arg(long, value_name = "NAMESPACE", env = "WATCH_NAMESPACE")]
    namespace: Option<String>,
    /// Where to serve /metrics, /healthz and /readyz
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Namespace of the Lease that elects the leader [default: this pod's]
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this operator among its replicas [default: host name and process id]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// File with the token that nsqd's HTTP API asks for; read again when it changes
    #[arg(long, value_name = "FILE", env = "NSQD_TOKEN_FILE")]
    nsqd_token_file: Option<PathBuf>,
    /// What to log, such as `info` or `nsq_operator=debug`
    #[arg(long, value_name = "FILTER", env = "LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, clap::Args)]
struct DemoArgs {
    /// Directory of the nsqd, nsqlookupd and nsq_to_nsq binaries [default: beside this program]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Directory for data and logs
    #[arg(long, value_name = "DIR", default_value = "nsq-demo")]
    data_dir: PathBuf,
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
        Command::Demo(args) => {
            demo::run(demo::Options {
                binaries: args.bin_dir,
                data: args.data_dir,
            })
            .await
        }
        Command::Run(args) => {
            log_to_stderr(&args.log)?;
            runtime::run(runtime::Options {
                namespace: args.namespace,
                http_address: args.http_address,
                lease_namespace: args.lease_namespace,
                identity: args.identity.unwrap_or_else(identity),
                nsqd_token_file: args.nsqd_token_file,
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

fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn identity() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}-{}", std::process::id())
}
