//! As much HTTP as it takes to tell nsqd what to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// Longest answer of interest.
const ANSWER_BYTES: u64 = 64 * 1024;

/// POSTs nothing to `path`, which must be answered with 200.
pub(crate) fn post(address: SocketAddr, path: &str) -> Result<()> {
    let asked = || format!("POST http://{address}{path}");
    let mut stream = TcpStream::connect(address).with_context(asked)?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).with_context(asked)?;
    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES);
    limited.read_to_end(&mut answer).with_context(asked)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        bail!("{}: {}", asked(), String::from_utf8_lossy(&answer));
    }
    Ok(())
}
