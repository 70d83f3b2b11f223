//! Redis Streams: a stream for each topic, an append-only file.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::speaker::Answer;

/// How it is started.
pub fn command(program: &Path, data: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .arg("--dir")
        .arg(data)
        // Neither snapshots nor rewrites of the log: nothing but the work that is measured.
        .args(["--save", "", "--auto-aof-rewrite-percentage", "0"]);
    command
}

/// Appends a body to a stream.
pub fn publish(topic: &str, body: &[u8]) -> Vec<u8> {
    let mut command = request(&["XADD", topic, "*", "b"], 5);
    command.extend_from_slice(format!("${}\r\n", body.len()).as_bytes());
    command.extend_from_slice(body);
    command.extend_from_slice(b"\r\n");
    command
}

/// See [`crate::speaker::Answered`].
///
/// # Errors
/// A refusal.
pub fn answer(input: &[u8]) -> Result<Option<Answer>> {
    let mut lines = input.split_inclusive(|byte| *byte == b'\n');
    let Some(head) = lines.next().filter(|line| line.ends_with(b"\r\n")) else {
        return Ok(None);
    };
    if !head.starts_with(b"$") {
        bail!("instead of an id: {}", String::from_utf8_lossy(head));
    }
    let id = lines.next().filter(|line| line.ends_with(b"\r\n"));
    Ok(id.map(|id| Answer {
        bytes: head.len() + id.len(),
        acknowledges: true,
    }))
}

/// Entries of the topic's stream, which is deleted.
///
/// # Errors
/// When the server does not say.
pub fn take_count(address: SocketAddr, topic: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut number = |words: &[&str]| -> Result<u64> {
        stream.write_all(&request(words, words.len()))?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let number = line
            .strip_prefix(':')
            .and_then(|line| line.trim().parse().ok());
        number.with_context(|| format!("{words:?}: {line:?}"))
    };
    let count = number(&["XLEN", topic])?;
    number(&["DEL", topic])?;
    Ok(count)
}

/// The first words of a command that has `of` of them.
fn request(words: &[&str], of: usize) -> Vec<u8> {
    let mut bytes = format!("*{of}\r\n").into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}
