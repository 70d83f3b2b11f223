use std::fmt;

/// An error frame: `CODE text`. A fatal one closes the connection after it was sent; NSQ's
/// only errors that are not fatal are `E_FIN_FAILED`, `E_REQ_FAILED` and `E_TOUCH_FAILED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError {
    pub code: &'static str,
    pub text: String,
    pub fatal: bool,
}

impl ProtocolError {
    pub fn fatal(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            fatal: true,
        }
    }

    pub fn recoverable(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            fatal: false,
        }
    }

    /// `E_INVALID`, the code of everything that a client must not say, or not now.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::fatal("E_INVALID", text)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            return f.write_str(self.code);
        }
        write!(f, "{} {}", self.code, self.text)
    }
}

impl std::error::Error for ProtocolError {}
