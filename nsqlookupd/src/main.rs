//! The program: options, a runtime, a signal.

use std::process::ExitCode;

use nsq_daemon::options::Parsed;
use nsq_daemon::version::version_text;
use nsq_daemon::{Stop, identity, log, open_files, shutdown};
use nsqlookupd::Nsqlookupd;
use nsqlookupd::options::Options;

fn main() -> ExitCode {
    let parsed = match Options::from_args(&identity::hostname(), std::env::args_os().skip(1)) {
        Ok(parsed) => parsed,
        Err(stop) => return stop.report("[nsqlookupd] "),
    };
    match run(&parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => Stop::Fatal(format!("failed to instantiate nsqlookupd - {err}"))
            .report(&parsed.options.log_prefix),
    }
}

#[tokio::main]
async fn run(parsed: &Parsed<Options>) -> anyhow::Result<()> {
    let options = &parsed.options;
    log::init(&options.log_prefix, options.log_level, options.log_format);
    open_files::raise_limit();
    tracing::info!("{}", version_text("nsqlookupd"));
    let signalled = shutdown::signalled()?;
    let daemon = Nsqlookupd::start(options).await?;
    tracing::info!("{}: stopping", signalled.await);
    daemon.stop().await;
    Ok(())
}
