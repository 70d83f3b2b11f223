//! `nsq-operator dev`, as a program reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A running cluster.
pub(super) struct Cluster {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub state: String,
    pub http: String,
    pub pid: i32,
}

impl Cluster {
    pub(super) fn start(manifest: &Path, data: &Path) -> Result<Self> {
        let mut command = Command::new("nsq-operator");
        command.args(["dev", "-o", "json", "-f"]).arg(manifest);
        command.arg("--data-dir").arg(data).stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nsq-operator")?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self {
            child,
            told: BufReader::new(stdout).lines(),
            nodes: BTreeMap::new(),
        })
    }

    /// Reads on until the whole cluster is ready.
    pub(super) async fn ready(&mut self) -> Result<()> {
        loop {
            let event = self.next().await?;
            if event["kind"] == "cluster" && event["state"] == "ready" {
                return Ok(());
            }
        }
    }

    /// The node as it was last told of.
    pub(super) fn node(&self, name: &str) -> Result<Node> {
        let node = self.nodes.get(name).cloned();
        node.with_context(|| format!("no node {name}"))
    }

    /// `kill -9`; returns when another process of that name is ready.
    pub(super) async fn kill_and_return(&mut self, name: &str) -> Result<()> {
        let before = self.node(name)?.pid;
        let pid = Pid::from_raw(before).context("no process id")?;
        kill_process(pid, Signal::KILL)?;
        loop {
            self.next().await?;
            let node = self.node(name)?;
            if node.pid != before && node.state == "ready" {
                return Ok(());
            }
        }
    }

    async fn next(&mut self) -> Result<Value> {
        let Some(line) = self.told.next_line().await? else {
            bail!("nsq-operator dev ended with {}", self.child.wait().await?);
        };
        let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        if event["kind"] == "node" {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            let node = self.nodes.entry(text("name")).or_default();
            node.state = text("state");
            node.http = text("http");
            if let Some(pid) = event["pid"].as_i64() {
                node.pid = i32::try_from(pid)?;
            }
        }
        Ok(event)
    }

    /// SIGTERM, and a clean end.
    pub(super) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        kill_process(pid.context("it has ended already")?, Signal::TERM)?;
        while self.told.next_line().await?.is_some() {}
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("nsq-operator dev ended with {status} after SIGTERM");
        }
        Ok(())
    }
}
