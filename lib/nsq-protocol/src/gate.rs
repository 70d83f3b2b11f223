//! What a connection may say where it stands, and within which bounds.

#[derive(Debug, Clone)]
pub struct Limits {
    pub max_msg_size: i64,
    pub max_body_size: i64,
    pub max_rdy_count: u64,
    pub max_req_timeout_ms: u64,
    /// Of DPUB.
    pub max_defer_timeout_ms: u64,
}

/// Where a connection stands: before SUB, after it, after CLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Init,
    Subscribed,
    Closing,
}

/// What the connection's standing allows; NSQ checks this before it looks at parameters.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    pub state: State,
    /// False once IDENTIFY switched heartbeats off.
    pub heartbeats: bool,
    /// Only IDENTIFY may be said until the connection speaks TLS.
    pub tls_missing: bool,
}
