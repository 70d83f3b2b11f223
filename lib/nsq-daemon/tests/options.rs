//! Flags, config file, precedence, and what a wrong one says.

#![allow(clippy::unwrap_used)] // a test may

use std::io::Write as _;
use std::time::Duration;

use nsq_daemon::Stop;
use nsq_daemon::log::LogLevel;
use nsq_daemon::options::{Command, Opt, Parsed};

#[derive(Debug, Clone, Default, PartialEq)]
struct Options {
    http_address: String,
    id: i64,
    level: LogLevel,
    lookupds: Vec<String>,
    percentiles: Vec<f64>,
    snappy: bool,
    timeout: Duration,
    unused: bool,
}

fn command() -> Command<Options> {
    type O = Options;
    Command::new(
        "demod",
        vec![
            Opt::value("node-id", |o: &mut O| &mut o.id, 617, "who").key("id"),
            Opt::value(
                "http-address",
                |o: &mut O| &mut o.http_address,
                "h:1".into(),
                "where",
            ),
            Opt::value(
                "log-level",
                |o: &mut O| &mut o.level,
                LogLevel::Info,
                "how much",
            ),
            Opt::value(
                "lookupd-tcp-address",
                |o: &mut O| &mut o.lookupds,
                vec![],
                "whom",
            )
            .key("nsqlookupd_tcp_addresses"),
            Opt::value(
                "percentile",
                |o: &mut O| &mut o.percentiles,
                vec![],
                "which",
            ),
            Opt::value("snappy", |o: &mut O| &mut o.snappy, true, "packed"),
            Opt::value(
                "timeout",
                |o: &mut O| &mut o.timeout,
                Duration::from_secs(60),
                "how long",
            ),
            Opt::value("unused", |o: &mut O| &mut o.unused, false, "nothing").superseded("better"),
            Opt::config_file(),
            Opt::version(),
            Opt::deprecated("verbose", "[deprecated] see -log-level"),
        ],
    )
}

fn parse(args: &[&str]) -> Result<Parsed<Options>, Stop> {
    command().parse(args)
}

fn options(args: &[&str]) -> Options {
    parse(args).unwrap().options
}

