//! The program: options, a runtime, a signal.

use std::process::ExitCode;

use nsq_daemon::options::Parsed;
use nsq_daemon::version::version_text;
use nsq_daemon::{Stop, identity, log, open_files, shutdown};
use nsqd::Server;
use nsqd::options::Options;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == "journal" => return nsqd::journal_tool::run(arguments),
        Some(first) if first == "export" => return nsqd::to_go::run(arguments),
        _ => {}
    }
    let parsed = match Options::from_args(&identity::hostname(), std::env::args_os().skip(1)) {
        Ok(parsed) => parsed,
        Err(stop) => return stop.report("[nsqd] "),
    };
    let prefix = parsed.options.log_prefix.clone();
    match run(parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => Stop::Fatal(format!("failed to instantiate nsqd - {err}")).report(&prefix),
    }
}

#[tokio::main]
async fn run(parsed: Parsed<Options>) -> anyhow::Result<()> {
    let remarks = parsed.remarks();
    let options = parsed.options;
    log::init(&options.log_prefix, options.log_level, options.log_format);
    open_files::raise_limit();
    tracing::info!("{}", version_text("nsqd"));
    tracing::info!("ID: {}", options.node_id);
    for remark in remarks {
        tracing::info!("{remark}");
    }
    let mut signalled = std::pin::pin!(shutdown::signalled()?);
    let server = tokio::select! {
        server = Server::start(options) => server?,
        signal = &mut signalled => {
            tracing::info!("{signal}: stopping");
            return Ok(());
        }
    };
    let stop = async { tracing::info!("{}: stopping", signalled.await) };
    server.run(stop).await?;
    Ok(())
}
