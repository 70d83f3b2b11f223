//! `nsq_to_nsq`, theirs and ours, with the same flags between nsqds of ours: what arrives, and what is left where it came
//! from.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_rig::{Connection, Frame, Program, Server, push_pub};
use serde_json::Value;

/// What has not come after this never will.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Flags beyond the addresses.
pub const CASES: &[&[&str]] = &[
    &["--topic=t"],
    &["--topic=t", "--mode=round-robin"],
    &["--topic=t", "--mode=epsilon-greedy"],
    &["--topic=t", "--channel=own", "--destination-topic=u"],
    &["--topic=t", "--topic=s", "--destination-topic=u"],
    &["--topic=t", "--max-in-flight=1", "--status-every=0"],
    &["--topic=t", "--require-json-field=a"],
    &[
        "--topic=t",
        "--require-json-field=a",
        "--require-json-value=5",
    ],
    &[
        "--topic=t",
        "--require-json-field=a",
        "--require-json-value=x",
    ],
    &[
        "--topic=t",
        "--require-json-field=a",
        "--require-json-value=true",
    ],
    &["--topic=t", "--whitelist-json-field=b"],
    &[
        "--topic=t",
        "--whitelist-json-field=b",
        "--whitelist-json-field=a",
    ],
    &[
        "--topic=t",
        "--require-json-field=b",
        "--whitelist-json-field=a",
    ],
    &[
        "--topic=t",
        "--consumer-opt=snappy",
        "--producer-opt=deflate,true",
    ],
    &[
        "--topic=t",
        "--consumer-opt=max_in_flight,3",
        "--producer-opt=client_id,x",
    ],
    &["-topic", "t", "--consumer-opt=backoff_strategy,full_jitter"],
];

/// Flags with which neither starts.
pub const REFUSED: &[&[&str]] = &[
    &[],
    &["--topic=a b"],
    &["--topic=t", "--channel="],
    &["--topic=t", "--channel=a b"],
    &["--topic=t", "--destination-topic=a b"],
    &["--topic=t", "--lookupd-http-address=127.0.0.1:1"],
    &["--topic=t", "--consumer-opt=nothing,1"],
    &["--topic=t", "--consumer-opt=sample_rate,100"],
    &["--topic=t", "--producer-opt=read_timeout,1ms"],
    &["--topic=t", "--nothing"],
];

const BODIES: &[&str] = &[
    "plain",
    "",
    "null",
    "[1,2]",
    r#"{"a":5,"b":1}"#,
    r#"{"a":5.0,"b":{"x":[1,2.5,"y"]}}"#,
    r#"{"a":"5"}"#,
    r#"{"a":"x","b":null}"#,
    r#"{"a":true,"b":"<&>"}"#,
    r#"{"a":null}"#,
    r#"{"b":-7.25,"c":1}"#,
    r#"{"a":6"#,
];

/// What came of one of the programs, as text.
///
/// # Errors
/// When a server fails, or nothing comes to rest.
pub fn outcome(nsqd: &Path, program: &Path, flags: &[&str]) -> Result<String> {
    let start = || -> Result<(Server, tempfile::TempDir)> {
        let data = tempfile::tempdir()?;
        let nsqd = Program {
            path: nsqd.to_owned(),
            flags: Vec::new(),
        };
        let mut server = Server::start(&nsqd, data.path())?;
        server.wait_ready()?;
        Ok((server, data))
    };
    let (mut from, _kept) = start()?;
    let (mut to, _too) = start()?;
    let mut wire = Connection::open(from.tcp_address()?)?;
    for body in BODIES.iter().filter(|body| !body.is_empty()) {
        let mut command = Vec::new();
        for topic in ["t", "s"] {
            push_pub(&mut command, topic, body.as_bytes());
        }
        wire.send(&command)?;
    }
    let running = Running(
        Command::new(program)
            .arg(format!("--nsqd-tcp-address={}", from.tcp_address()?))
            .arg(format!(
                "--destination-nsqd-tcp-address={}",
                to.tcp_address()?
            ))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?,
    );
    let mut told = Vec::new();
    for topic in ["s", "t"] {
        let consumed = flags
            .iter()
            .any(|flag| flag.ends_with(&format!("topic={topic}")) || *flag == topic);
        if consumed {
            told.push(at_rest(&mut from, topic)?);
        }
    }
    drop(running);
    for topic in ["t", "u"] {
        told.push(format!("{topic}: {}", arrived(&mut to, topic)?.join(" ")));
    }
    Ok(told.join("\n"))
}

/// How it ends, when it should not even start.
///
/// # Errors
/// When it runs on.
pub fn refusal(program: &Path, flags: &[&str]) -> Result<String> {
    let mut running = Running(
        Command::new(program)
            .arg("--nsqd-tcp-address=127.0.0.1:1")
            .arg("--destination-nsqd-tcp-address=127.0.0.1:1")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = running.0.try_wait()? {
            return Ok(format!("fails: {}", !status.success()));
        }
        std::thread::sleep(LOOK);
    }
    bail!("{flags:?}: it does not end")
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the topic's channel has left once nothing waits and nothing is in flight.
fn at_rest(server: &mut Server, topic: &str) -> Result<String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let stats: Value = serde_json::from_slice(&server.stats()?)?;
        let topics = stats["topics"].as_array().cloned().unwrap_or_default();
        let found = topics.iter().find(|found| found["topic_name"] == topic);
        let channel = found.map_or(&Value::Null, |found| &found["channels"][0]);
        let is = |what: &str, count: u64| channel[what].as_u64() == Some(count);
        if is("depth", 0) && is("in_flight_count", 0) {
            let (name, later) = (&channel["channel_name"], &channel["deferred_count"]);
            return Ok(format!("{topic}/{name}: {later} are to come again"));
        }
        std::thread::sleep(LOOK);
    }
    bail!("{topic} is not consumed within {PATIENCE:?}")
}

/// All bodies that a topic has got, JSON in one form.
fn arrived(server: &mut Server, topic: &str) -> Result<Vec<String>> {
    let stats: Value = serde_json::from_slice(&server.stats()?)?;
    let topics = stats["topics"].as_array().cloned().unwrap_or_default();
    let found = topics.iter().find(|found| found["topic_name"] == topic);
    let count = found.map_or(0, |found| found["message_count"].as_u64().unwrap_or(0));
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut wire = Connection::open(server.tcp_address()?)?;
    wire.subscribe(topic, "judge")?;
    wire.ready(2000)?;
    let mut bodies = Vec::new();
    while (bodies.len() as u64) < count {
        wire.fill()?;
        while let Some(frame) = wire.next_frame()? {
            if let Frame::Message { body, .. } = frame {
                let json = serde_json::from_slice::<Value>(body);
                let text = json.map(|json| json.to_string());
                bodies.push(text.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned()));
            }
        }
    }
    bodies.sort();
    Ok(bodies)
}
