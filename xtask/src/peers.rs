//! Servers of others that we are measured against, beside the Go originals of NSQ.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::go_nsq::cache;
use crate::packages;
use crate::workspace::run;

const NATS: &str = "github.com/nats-io/nats-server/v2";
const NATS_VERSION: &str = "v2.15.2";

const REDIS: &str = "redis-server";

/// The NATS server, built by Go into the user's cache unless it is there.
///
/// # Errors
/// When Go is missing or cannot fetch it.
pub fn nats() -> Result<PathBuf> {
    let directory = cache()?
        .join("nsq-peers")
        .join(format!("nats-{NATS_VERSION}"));
    let program = directory.join("nats-server");
    if !program.is_file() {
        let mut command = Command::new("go");
        command
            .env("GOBIN", &directory)
            .env("CGO_ENABLED", "0")
            .args(["install", "-trimpath", &format!("{NATS}@{NATS_VERSION}")]);
        run(&mut command).context("the NATS server is built with Go (https://go.dev/dl)")?;
    }
    Ok(program)
}

/// The Redis server of this machine, installed where that is Debian and we are root.
///
/// # Errors
/// When there is none and none can be installed.
pub fn redis() -> Result<PathBuf> {
    packages::install(&[(REDIS, REDIS)])?;
    packages::find(REDIS).context("redis-server was installed, but not where PATH leads")
}
