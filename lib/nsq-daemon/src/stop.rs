//! Why a program ends before it has started, and how that looks from outside.

use std::io::Write as _;
use std::process::ExitCode;

use crate::log;

/// A reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `-h` or `-help`: the usage on stderr, exit 0.
    Help(String),
    /// `-version`: on stdout, exit 0.
    Version(String),
    /// A flag is unknown or has a bad value: reason and usage on stderr, exit 2.
    Usage { reason: String, usage: String },
    /// Everything else: one FATAL line in the log, exit 1.
    Fatal(String),
}

impl Stop {
    /// Tells the user and gives the exit code. `prefix` starts the log line, as in `[nsqd] `.
    #[must_use]
    pub fn report(&self, prefix: &str) -> ExitCode {
        // A closed stderr or stdout is nothing that could be reported anywhere.
        match self {
            Self::Help(usage) => {
                let _ = write!(std::io::stderr(), "{usage}");
                ExitCode::SUCCESS
            }
            Self::Version(text) => {
                let _ = writeln!(std::io::stdout(), "{text}");
                ExitCode::SUCCESS
            }
            Self::Usage { reason, usage } => {
                let _ = write!(std::io::stderr(), "{reason}\n{usage}");
                ExitCode::from(2)
            }
            Self::Fatal(message) => {
                log::fatal(prefix, message);
                ExitCode::FAILURE
            }
        }
    }
}
