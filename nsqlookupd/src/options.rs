//! nsqlookupd's options: those of NSQ 1.3, and what protects its HTTP API.

use std::ffi::OsString;
use std::time::Duration;

use nsq_daemon::Stop;
use nsq_daemon::log::{LogFormat, LogLevel};
use nsq_daemon::options::{Command, Opt, Parsed};

/// Everything nsqlookupd can be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub log_level: LogLevel,
    pub log_prefix: String,
    pub log_format: LogFormat,
    /// `host:port` or the path of a unix socket.
    pub tcp_address: String,
    /// As `tcp_address`; empty for none.
    pub http_address: String,
    /// As `tcp_address`; empty for none.
    pub https_address: String,
    /// As `tcp_address`; empty for none.
    pub http_read_only_address: String,
    /// As `tcp_address`; empty for none.
    pub external_http_address: String,
    pub external_addresses: String,
    pub http_token_file: String,
    pub tls_cert: String,
    pub tls_key: String,
    pub tls_client_auth_policy: String,
    pub tls_root_ca_file: String,
    /// Connections of nsqds at once; 0: as many as usual.
    pub max_connections: u64,
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
        let options = vec![
            Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
                "how much to log: debug, info, warn, error or fatal"),
            Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, text("[nsqlookupd] "),
                "what every log line starts with"),
            Opt::value("tcp-address", |o: &mut O| &mut o.tcp_address, text("0.0.0.0:4160"),
                "<addr>:<port> where nsqd connects"),
            Opt::value("http-address", |o: &mut O| &mut o.http_address, text("0.0.0.0:4161"),
                "<addr>:<port> where HTTP clients connect; empty for none"),
            Opt::value("broadcast-address", |o: &mut O| &mut o.broadcast_address, text(hostname),
                "address of this node told to nsqd; by default the OS hostname"),
            Opt::value("inactive-producer-timeout", |o: &mut O| &mut o.inactive_producer_timeout, Duration::from_secs(300),
                "how long an nsqd may be silent before it is no longer shown"),
            Opt::value("tombstone-lifetime", |o: &mut O| &mut o.tombstone_lifetime, Duration::from_secs(45),
                "how long a tombstone hides an nsqd from the lookups of a topic"),
            Opt::config_file(),
            Opt::version(),
            Opt::deprecated("verbose", "[deprecated] without effect, see -log-level"),
        ];
        let group = |options: Vec<Opt<Self>>, group| options.into_iter().map(move |opt| opt.group(group));
        let options = group(options, "As in NSQ");
        Command::new("nsqlookupd", options.chain(group(Self::protection(), "What NSQ has not")).collect())
    }

    /// What NSQ has not.
    #[rustfmt::skip] // a table: one option, two lines
    fn protection() -> Vec<Opt<Self>> {
        type O = Options;
        let text = str::to_owned;
        vec![
            Opt::value("log-format", |o: &mut O| &mut o.log_format, LogFormat::Nsq,
                "nsq: lines of text as NSQ writes them; json: one JSON object a line"),
            Opt::value("https-address", |o: &mut O| &mut o.https_address, text(""),
                "<addr>:<port> where HTTPS clients connect; needs tls-cert and tls-key"),
            Opt::value("http-read-only-address", |o: &mut O| &mut o.http_read_only_address, text(""),
                "<addr>:<port> where lookups, probes and monitoring are answered without token or certificate, and nothing else; nsqds are told to ask there"),
            Opt::value("external-http-address", |o: &mut O| &mut o.external_http_address, text(""),
                "<addr>:<port> where clients outside ask, over TLS if there is a certificate: as http-read-only-address, with the addresses of external-addresses"),
            Opt::value("external-addresses", |o: &mut O| &mut o.external_addresses, text(""),
                "file with the addresses of nsqds outside, one a line: BROADCAST_ADDRESS EXTERNAL_ADDRESS TCP_PORT HTTP_PORT; others are not shown there; read again when it changes"),
            Opt::value("http-token-file", |o: &mut O| &mut o.http_token_file, text(""),
                "file with tokens, one a line: HTTP and HTTPS requests need one (Authorization: Bearer); read again when it changes"),
            Opt::value("tls-cert", |o: &mut O| &mut o.tls_cert, text(""),
                "file with the server's certificate; read again when it changes"),
            Opt::value("tls-key", |o: &mut O| &mut o.tls_key, text(""),
                "file with the certificate's key"),
            Opt::value("tls-client-auth-policy", |o: &mut O| &mut o.tls_client_auth_policy, text(""),
                "what is asked of HTTPS clients' certificates: require or require-verify"),
            Opt::value("tls-root-ca-file", |o: &mut O| &mut o.tls_root_ca_file, text(""),
                "file with the authorities that sign clients' certificates"),
            Opt::value("max-connections", |o: &mut O| &mut o.max_connections, 0,
                "connections of nsqds at once, more wait; 0: 10,000"),
        ]
    }

    /// # Errors
    /// What contradicts itself, for whoever set it.
    fn check(&self) -> Result<(), String> {
        let policy = self.tls_client_auth_policy.as_str();
        if !matches!(policy, "" | "require" | "require-verify") {
            return Err(format!(
                "--tls-client-auth-policy must be require or require-verify, not {policy:?}"
            ));
        }
        if self.tls_cert.is_empty() != self.tls_key.is_empty() {
            return Err("--tls-cert and --tls-key must be given together".to_owned());
        }
        if self.https_address.is_empty() != self.tls_cert.is_empty() {
            return Err("--https-address and --tls-cert must be given together".to_owned());
        }
        if self.external_http_address.is_empty() != self.external_addresses.is_empty() {
            return Err(
                "--external-http-address and --external-addresses must be given together"
                    .to_owned(),
            );
        }
        if policy == "require-verify" && self.tls_root_ca_file.is_empty() {
            return Err(
                "--tls-client-auth-policy=require-verify needs --tls-root-ca-file".to_owned(),
            );
        }
        Ok(())
    }

    /// Reads a command line, without the program's name, and the config file it names.
    ///
    /// # Errors
    /// A reason to end instead of starting.
    pub fn from_args<A: Into<OsString>>(
        hostname: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Parsed<Self>, Stop> {
        let parsed = Self::command(hostname).parse(args)?;
        parsed.options.check().map_err(Stop::Fatal)?;
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    /// What NSQ has not.
    const OURS: &[&str] = &[
        "-external-",
        "-http-read-only-address",
        "-http-token-file",
        "-https-address",
        "-log-format",
        "-max-connections",
        "-tls-",
    ];

    #[test]
    fn the_documentation_is_up_to_date() {
        let written = include_str!("../../docs/options.md");
        let now = Options::command("hostname").markdown();
        assert!(written.ends_with(&now), "stale: run `cargo xtask docs`");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |args: &[&str]| Options::from_args("vm", args).is_err();
        assert!(!refused(&[]));
        assert!(refused(&["--tls-cert=c"]));
        assert!(refused(&["--external-http-address=:0"]));
        assert!(refused(&["--tls-cert=c", "--tls-key=k"]));
        assert!(refused(&["--https-address=:0"]));
        assert!(refused(&["--tls-client-auth-policy=other"]));
        let tls = ["--tls-cert=c", "--tls-key=k", "--https-address=:0"];
        assert!(!refused(&tls));
        let verify = [&tls[..], &["--tls-client-auth-policy=require-verify"]].concat();
        assert!(refused(&verify));
    }

    #[test]
    fn usage_has_nsqs_flags_types_and_defaults() {
        let usage = Options::command("vm").usage();
        let mut lines = usage.lines().skip(1);
        let mut found = vec![];
        while let (Some(head), Some(help)) = (lines.next(), lines.next()) {
            let default = help.rsplit_once(" (default ").map_or("", |(_, rest)| rest);
            if OURS.iter().any(|ours| head.trim().starts_with(ours)) {
                continue;
            }
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
