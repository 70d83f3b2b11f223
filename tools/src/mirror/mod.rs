//! `nsq_to_nsq --mirror`: reads the journal of one nsqd (the origin) and writes it to its peer (the holder), which
//! it usually runs beside. It decides nothing: it checks what it carries, and begins anew when a link breaks.

mod options;
mod relay;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use nsq_daemon::{Stop, log, shutdown};
use nsq_protocol::PairRole;

use crate::connect::{self, Feature};

pub use crate::connect::{ConnectError, introduce, link};
pub use options::Options;
pub use relay::{RelayError, relay};

/// How soon a broken link is tried again, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The program in this mode.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let options = match Options::from_args(args) {
        Ok(options) => options,
        Err(stop) => return stop.report("[nsq_to_nsq] "),
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Stop::Fatal(error.to_string()).report(&options.log_prefix),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(options: &Options) -> anyhow::Result<()> {
    log::init(&options.log_prefix, options.log_level, log::LogFormat::Nsq);
    let signalled = shutdown::signalled()?;
    tokio::select! {
        signal = signalled => {
            tracing::info!("{signal}: stopping");
            Ok(())
        }
        error = carry_on(options) => Err(error),
    }
}

/// Relays for ever; returns when that makes no sense.
async fn carry_on(options: &Options) -> anyhow::Error {
    // A mistake at the start; later they may be half exchanged.
    if let Err(error) = connect::tls(&options.access) {
        return error.into();
    }
    let mut pause = BACK_OFF.0;
    loop {
        let began = tokio::time::Instant::now();
        let ended = carry(options).await;
        // A link that held for a while is tried again at once.
        pause = match began.elapsed() > BACK_OFF.1 {
            true => BACK_OFF.0,
            false => (pause * 2).min(BACK_OFF.1),
        };
        match ended {
            Ok(()) => tracing::info!("the link is closed, again in {pause:?}"),
            Err(error) => tracing::warn!("{error:#}, again in {pause:?}"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// One link, until it ends.
///
/// # Errors
/// Why there is none, or why it ended.
pub async fn carry(options: &Options) -> anyhow::Result<()> {
    // Read for each link: certificates are renewed, and authorities exchanged.
    let tls = connect::tls(&options.access)?;
    let tls = tls.as_ref();
    let secret = options.access.auth_secret.as_str();
    let origin = connect::connect(&options.origin, tls, Feature::Pair).await?;
    let origin = link(origin, PairRole::Origin, secret).await?;
    let holder = connect::connect(&options.holder, tls, Feature::Pair).await?;
    let holder = link(holder, PairRole::Holder, secret).await?;
    tracing::info!("mirroring {} to {}", options.origin, options.holder);
    relay(origin, holder).await?;
    Ok(())
}