fn reason(args: &[&str]) -> String {
    match parse(args).unwrap_err() {
        Stop::Usage { reason, usage } => {
            assert!(usage.starts_with(
                "Usage of demod:\n  -config string\n    \tTOML file to read options from\n"
            ));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_spelling_of_a_flag() {
    for args in [
        &["-node-id", "7"][..],
        &["-node-id=7"],
        &["--node-id", "7"],
        &["--node-id=7"],
    ] {
        assert_eq!(options(args).id, 7, "{args:?}");
    }
    assert_eq!(options(&["-node-id", "-3"]).id, -3);
    assert_eq!(
        options(&["-node-id=1", "-node-id=2"]).id,
        2,
        "the last one wins"
    );
    assert_eq!(options(&["-http-address="]).http_address, "");
    assert_eq!(options(&["-http-address=a=b"]).http_address, "a=b");
}

#[test]
fn switches_take_no_word() {
    for text in ["false", "f", "F", "0", "FALSE"] {
        assert!(!options(&[&format!("--snappy={text}")]).snappy);
    }
    assert!(options(&["--snappy"]).snappy);
    // "false" is no flag, so it ends them, and what follows is not read.
    let read = options(&["--snappy", "false", "--node-id=1"]);
    assert_eq!((read.snappy, read.id), (true, 617));
    assert!(parse(&["--verbose", "--verbose=true"]).is_ok());
}

#[test]
fn flags_end_at_the_first_other_word() {
    for end in ["--", "-", "word", ""] {
        assert_eq!(
            options(&["-node-id=1", end, "-node-id=2", "--bogus"]).id,
            1,
            "{end:?}"
        );
    }
}

#[test]
fn lists_collect() {
    let read = options(&["-lookupd-tcp-address=a:1", "--lookupd-tcp-address", "b:1"]);
    assert_eq!(read.lookupds, ["a:1", "b:1"]);
    let read = options(&["-percentile=0.95,1.0", "-percentile=0.99"]);
    assert_eq!(read.percentiles, [1.0, 0.99, 0.95]);
}

#[test]
fn wrong_flags_say_what_is_wrong() {
    assert_eq!(
        reason(&["--bogus"]),
        "flag provided but not defined: -bogus"
    );
    assert_eq!(reason(&["--node-id"]), "flag needs an argument: -node-id");
    assert_eq!(reason(&["--=x"]), "bad flag syntax: --=x");
    assert_eq!(reason(&["---x"]), "bad flag syntax: ---x");
    assert_eq!(
        reason(&["-log-level=bogus"]),
        "invalid value \"bogus\" for flag -log-level: \
         invalid log level 'bogus' (debug, info, warn, error, fatal)"
    );
    assert_eq!(
        reason(&["-snappy=maybe"]),
        "invalid boolean value \"maybe\" for -snappy: expected true or false"
    );
    assert!(
        reason(&["-timeout=5"]).starts_with("invalid value \"5\" for flag -timeout: missing unit")
    );
}

#[test]
fn help_and_version_end_the_program() {
    for help in ["-h", "--h", "-help", "--help"] {
        assert!(matches!(parse(&[help]), Err(Stop::Help(_))), "{help}");
    }
    let Err(Stop::Version(text)) = parse(&["--version"]) else {
        panic!()
    };
    assert!(text.starts_with("demod v1.3.0 (built w/rust1."), "{text}");
    assert!(parse(&["--version=false"]).is_ok());
}

#[test]
fn usage_is_sorted_with_types_and_defaults() {
    assert_eq!(
        command().usage(),
        "Usage of demod:
  -config string
    \tTOML file to read options from
  -http-address string
    \twhere (default \"h:1\")
  -log-level value
    \thow much (default INFO)
  -lookupd-tcp-address value
    \twhom
  -node-id int
    \twho (default 617)
  -percentile value
    \twhich
  -snappy
    \tpacked (default true)
  -timeout duration
    \thow long (default 1m0s)
  -unused
    \tnothing
  -verbose
    \t[deprecated] see -log-level
  -version
    \tprint the version and exit
"
    );
}

fn config(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let flag = format!("--config={}", file.path().display());
    (file, flag)
}

#[test]
fn config_file_stands_between_command_line_and_default() {
    let (_file, flag) = config(
        "id = 3\nnode_id = 4\ntimeout = 1500\nsnappy = false\nlog_level = \"debug\"\n\
         nsqlookupd_tcp_addresses = [\"a:1\"]\nunknown = 1\n[section]\nx = 1\n",
    );
    let read = options(&[&flag]);
    assert_eq!(
        (read.id, read.timeout, read.snappy),
        (3, Duration::from_millis(1500), false)
    );
    assert_eq!(
        (read.level, read.http_address.as_str()),
        (LogLevel::Debug, "h:1")
    );
    assert_eq!(read.lookupds, ["a:1"]);

    let read = options(&["-lookupd-tcp-address=b:1", &flag, "-node-id=5"]);
    assert_eq!(read.id, 5);
    assert_eq!(
        read.lookupds,
        ["b:1"],
        "the command line replaces the file's list"
    );
}

#[test]
fn wrong_config_files_are_fatal() {
    let fatal = |args: &[&str]| match parse(args).unwrap_err() {
        Stop::Fatal(message) => message,
        other => panic!("{other:?}"),
    };
    assert!(
        fatal(&["--config=/nonexistent.cfg"])
            .starts_with("failed to load config file /nonexistent.cfg - No such file")
    );
    let (_file, flag) = config("id = 1\nid = [");
    assert!(
        fatal(&[&flag]).contains(" - line 2: "),
        "{}",
        fatal(&[&flag])
    );
    let (_file, flag) = config("timeout = true");
    assert!(fatal(&[&flag]).ends_with("timeout: expected a duration like \"30s\", not boolean"));
    assert!(parse(&["--config="]).is_ok(), "an empty path is none");
}

#[test]
fn superseded_options_are_named_when_given() {
    assert_eq!(parse(&[]).unwrap().remarks(), [""; 0]);
    let given = parse(&["-unused"]).unwrap();
    assert_eq!(given.superseded, [("unused", "better")]);
    assert_eq!(given.remarks(), ["--unused is not needed: better"]);
    let (_file, flag) = config("unused = false");
    let given = parse(&[&flag]).unwrap();
    assert_eq!(given.superseded, [("unused", "better")]);
}

#[test]
fn values_by_config_key() {
    let command = command();
    let read = options(&["-lookupd-tcp-address=a:1"]);
    let json = |key| command.json(&read, key).map(|value| value.to_string());
    assert_eq!(json("nsqlookupd_tcp_addresses").unwrap(), r#"["a:1"]"#);
    assert_eq!(json("log_level").unwrap(), "2");
    assert_eq!(json("timeout").unwrap(), "60000000000");
    assert_eq!(json("id").unwrap(), "617");
    for unknown in ["verbose", "config", "version", "node_id", "nope"] {
        assert_eq!(json(unknown), None, "{unknown}");
    }
}
