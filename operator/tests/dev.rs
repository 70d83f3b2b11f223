//! `nsq-operator dev` with the real daemons: up, killed, edited, stopped.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const MANIFEST: &str = "\
apiVersion: nsq.io/v1alpha1
kind: NsqCluster
metadata:
  name: test
spec:
  image: unused
  nsqd:
    replicas: 1
    storage: {size: 1Gi}
  nsqlookupd:
    replicas: 1
";

const TOPIC: &str = "\
---
apiVersion: nsq.io/v1alpha1
kind: NsqTopic
metadata:
  name: declared
spec:
  cluster: test
  channels:
  - name: c
";

/// The daemons' binaries, beside the operator's; built if they are not there.
fn binaries() -> PathBuf {
    let operator = Path::new(env!("CARGO_BIN_EXE_nsq-operator"));
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "nsqd",
            "--package",
            "nsqlookupd",
            "--package",
            "nsq-tools",
        ])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .unwrap();
    assert!(built.success(), "nsqd and nsqlookupd do not build");
    operator.parent().unwrap().to_owned()
}

struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: Arc<TempDir>,
}

impl Dev {
    fn start(manifest: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), manifest)
    }

    fn start_in(folder: Arc<TempDir>, manifest: &str) -> Self {
        std::fs::write(folder.path().join("cluster.yaml"), manifest).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_nsq-operator"))
            .args(["dev", "-o", "json", "-f", "cluster.yaml", "--bin-dir"])
            .arg(binaries())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            folder,
        }
    }

    /// Reads on until a change of this kind, name and state.
    fn until(&mut self, kind: &str, name: &str, state: &str) -> Value {
        loop {
            let line = self.lines.next().expect("dev has ended").unwrap();
            let change: Value = serde_json::from_str(&line).unwrap();
            if change["kind"] == kind && change["name"] == name && change["state"] == state {
                return change;
            }
        }
    }

    /// Reads on until this is told.
    fn until_note(&mut self, note: &str) {
        loop {
            let line = self.lines.next().expect("dev has ended").unwrap();
            let change: Value = serde_json::from_str(&line).unwrap();
            if change["kind"] == "note" && change["message"] == note {
                return;
            }
        }
    }

    fn edit(&self, manifest: &str) {
        let path = self.folder.path().join("cluster.yaml");
        let new = path.with_extension("new");
        std::fs::write(&new, manifest).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id().into(), signal);
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // After a failed assertion it still runs; told to stop, it ends its children too.
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn send(process: u64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn http(address: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_cluster_runs_survives_a_kill_follows_edits_and_stops() {
    let mut dev = Dev::start(MANIFEST);
    let node = dev.until("node", "test-nsqd-0-0", "ready");
    dev.until("cluster", "test", "ready");
    let address = node["http"].as_str().unwrap();
    let answer = http(address, "POST /pub?topic=t", "hello");
    assert!(answer.ends_with("OK"), "{answer}");

    send(node["pid"].as_u64().unwrap(), Signal::KILL);
    dev.until("node", "test-nsqd-0-0", "stopped");
    let node = dev.until("node", "test-nsqd-0-0", "ready");
    let address = node["http"].as_str().unwrap();
    let stats = http(address, "GET /stats?format=json&topic=t", "");
    assert!(stats.contains(r#""depth":1"#), "{stats}");

    dev.edit(&format!("{MANIFEST}{TOPIC}"));
    dev.until("topic", "declared", "Ready");
    let stats = http(address, "GET /stats?format=json&topic=declared", "");
    assert!(stats.contains(r#""channel_name":"c""#), "{stats}");

    dev.signal(Signal::TERM);
    let status = dev.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(TcpStream::connect(address).is_err(), "nsqd is still there");
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let mut dev = Dev::start(MANIFEST);
    let node = dev.until("node", "test-nsqd-0-0", "ready");
    let answer = http(node["http"].as_str().unwrap(), "POST /pub?topic=t", "hello");
    assert!(answer.ends_with("OK"), "{answer}");
    dev.signal(Signal::KILL);
    dev.child.wait().unwrap();

    let mut next = Dev::start_in(dev.folder.clone(), MANIFEST);
    let again = next.until("node", "test-nsqd-0-0", "ready");
    assert_ne!(again["pid"], node["pid"]);
    let stats = http(
        again["http"].as_str().unwrap(),
        "GET /stats?format=json&topic=t",
        "",
    );
    assert!(stats.contains(r#""depth":1"#), "{stats}");
    next.signal(Signal::TERM);
    assert!(next.child.wait().unwrap().success());
}

#[test]
fn a_bad_manifest_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = MANIFEST.replace("replicas: 1", "replicas: none");
    std::fs::write(folder.path().join("cluster.yaml"), manifest).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nsq-operator"))
        .args(["dev", "-f", "cluster.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "cluster.yaml: line 8: spec.nsqd.replicas: must be of type integer, not \"none\"\n\
         cluster.yaml: line 11: spec.nsqlookupd.replicas: must be of type integer, not \"none\"\n"
    );
    assert!(
        !folder.path().join("nsq-dev").exists(),
        "a data directory was made"
    );
}

#[test]
fn replicated_nodes_mirror_each_other() {
    let manifest = MANIFEST.replace(
        "replicas: 1\n    storage",
        "replicas: 2\n    replication: {}\n    storage",
    );
    let mut dev = Dev::start(&manifest);
    let nodes = ["test-nsqd-0-0", "test-nsqd-0-1"].map(|name| dev.until("node", name, "ready"));
    dev.until_note("either disk of each pair may be lost");
    for (at, node) in nodes.iter().enumerate() {
        let pair = http(node["http"].as_str().unwrap(), "GET /pair", "");
        let peer = format!(r#""peer":"test-nsqd-0-{}""#, 1 - at);
        assert!(pair.contains(&peer), "{pair}");
    }
    dev.signal(Signal::TERM);
    assert!(dev.child.wait().unwrap().success());
}
