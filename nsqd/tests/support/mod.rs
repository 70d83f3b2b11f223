//! A node in process, and plain sockets to speak to it.

#![allow(dead_code, unused_imports, clippy::unwrap_used)] // each test uses its part

pub mod auth_server;
pub mod files;
pub mod http;
pub mod lookupd;
pub mod pair;
pub mod script;
pub mod upgrade;
pub mod wire;

use std::sync::Arc;

use nsqd::options::Options;
use nsqd::{Nsqd, Server};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use wire::{Frame, Message, Wire, identify};

/// A node that serves on ports of its own.
pub struct Node {
    pub nsqd: Arc<Nsqd>,
    pub tcp: String,
    pub http: String,
    /// Of the listener that changes nothing, if there is one.
    pub read_only: Option<String>,
    pub https: Option<String>,
    pub data: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Node {
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), flags).await
    }

    pub async fn start_in(data: TempDir, flags: &[&str]) -> Self {
        let path = format!("--data-path={}", data.path().display());
        let own = [
            "--tcp-address=127.0.0.1:0",
            "--http-address=127.0.0.1:0",
            "--broadcast-address=127.0.0.1",
            &path,
        ];
        let parsed = Options::from_args("vm", own.iter().chain(flags)).unwrap();
        let server = Server::start(parsed.options).await.unwrap();
        let address = |port: Option<u16>| format!("127.0.0.1:{}", port.unwrap());
        let (tcp, http) = (address(server.tcp_port()), address(server.http_port()));
        let read_only = server.read_only_port().map(|port| address(Some(port)));
        let https = server.https_port().map(|port| address(Some(port)));
        let (stop, stopped) = oneshot::channel();
        let nsqd = Arc::clone(&server.nsqd);
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.run(stopped).await.unwrap();
        });
        Self {
            nsqd,
            tcp,
            http,
            read_only,
            https,
            data,
            stop,
            task,
        }
    }

    /// A clean stop; the directory is left.
    pub async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.data
    }

    pub async fn connect(&self) -> Wire<TcpStream> {
        let mut wire = Wire::new(TcpStream::connect(&self.tcp).await.unwrap());
        wire.send(b"  V2").await;
        wire
    }

    /// A connection without a socket: with paused time, nothing waits for the kernel.
    pub async fn attach(&self) -> Wire<tokio::io::DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let serve = nsqd::engine::serve(Arc::clone(&self.nsqd), theirs, "127.0.0.1:1".to_owned());
        tokio::spawn(serve);
        let mut wire = Wire::new(ours);
        wire.send(b"  V2").await;
        wire
    }

    /// A consumer with this RDY.
    pub async fn consumer(
        &self,
        topic: &str,
        channel: &str,
        ready: u32,
    ) -> Wire<tokio::io::DuplexStream> {
        let mut wire = self.attach().await;
        wire.subscribe(topic, channel, ready).await;
        wire
    }

    /// `/stats` of one topic; panics if there is none.
    pub async fn topic(&self, topic: &str) -> nsq_http_api::stats::TopicStats {
        let topic = topic.replace('#', "%23");
        let path = format!("GET /stats?format=json&topic={topic}");
        let stats: nsq_http_api::Stats =
            serde_json::from_str(&http::ask(self, &path, b"").await.body).unwrap();
        stats.topics.unwrap().remove(0)
    }

    /// The queue's own numbers of a topic, without asking over a socket: while time is paused, waiting
    /// for a socket lets it jump.
    pub fn queue_stats(&self, topic: &str) -> nsq_queue::TopicStats<Arc<nsqd::Client>> {
        self.nsqd
            .find_topic(topic)
            .unwrap()
            .read(|queue| queue.stats())
    }

    /// `/stats` of one channel.
    pub async fn channel(&self, topic: &str, channel: &str) -> nsq_http_api::stats::ChannelStats {
        let channels = self.topic(topic).await.channels;
        let mut found = channels
            .into_iter()
            .filter(|found| found.channel_name == channel);
        found.next().unwrap()
    }

    /// POSTs, and expects 200.
    pub async fn post(&self, path: &str) {
        let answer = http::ask(self, &format!("POST {path}"), b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
}
