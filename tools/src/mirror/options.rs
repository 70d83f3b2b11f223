//! The flags of this mode.

use std::ffi::OsString;

use nsq_daemon::Stop;
use nsq_daemon::log::LogLevel;
use nsq_daemon::options::{Command, Opt};

use crate::connect::{Access, NeedsAccess};

/// What `nsq_to_nsq --mirror` can be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub log_level: LogLevel,
    pub log_prefix: String,
    mirror: bool,
    /// `host:port` of the nsqd whose journal is copied.
    pub origin: String,
    /// `host:port` of the nsqd that keeps the copy.
    pub holder: String,
    pub access: Access,
}

impl NeedsAccess for Options {
    fn access(&mut self) -> &mut Access {
        &mut self.access
    }
}

impl Options {
    #[rustfmt::skip] // a table: one option, two lines
    fn command() -> Command<Self> {
        type O = Options;
        let text = str::to_owned;
        let mut table = vec![
            Opt::value("mirror", |o: &mut O| &mut o.mirror, false,
                "carry the journal of one node of a pair to the other, instead of messages"),
            Opt::value("origin-tcp-address", |o: &mut O| &mut o.origin, text(""),
                "<addr>:<port> of the nsqd whose journal is copied"),
            Opt::value("holder-tcp-address", |o: &mut O| &mut o.holder, text("127.0.0.1:4150"),
                "<addr>:<port> of the nsqd that keeps the copy"),
        ];
        table.extend(Access::table());
        table.extend([
            Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
                "how much to log: debug, info, warn, error or fatal"),
            Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, text("[nsq_to_nsq] "),
                "what every log line starts with"),
            Opt::config_file(),
            Opt::version(),
        ]);
        Command::new("nsq_to_nsq", table)
    }

    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// A reason to end instead of starting.
    pub fn from_args(args: Vec<OsString>) -> Result<Self, Stop> {
        let options = Self::command().parse(args)?.options;
        let wrong = match () {
            () if options.origin.is_empty() => "--mirror needs --origin-tcp-address",
            () if options.origin == options.holder => {
                "--origin-tcp-address and --holder-tcp-address are the same nsqd"
            }
            () => match options.access.wrong() {
                Some(wrong) => wrong,
                None => return Ok(options),
            },
        };
        Err(Stop::Fatal(wrong.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, Stop> {
        Options::from_args(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn both_ends_have_to_be_told_apart() {
        let good = parse(&["--mirror", "--origin-tcp-address=a:4150"]);
        assert_eq!(
            good.map(|options| options.holder).ok().as_deref(),
            Some("127.0.0.1:4150")
        );
        for bad in [
            &["--mirror"][..],
            &["--mirror", "--origin-tcp-address=127.0.0.1:4150"],
            &["--mirror", "--origin-tcp-address=a:1", "--tls"],
            &["--mirror", "--origin-tcp-address=a:1", "--tls-cert=x"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
