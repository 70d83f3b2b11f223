//! What a client can be told: the options of NSQ's own client library, with its names, defaults and ranges, so that
//! `--consumer-opt=max_attempts,10` means what it always meant.

use std::time::Duration;

use nsq_daemon::go_duration;

use crate::backoff::Strategy;

/// See the fields; everything has NSQ's default.
#[derive(Debug, Clone)]
pub struct Config {
    pub dial_timeout: Duration,
    /// A server that is silent for so long is gone.
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    pub lookupd_poll_interval: Duration,
    /// A part of the interval, at most, by which polls are moved.
    pub lookupd_poll_jitter: f64,
    pub lookupd_poll_timeout: Duration,
    /// File with the token for the nsqlookupds.
    pub lookupd_token_file: String,
    pub max_requeue_delay: Duration,
    /// Of one attempt; as many times that as there were attempts.
    pub default_requeue_delay: Duration,
    pub backoff_strategy: Strategy,
    pub backoff_multiplier: Duration,
    /// 0: never back off.
    pub max_backoff_duration: Duration,
    /// A message that comes oftener is given up. 0: never.
    pub max_attempts: u16,
    pub low_rdy_idle_timeout: Duration,
    pub low_rdy_timeout: Duration,
    pub rdy_redistribute_interval: Duration,
    pub client_id: String,
    pub hostname: String,
    pub user_agent: String,
    /// 0: nsqd's own.
    pub heartbeat_interval: Duration,
    /// Percent of the messages; 0: all.
    pub sample_rate: i64,
    pub tls_v1: bool,
    pub tls_cert: String,
    pub tls_key: String,
    /// Empty: the authorities that the system trusts.
    pub tls_root_ca_file: String,
    pub tls_insecure_skip_verify: bool,
    /// `tls1.2` and before: TLS 1.2; `tls1.3`.
    pub tls_min_version: String,
    pub deflate: bool,
    pub deflate_level: u32,
    pub snappy: bool,
    /// 0: nsqd's own; -1: unbuffered.
    pub output_buffer_size: i64,
    /// Milliseconds; 0: nsqd's own; -1: never flushed by time.
    pub output_buffer_timeout: i64,
    pub max_in_flight: u32,
    /// 0: nsqd's own.
    pub msg_timeout: Duration,
    pub auth_secret: String,
}

