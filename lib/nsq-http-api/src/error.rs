//! What can go wrong when a server is asked.

use std::time::Duration;

use thiserror::Error as ThisError;

/// A failed request: which one, at which address, and why.
#[derive(Debug, Clone, ThisError)]
#[error("{request} at {address}: {kind}")]
pub struct Error {
    /// `host:port` as it was given.
    pub address: String,
    /// Method, path and query: `GET /lookup?topic=t`.
    pub request: String,
    pub kind: ErrorKind,
}

/// The reason of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum ErrorKind {
    /// The address cannot be one.
    #[error("not a host:port address: {0}")]
    Address(String),
    /// The file with the token cannot be read.
    #[error("token: {0}")]
    Token(String),
    /// Nobody answers there, or the connection broke: refused, unreachable, name unknown, reset.
    #[error("{0}")]
    Transport(String),
    /// No complete answer within the client's request time-out.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The server refused: its status and NSQ's message code (empty if the body held none).
    #[error("status {status} {code}")]
    Status { status: u16, code: String },
    /// The answer is larger than the client accepts, in bytes.
    #[error("answer larger than {0} bytes")]
    TooLarge(usize),
    /// A good status with a body that is not the JSON it should be.
    #[error("cannot read the answer: {0}")]
    Body(String),
}

impl Error {
    /// NSQ's message code if the server answered with one: `Some("TOPIC_NOT_FOUND")`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            ErrorKind::Status { code, .. } if !code.is_empty() => Some(code),
            _ => None,
        }
    }

    /// The topic or channel asked for does not exist: `TOPIC_NOT_FOUND` or `CHANNEL_NOT_FOUND`,
    /// but not the `NOT_FOUND` of a path that the server does not know.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.code(), Some("TOPIC_NOT_FOUND" | "CHANNEL_NOT_FOUND"))
    }
}
