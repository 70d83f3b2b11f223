//! What we call ourselves towards NSQ's clients.

use nsq_protocol::NSQ_VERSION;

/// `nsqd v1.3.0 (built w/rust1.95)`: the text of `--version`, of the first log line and of `/stats`.
/// Client suites look for `v<version> (built w/`.
#[must_use]
pub fn version_text(program: &str) -> String {
    format!(
        "{program} v{NSQ_VERSION} (built w/rust{})",
        env!("CARGO_PKG_RUST_VERSION")
    )
}