/// Why an option was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no option {0:?}")]
    Unknown(String),
    #[error("option {name}: {why}")]
    Value { name: String, why: String },
    #[error("{0}")]
    Together(&'static str),
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl Default for Config {
    fn default() -> Self {
        Self {
            dial_timeout: SECOND,
            read_timeout: MINUTE,
            write_timeout: SECOND,
            lookupd_poll_interval: MINUTE,
            lookupd_poll_jitter: 0.3,
            lookupd_poll_timeout: MINUTE,
            lookupd_token_file: String::new(),
            max_requeue_delay: 15 * MINUTE,
            default_requeue_delay: 90 * SECOND,
            backoff_strategy: Strategy::Exponential,
            backoff_multiplier: SECOND,
            max_backoff_duration: 2 * MINUTE,
            max_attempts: 5,
            low_rdy_idle_timeout: 10 * SECOND,
            low_rdy_timeout: 30 * SECOND,
            rdy_redistribute_interval: 5 * SECOND,
            client_id: String::new(),
            hostname: String::new(),
            user_agent: format!("nsq-client/{}", env!("CARGO_PKG_VERSION")),
            heartbeat_interval: 30 * SECOND,
            sample_rate: 0,
            tls_v1: false,
            tls_cert: String::new(),
            tls_key: String::new(),
            tls_root_ca_file: String::new(),
            tls_insecure_skip_verify: false,
            tls_min_version: String::new(),
            deflate: false,
            deflate_level: 6,
            snappy: false,
            output_buffer_size: 16 * 1024,
            output_buffer_timeout: 250,
            max_in_flight: 1,
            msg_timeout: Duration::ZERO,
            auth_secret: String::new(),
        }
    }
}

impl Config {
    /// Sets an option by its name, `-` or `_` between its words, from text; an empty value of a switch sets it.
    ///
    /// # Errors
    /// No such option, or no such value of it.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let name = name.trim().to_ascii_lowercase().replace('-', "_");
        let set = match self.set_time(&name, text) {
            None => self.set_other(&name, text),
            set => set,
        };
        match set {
            None => Err(ConfigError::Unknown(name)),
            Some(set) => set.map_err(|why| ConfigError::Value { name, why }),
        }
    }

    /// As `--consumer-opt` has it: `name,value`, or `name` alone for a switch.
    ///
    /// # Errors
    /// As [`Config::set`].
    pub fn set_pair(&mut self, text: &str) -> Result<(), ConfigError> {
        let (name, value) = text.split_once(',').unwrap_or((text, "true"));
        self.set(name, value)
    }

    fn set_time(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
        let millis = Duration::from_millis;
        let (field, least, most) = match name {
            "dial_timeout" => (&mut self.dial_timeout, Duration::ZERO, HOUR),
            "read_timeout" => (&mut self.read_timeout, millis(100), 5 * MINUTE),
            "write_timeout" => (&mut self.write_timeout, millis(100), 5 * MINUTE),
            "lookupd_poll_interval" => (&mut self.lookupd_poll_interval, millis(10), 5 * MINUTE),
            "lookupd_poll_timeout" => (&mut self.lookupd_poll_timeout, millis(10), HOUR),
            "max_requeue_delay" => (&mut self.max_requeue_delay, Duration::ZERO, HOUR),
            "default_requeue_delay" => (&mut self.default_requeue_delay, Duration::ZERO, HOUR),
            "backoff_multiplier" => (&mut self.backoff_multiplier, Duration::ZERO, HOUR),
            "max_backoff_duration" => (&mut self.max_backoff_duration, Duration::ZERO, HOUR),
            "low_rdy_idle_timeout" => (&mut self.low_rdy_idle_timeout, SECOND, 5 * MINUTE),
            "low_rdy_timeout" => (&mut self.low_rdy_timeout, SECOND, 5 * MINUTE),
            "rdy_redistribute_interval" => {
                (&mut self.rdy_redistribute_interval, millis(1), 5 * SECOND)
            }
            "heartbeat_interval" => (&mut self.heartbeat_interval, Duration::ZERO, HOUR),
            "msg_timeout" => (&mut self.msg_timeout, Duration::ZERO, 24 * HOUR),
            _ => return None,
        };
        let set = time(text).and_then(|time| {
            if time < least || time > most {
                return Err(format!("{text}: not within {least:?} and {most:?}"));
            }
            *field = time;
            Ok(())
        });
        Some(set)
    }

    fn set_other(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
        let own = || text.to_owned();
        let set = match name {
            "lookupd_poll_jitter" => within(text, 0.0..=1.0, &mut self.lookupd_poll_jitter),
            "max_attempts" => within(text, 0..=u16::MAX, &mut self.max_attempts),
            "sample_rate" => within(text, 0..=99, &mut self.sample_rate),
            "deflate_level" => within(text, 1..=9, &mut self.deflate_level),
            "max_in_flight" => within(text, 0..=u32::MAX, &mut self.max_in_flight),
            "output_buffer_size" => within(text, -1..=i64::MAX, &mut self.output_buffer_size),
            "output_buffer_timeout" => match text {
                "-1" => within(text, -1..=-1, &mut self.output_buffer_timeout),
                _ => time(text).map(|time| self.output_buffer_timeout = time.as_millis() as i64),
            },
            "tls_v1" => switch(text, &mut self.tls_v1),
            "tls_insecure_skip_verify" => switch(text, &mut self.tls_insecure_skip_verify),
            "deflate" => switch(text, &mut self.deflate),
            "snappy" => switch(text, &mut self.snappy),
            "backoff_strategy" => match text {
                "" | "exponential" => put(&mut self.backoff_strategy, Strategy::Exponential),
                "full_jitter" => put(&mut self.backoff_strategy, Strategy::FullJitter),
                _ => Err(format!("{text:?}: exponential or full_jitter")),
            },
            "tls_min_version" => match text {
                "ssl3.0" | "tls1.0" | "tls1.1" | "tls1.2" | "tls1.3" => {
                    put(&mut self.tls_min_version, own())
                }
                _ => Err(format!("{text:?}: tls1.2 or tls1.3")),
            },
            "client_id" => put(&mut self.client_id, own()),
            "hostname" => put(&mut self.hostname, own()),
            "user_agent" => put(&mut self.user_agent, own()),
            "tls_cert" => put(&mut self.tls_cert, own()),
            "tls_key" => put(&mut self.tls_key, own()),
            "tls_root_ca_file" => put(&mut self.tls_root_ca_file, own()),
            "auth_secret" => put(&mut self.auth_secret, own()),
            "lookupd_token_file" => put(&mut self.lookupd_token_file, own()),
            _ => return None,
        };
        Some(set)
    }

    /// What cannot be together.
    ///
    /// # Errors
    /// Such a thing.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = match () {
            () if self.heartbeat_interval > self.read_timeout => {
                "heartbeat_interval must be below read_timeout"
            }
            () if self.deflate && self.snappy => "deflate and snappy exclude each other",
            () if self.tls_cert.is_empty() != self.tls_key.is_empty() => {
                "tls_cert and tls_key must be given together"
            }
            () => return Ok(()),
        };
        Err(ConfigError::Together(wrong))
    }
}

