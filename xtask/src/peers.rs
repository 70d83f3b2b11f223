//! Servers of others that we are measured against, beside the Go originals of NSQ.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::go_nsq::cache;
use crate::workspace::run;

const NATS: &str = "github.com/nats-io/nats-server/v2";
const NATS_VERSION: &str = "v2.15.2";

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
    let installed = || {
        let places = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"];
        places
            .into_iter()
            .map(PathBuf::from)
            .find(|place| place.is_file())
    };
    if let Some(program) = installed() {
        return Ok(program);
    }
    eprintln!("installing redis-server from Debian's packages");
    // The server itself, without the service that Debian would start.
    let script = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq \
                  --no-install-recommends redis-server >/dev/null";
    let installing = run(Command::new("sh").args(["-c", script]));
    match (installed(), installing) {
        (Some(program), _) => Ok(program),
        (None, Err(error)) => Err(error).context("install redis-server, 7 or newer, and try again"),
        (None, Ok(())) => bail!("redis-server was installed, but not where it is looked for"),
    }
}
