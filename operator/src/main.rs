//! nsq-operator's entry; everything is in the library.

use std::process::ExitCode;

use clap::Parser;
use nsq_operator::cli::{Cli, run};
use tikv_jemallocator::Jemalloc;

/// What is free goes back to the kernel within a second: `.cargo/config.toml` tells the allocator so when it is built.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{err:#}");
            ExitCode::FAILURE
        }
    }
}
