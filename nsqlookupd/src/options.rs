//! nsqlookupd's options, those of NSQ 1.3.

use std::ffi::OsString;
use std::time::Duration;

use nsq_daemon::Stop;
use nsq_daemon::log::LogLevel;
use nsq_daemon::options::{Command, Opt, Parsed};

/// Everything nsqlookupd can be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub log_level: LogLevel,
    pub log_prefix: String,
    /// `host:port` or the path of a unix socket.
    pub tcp_address: String,
    /// As `tcp_address`.
    pub http_address: String,
    pub broadcast_address: String,
    pub inactive_producer_timeout: Duration,
    pub tombstone_lifetime: Duration,
}

impl Options {
    /// The table. `hostname` is the default broadcast address.
    #[must_use]
    #[rustfmt::skip] // a table: one option, two lines
    pub fn command(hostname: &str) -> Command<Self> {
        type O = Options;
        let text = str::to_owned;
        Command::new("nsqlookupd", vec![
            Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
                "how much to log: debug, info, warn, error or fatal"),
            Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, text("[nsqlookupd] "),
                "what every log line starts with"),
            Opt::value("tcp-address", |o: &mut O| &mut o.tcp_address, text("0.0.0.0:4160"),
                "<addr>:<port> where nsqd connects"),
            Opt::value("http-address", |o: &mut O| &mut o.http_address, text("0.0.0.0:4161"),
                "<addr>:<port> where HTTP clients connect"),
            Opt::value("broadcast-address", |o: &mut O| &mut o.broadcast_address, text(hostname),
                "address of this node told to nsqd; by default the OS hostname"),
            Opt::value("inactive-producer-timeout", |o: &mut O| &mut o.inactive_producer_timeout, Duration::from_secs(300),
                "how long an nsqd may be silent before it is no longer shown"),
            Opt::value("tombstone-lifetime", |o: &mut O| &mut o.tombstone_lifetime, Duration::from_secs(45),
                "how long a tombstone hides an nsqd from the lookups of a topic"),
            Opt::config_file(),
            Opt::version(),
            Opt::deprecated("verbose", "[deprecated] without effect, see -log-level"),
        ])
    }

    /// Reads a command line, without the program's name, and the config file it names.
    ///
    /// # Errors
    /// A reason to end instead of starting.
    pub fn from_args<A: Into<OsString>>(
        hostname: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Parsed<Self>, Stop> {
        Self::command(hostname).parse(args)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn usage_has_nsqs_flags_types_and_defaults() {
        let usage = Options::command("vm").usage();
        let mut lines = usage.lines().skip(1);
        let mut found = vec![];
        while let (Some(head), Some(help)) = (lines.next(), lines.next()) {
            let default = help.rsplit_once(" (default ").map_or("", |(_, rest)| rest);
            found.push(format!("{} {}", head.trim(), default.trim_end_matches(')')));
        }
        assert_eq!(
            found,
            [
                "-broadcast-address string \"vm\"",
                "-config string ",
                "-http-address string \"0.0.0.0:4161\"",
                "-inactive-producer-timeout duration 5m0s",
                "-log-level value INFO",
                "-log-prefix string \"[nsqlookupd] \"",
                "-tcp-address string \"0.0.0.0:4160\"",
                "-tombstone-lifetime duration 45s",
                "-verbose ",
                "-version ",
            ]
        );
    }
}
