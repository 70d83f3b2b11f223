//! Channels that nobody reads.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Measured, Much, Subject, measured};

const TARGET_KB: f64 = 2.0;
const TARGET_SECONDS: f64 = 60.0;
const TARGET_CPU: f64 = 2.0;
/// Topics among which they are.
const TOPICS: usize = 100;
/// Requests that are on their way at a time.
const WINDOW: usize = 64;

pub(super) fn measure(program: &Path, go: bool, much: Much) -> Result<Vec<Measured>> {
    let count = if go { much.go_channels } else { much.channels };
    let mut subject = Subject::start(program, go, &[])?;
    let http = subject.server.http_address()?;
    post_all(
        http,
        (0..TOPICS).map(|topic| format!("/topic/create?topic=t{topic}")),
    )?;
    let before = subject.memory()?;
    let started = Instant::now();
    create(http, count)?;
    let seconds = started.elapsed().as_secs_f64() * much.channels as f64 / count as f64;
    let after = subject.memory()?;
    let each = after.saturating_sub(before) as f64 / count as f64 / 1000.0;
    let cpu = subject.cpu_percent(Duration::from_secs(much.seconds))?;
    let many = much.channels;
    Ok(vec![
        measured(format!("{many} channels, each"), "kB", TARGET_KB, each),
        measured(
            format!("{many} channels, created in"),
            "s",
            TARGET_SECONDS,
            seconds,
        ),
        measured(format!("{many} channels, idle"), "% CPU", TARGET_CPU, cpu),
    ])
}

/// Makes channels of all topics in turn.
pub(super) fn create(http: SocketAddr, count: usize) -> Result<()> {
    let path = |at: usize| format!("/channel/create?topic=t{}&channel=c{at}", at % TOPICS);
    post_all(http, (0..count).map(path))
}

/// Over one connection, some on their way at a time.
pub(super) fn post_all(http: SocketAddr, paths: impl Iterator<Item = String>) -> Result<()> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut paths = paths.peekable();
    while paths.peek().is_some() {
        let requests: Vec<String> = paths
            .by_ref()
            .take(WINDOW)
            .map(|path| format!("POST {path} HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n"))
            .collect();
        stream.write_all(requests.concat().as_bytes())?;
        for _ in &requests {
            answer(&mut answers)?;
        }
    }
    Ok(())
}

fn answer(answers: &mut impl BufRead) -> Result<()> {
    let (mut line, mut length) = (String::new(), 0);
    answers.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "instead of 200: {line:?}");
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().context("content-length")?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    Ok(())
}
