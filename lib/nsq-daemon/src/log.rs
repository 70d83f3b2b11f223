//! The log: one line per event on stderr, in NSQ's format.
//!
//! `[nsqd] 2026/11/21 05:25:52.108588 INFO: TCP: listening on 127.0.0.1:4150`
//!
//! Everything speaks through the `tracing` macros; [`init`] installs the writer. Our own crates are
//! heard at the level in force, libraries from WARNING on. Times are local, as NSQ's. Control
//! characters are escaped: what a client sends can never make a second line.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value as Json;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::value::FlagValue;

/// NSQ's levels. The numbers are what `/config/log_level` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum LogLevel {
    Debug = 1,
    #[default]
    Info = 2,
    Warn = 3,
    Error = 4,
    Fatal = 5,
}

impl LogLevel {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Debug,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Fatal,
            _ => Self::Info,
        }
    }

    /// As it stands in a log line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
            Self::Fatal => LevelFilter::OFF,
        }
    }
}

impl FlagValue for LogLevel {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "fatal" => Ok(Self::Fatal),
            _ => Err(format!(
                "invalid log level '{text}' (debug, info, warn, error, fatal)"
            )),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.name().to_owned())
    }

    fn json(&self) -> Json {
        (*self as u8).into()
    }
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// NSQ's.
    #[default]
    Nsq,
    /// An object with `time` (RFC 3339, UTC), `level`, `program` (the prefix, bare) and `message`.
    Json,
}

impl FlagValue for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "nsq" => Ok(Self::Nsq),
            "json" => Ok(Self::Json),
            _ => Err("expected nsq or json".to_owned()),
        }
    }

    fn shown(&self) -> Option<String> {
        self.json().as_str().map(str::to_owned)
    }

    fn json(&self) -> Json {
        match self {
            Self::Nsq => "nsq",
            Self::Json => "json",
        }
        .into()
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(LogFormat::Nsq as u8);

/// Makes this process log to stderr. Only the first call has an effect.
pub fn init(prefix: &str, level: LogLevel, format: LogFormat) {
    set_level(level);
    FORMAT.store(format as u8, Ordering::Relaxed);
    // A second call would fail, in a process that runs several daemons: they share the first.
    let _ = tracing::subscriber::set_global_default(NsqLog {
        prefix: prefix.to_owned(),
    });
}

/// The level in force.
#[must_use]
pub fn level() -> LogLevel {
    LogLevel::from_number(LEVEL.load(Ordering::Relaxed))
}

/// Changes the level at run time.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// The last line of a process, whatever the level.
pub fn fatal(prefix: &str, message: &str) {
    write_line(prefix, LogLevel::Fatal, message);
}

struct NsqLog {
    prefix: String,
}

impl Subscriber for NsqLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("nsq");
        let filter = if ours {
            level()
        } else {
            level().max(LogLevel::Warn)
        }
        .filter();
        !metadata.is_span() && *metadata.level() <= filter
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level().filter())
    }

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => LogLevel::Error,
            tracing::Level::WARN => LogLevel::Warn,
            tracing::Level::INFO => LogLevel::Info,
            _ => LogLevel::Debug,
        };
        let mut text = Text(String::new());
        event.record(&mut text);
        write_line(&self.prefix, level, &text.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message, then any other field as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => {
                let rest = std::mem::take(&mut self.0);
                write!(
                    self.0,
                    "{value:?}{}{rest}",
                    if rest.is_empty() { "" } else { " " }
                )
            }
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}

fn write_line(prefix: &str, level: LogLevel, message: &str) {
    let now = jiff::Zoned::now();
    let line = match FORMAT.load(Ordering::Relaxed) == LogFormat::Json as u8 {
        true => json_line(prefix, level, message, &now),
        false => line(prefix, level, message, &now),
    };
    // Nobody to tell when stderr is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn json_line(prefix: &str, level: LogLevel, message: &str, now: &jiff::Zoned) -> String {
    let object = serde_json::json!({
        "time": now.timestamp().to_string(),
        "level": level.name().to_ascii_lowercase(),
        "program": prefix.trim().trim_matches(['[', ']']),
        "message": message,
    });
    format!("{object}\n")
}

fn line(prefix: &str, level: LogLevel, message: &str, now: &jiff::Zoned) -> String {
    let time = now.strftime("%Y/%m/%d %H:%M:%S%.6f");
    let mut line = format!("{prefix}{time} {}: ", level.name());
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_nsqs_and_only_one() {
        let now: jiff::Zoned = "2026-11-21T05:25:52.1085881[UTC]".parse().unwrap();
        assert_eq!(
            line(
                "[nsqd] ",
                LogLevel::Info,
                "TCP: listening on 127.0.0.1:4150",
                &now
            ),
            "[nsqd] 2026/11/21 05:25:52.108588 INFO: TCP: listening on 127.0.0.1:4150\n"
        );
        let now: jiff::Zoned = "2026-11-21T05:25:52[UTC]".parse().unwrap();
        assert_eq!(
            line("[x] ", LogLevel::Warn, "a\r\nFAKE \u{b5}s", &now),
            "[x] 2026/11/21 05:25:52.000000 WARNING: a\\r\\nFAKE \u{b5}s\n"
        );
    }

    #[test]
    fn json_is_one_line_whatever_is_said() {
        let now: jiff::Zoned = "2026-11-21T05:25:52.1085881[UTC]".parse().unwrap();
        let line = json_line("[nsqd] ", LogLevel::Warn, "a \"b\"\nc", &now);
        assert_eq!(line.matches('\n').count(), 1);
        let read: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"time": "2026-11-21T05:25:52.1085881Z", "level": "warning",
                "program": "nsqd", "message": "a \"b\"\nc"})
        );
    }

    #[test]
    fn levels_have_nsqs_names_and_numbers() {
        assert_eq!(LogLevel::parse("WARN"), Ok(LogLevel::Warn));
        assert_eq!(LogLevel::Warn.json(), 3);
        assert!(LogLevel::parse("bogus").unwrap_err().contains("'bogus'"));
        for level in ["debug", "info", "warn", "error", "fatal"] {
            let level = LogLevel::parse(level).unwrap();
            assert_eq!(LogLevel::from_number(level as u8), level);
        }
    }

    #[test]
    fn level_changes_what_is_heard() {
        let log = NsqLog {
            prefix: String::new(),
        };
        let heard = || log.max_level_hint();
        set_level(LogLevel::Error);
        assert_eq!(heard(), Some(LevelFilter::ERROR));
        set_level(LogLevel::Debug);
        assert_eq!(
            (heard(), level()),
            (Some(LevelFilter::DEBUG), LogLevel::Debug)
        );
        set_level(LogLevel::Info);
    }
}
