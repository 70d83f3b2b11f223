//! The flags of this mode.

use std::ffi::OsString;
use std::time::Duration;

use nsq_daemon::Stop;
use nsq_daemon::log::LogLevel;
use nsq_daemon::options::{Command, Opt};

use crate::connect::{Access, NeedsAccess};

/// What `nsq_to_nsq --relocate` can be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub log_level: LogLevel,
    pub log_prefix: String,
    relocate: bool,
    /// `host:port` of the nsqds that messages leave: one.
    sources: Vec<String>,
    /// `host:port` of those they go to.
    pub targets: Vec<String>,
    /// None: all.
    pub topics: Vec<String>,
    /// How long to wait for messages that consumers hold, without any progress.
    pub wait: Duration,
    output: String,
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
        let mut table = vec![
            Opt::value("relocate", |o: &mut O| &mut o.relocate, false,
                "move the unfinished messages of one nsqd to others: id, timestamp, attempts, due time and finished channels stay"),
            Opt::value("nsqd-tcp-address", |o: &mut O| &mut o.sources, vec![],
                "<addr>:<port> of the nsqd that messages leave"),
            Opt::value("destination-nsqd-tcp-address", |o: &mut O| &mut o.targets, vec![],
                "<addr>:<port> of an nsqd they go to; may be given several times"),
            Opt::value("topic", |o: &mut O| &mut o.topics, vec![],
                "only this topic; may be given several times"),
            Opt::value("wait", |o: &mut O| &mut o.wait, Duration::from_secs(60),
                "how long to wait for messages that consumers hold, without any progress"),
            Opt::value("o", |o: &mut O| &mut o.output, "text".to_owned(),
                "what is told at the end: text or json"),
        ];
        table.extend(Access::table());
        table.extend([
            Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
                "how much to log: debug, info, warn, error or fatal"),
            Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, "[nsq_to_nsq] ".to_owned(),
                "what every log line starts with"),
            Opt::config_file(),
            Opt::version(),
        ]);
        Command::new("nsq_to_nsq", table)
    }

    /// The nsqd that messages leave.
    pub fn source(&self) -> &str {
        self.sources.first().map_or("", String::as_str)
    }

    /// The end is told in JSON.
    pub fn is_json(&self) -> bool {
        self.output == "json"
    }

    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// A reason to end instead of starting.
    pub fn from_args(args: Vec<OsString>) -> Result<Self, Stop> {
        let options = Self::command().parse(args)?.options;
        let wrong = match () {
            () if options.sources.len() != 1 => {
                "--relocate needs one --nsqd-tcp-address, that of the nsqd to be emptied"
            }
            () if options.targets.is_empty() => "--relocate needs --destination-nsqd-tcp-address",
            () if options.targets.contains(&options.sources[0]) => {
                "--nsqd-tcp-address is a --destination-nsqd-tcp-address as well"
            }
            () if !matches!(options.output.as_str(), "text" | "json") => "-o must be text or json",
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
    fn one_source_and_other_targets() {
        let good = parse(&[
            "--relocate",
            "--nsqd-tcp-address=a:1",
            "--destination-nsqd-tcp-address=b:1",
            "--destination-nsqd-tcp-address=c:1",
            "-o",
            "json",
        ]);
        let good = good.map(|good| (good.source().to_owned(), good.targets.len(), good.is_json()));
        assert_eq!(good.ok(), Some(("a:1".to_owned(), 2, true)));
        for bad in [
            &["--relocate"][..],
            &["--relocate", "--nsqd-tcp-address=a:1"],
            &[
                "--nsqd-tcp-address=a:1",
                "--destination-nsqd-tcp-address=a:1",
            ],
            &["--destination-nsqd-tcp-address=a:1"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
