//! NATS JetStream: one file-backed stream for all topics, each publish acknowledged by the stream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::speaker::Answer;

const STREAM: &str = "bench";
/// A cluster that has not chosen its leaders after this never will.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
/// A cluster without a leader does not answer at all.
const ANSWER: Duration = Duration::from_secs(10);

/// How one alone is started: syncs before each acknowledgement.
///
/// # Errors
/// When the configuration cannot be written.
pub fn command(program: &Path, data: &Path, port: u16) -> Result<Command> {
    configured(program, data, &settings(data, port))
}

/// How the one at `at` of a cluster is started; `ports` and `routes` are those of all.
///
/// # Errors
/// When the configuration cannot be written.
pub fn member(
    program: &Path,
    data: &Path,
    at: usize,
    ports: &[u16],
    routes: &[u16],
) -> Result<Command> {
    let own = data.join(at.to_string());
    std::fs::create_dir_all(&own)?;
    let others = routes.iter().map(|port| format!("nats://127.0.0.1:{port}"));
    let text = format!(
        "{}server_name: n{at}\ncluster {{ name: bench, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
        settings(&own, ports[at]),
        routes[at],
        others.collect::<Vec<_>>().join(", "),
    );
    configured(program, &own, &text)
}

fn settings(data: &Path, port: u16) -> String {
    format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
        data.display()
    )
}

fn configured(program: &Path, data: &Path, text: &str) -> Result<Command> {
    let config = data.join("nats.conf");
    std::fs::write(&config, text).with_context(|| config.display().to_string())?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    Ok(command)
}

/// A connection that takes acknowledgements in an inbox of its own.
///
/// # Errors
/// The socket's.
pub fn connect(address: SocketAddr, number: u64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let greeting = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}}\r\n\
         SUB _INBOX.b{number} 1\r\nPING\r\n"
    );
    stream.write_all(greeting.as_bytes())?;
    // Byte by byte: what follows the PONG is not ours to read.
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        heard.push(byte[0]);
    }
    Ok(stream)
}

/// A publish that is acknowledged to the inbox of that number.
pub fn publish(topic: &str, number: u64, body: &[u8]) -> Vec<u8> {
    let mut command = format!("PUB bench.{topic} _INBOX.b{number} {}\r\n", body.len()).into_bytes();
    command.extend_from_slice(body);
    command.extend_from_slice(b"\r\n");
    command
}

/// See [`crate::speaker::Answered`].
///
/// # Errors
/// A refusal.
pub fn answer(input: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (line, head) = (&input[..end], end + 2);
    if !line.starts_with(b"MSG ") {
        if line.starts_with(b"-ERR") {
            bail!("{}", String::from_utf8_lossy(line));
        }
        return Ok(Some(Answer {
            bytes: head,
            acknowledges: false,
        }));
    }
    let size = line.rsplit(|byte| *byte == b' ').next();
    let size = size.and_then(|size| std::str::from_utf8(size).ok()?.parse::<usize>().ok());
    let size = size.context("a message without its size")?;
    let Some(body) = input.get(head..head + size) else {
        return Ok(None);
    };
    if input.len() < head + size + 2 {
        return Ok(None);
    }
    if !body.starts_with(b"{\"stream\"") {
        bail!(
            "instead of an acknowledgement: {}",
            String::from_utf8_lossy(body)
        );
    }
    Ok(Some(Answer {
        bytes: head + size + 2,
        acknowledges: true,
    }))
}

/// Makes the stream.
///
/// # Errors
/// When it cannot be made.
pub fn prepare(address: SocketAddr, replicas: usize) -> Result<()> {
    let create = format!(
        r#"{{"name":"{STREAM}","subjects":["bench.>"],"storage":"file","retention":"limits","num_replicas":{replicas},"discard":"new"}}"#
    );
    ask(address, &format!("$JS.API.STREAM.CREATE.{STREAM}"), &create)?;
    Ok(())
}

/// Makes the stream in a cluster that may still be coming up; the index of the member that leads it.
///
/// # Errors
/// When it cannot be made for a long time.
pub fn prepare_cluster(addresses: &[SocketAddr]) -> Result<usize> {
    let began = Instant::now();
    loop {
        let led = prepare(addresses[0], addresses.len()).and_then(|()| leader(addresses[0]));
        match led {
            Ok(at) if at < addresses.len() => return Ok(at),
            Ok(at) => bail!("n{at} leads the stream, and is nobody"),
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn leader(address: SocketAddr) -> Result<usize> {
    let told = ask(address, &format!("$JS.API.STREAM.INFO.{STREAM}"), "")?;
    let current = told["cluster"]["replicas"].as_array();
    let current = current.is_some_and(|all| all.iter().all(|one| one["current"] == true));
    let name = told["cluster"]["leader"].as_str().filter(|_| current);
    let at = name.and_then(|name| name.strip_prefix('n')?.parse().ok());
    at.context("a stream without a leader, or with replicas that are behind")
}

/// Messages in the stream, which is emptied.
///
/// # Errors
/// When the server does not say.
pub fn take_count(address: SocketAddr) -> Result<u64> {
    let told = ask(address, &format!("$JS.API.STREAM.INFO.{STREAM}"), "")?;
    ask(address, &format!("$JS.API.STREAM.PURGE.{STREAM}"), "")?;
    let count = told["state"]["messages"].as_u64();
    count.context("a stream without a count")
}

fn ask(address: SocketAddr, subject: &str, body: &str) -> Result<serde_json::Value> {
    let mut stream = connect(address, 0)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!("PUB {subject} _INBOX.b0 {}\r\n{body}\r\n", body.len());
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(size) = line.strip_prefix("MSG ") {
            let size = size
                .trim()
                .rsplit(' ')
                .next()
                .and_then(|size| size.parse().ok());
            let mut body = vec![0; size.context("a message without its size")?];
            reader.read_exact(&mut body)?;
            let answer: serde_json::Value = serde_json::from_slice(&body)?;
            if !answer["error"].is_null() {
                bail!("{subject}: {}", answer["error"]);
            }
            return Ok(answer);
        }
        if line.is_empty() || line.starts_with("-ERR") {
            bail!("{subject}: {line:?}");
        }
    }
}
