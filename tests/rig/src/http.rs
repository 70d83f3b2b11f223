//! As much HTTP as it takes to tell nsqd what to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// Longest answer of interest.
const ANSWER_BYTES: u64 = 1 << 20;

/// Asks with an empty body; the answer's body.
///
/// # Errors
/// When nobody answers, or anything but 200.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Vec<u8>> {
    let asked = || format!("{method} http://{address}{path}");
    let mut stream = TcpStream::connect(address).with_context(asked)?;
    // Version 1.0: the answer comes in one piece.
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(asked)?;
    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES);
    limited.read_to_end(&mut answer).with_context(asked)?;
    match body(&answer) {
        Some(body) => Ok(body.to_vec()),
        None => bail!("{}: {}", asked(), String::from_utf8_lossy(&answer)),
    }
}

/// The body of an answer whose status is 200.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let status = answer.get(..13)?;
    if !(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200 ")) {
        return None;
    }
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    answer.get(head + 4..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some(&b"{}"[..]));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\n"), Some(&b""[..]));
        assert_eq!(body(b"HTTP/1.1 404 Not Found\r\n\r\n{}"), None);
        assert_eq!(body(b""), None);
    }
}