/// Any value is good.
fn put<T>(field: &mut T, value: T) -> Result<(), String> {
    *field = value;
    Ok(())
}

/// As Go writes it, or milliseconds.
fn time(text: &str) -> Result<Duration, String> {
    let nanos = match text.parse::<i64>() {
        Ok(millis) => millis.saturating_mul(1_000_000),
        Err(_) => go_duration::parse(text)?,
    };
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| format!("{text}: below zero"))
}

fn within<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    range: std::ops::RangeInclusive<T>,
    field: &mut T,
) -> Result<(), String> {
    let value = text
        .parse()
        .map_err(|_| format!("{text:?} is no such number"))?;
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        return Err(format!("{text}: not within {least} and {most}"));
    }
    *field = value;
    Ok(())
}

fn switch(text: &str, field: &mut bool) -> Result<(), String> {
    *field = match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("{text:?}: true or false")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_nsqs_client_reads_them() {
        let mut config = Config::default();
        for pair in [
            "max_attempts,10",
            "max-in-flight,2500",
            "msg_timeout,1m30s",
            "read_timeout,5000",
            "snappy",
            "tls-v1,true",
            "backoff_strategy,full_jitter",
            "output_buffer_timeout,-1",
        ] {
            config.set_pair(pair).unwrap();
        }
        assert_eq!((config.max_attempts, config.max_in_flight), (10, 2500));
        assert_eq!(config.msg_timeout, Duration::from_secs(90));
        assert_eq!(config.read_timeout, Duration::from_secs(5));
        assert!(config.snappy && config.tls_v1);
        assert_eq!(config.backoff_strategy, Strategy::FullJitter);
        assert_eq!(config.output_buffer_timeout, -1);
        assert!(config.check().is_err(), "heartbeats come too seldom now");
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (pair, why) in [
            ("nothing,1", "there is no option \"nothing\""),
            (
                "sample_rate,100",
                "option sample_rate: 100: not within 0 and 99",
            ),
            (
                "read_timeout,1ms",
                "option read_timeout: 1ms: not within 100ms and 300s",
            ),
            (
                "snappy,perhaps",
                "option snappy: \"perhaps\": true or false",
            ),
            (
                "max_attempts,x",
                "option max_attempts: \"x\" is no such number",
            ),
        ] {
            let error = Config::default().set_pair(pair).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }
}
