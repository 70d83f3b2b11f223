//! Consumers that are connected and get nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Measured, Much, Subject, measured};

const TARGET_KB: f64 = 3.0;
/// Connections before the first reading: what a server needs for any is not counted.
const FIRST: usize = 100;
const OK: &[u8; 10] = b"\0\0\0\x06\0\0\0\0OK";

pub(super) fn measure(program: &Path, go: bool, much: Much) -> Result<Vec<Measured>> {
    let subject = Subject::start(program, go, &[])?;
    let mut connections = Vec::with_capacity(much.connections + FIRST);
    for _ in 0..FIRST {
        connections.push(consumer(&subject)?);
    }
    let before = subject.memory()?;
    for _ in 0..much.connections {
        connections.push(consumer(&subject)?);
    }
    let after = subject.memory()?;
    let each = after.saturating_sub(before) as f64 / much.connections as f64 / 1000.0;
    let what = format!("{} idle consumer connections, each", much.connections);
    Ok(vec![measured(what, "kB", TARGET_KB, each)])
}

fn consumer(subject: &Subject) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(subject.address)?;
    stream.write_all(b"  V2SUB idle channel\n")?;
    let mut answer = [0; OK.len()];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == OK, "instead of OK: {answer:?}");
    stream.write_all(b"RDY 1\n")?;
    Ok(stream)
}
