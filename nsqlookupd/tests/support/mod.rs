//! An nsqlookupd in process, and plain sockets to speak to it.

#![allow(dead_code)] // each test uses its part

use std::time::Duration;

use nsqlookupd::Nsqlookupd;
use nsqlookupd::options::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub async fn start() -> Nsqlookupd {
    Nsqlookupd::start(&options()).await.unwrap()
}

/// Ports of its own.
pub fn options() -> Options {
    Options {
        tcp_address: "127.0.0.1:0".into(),
        http_address: "127.0.0.1:0".into(),
        broadcast_address: "127.0.0.1".into(),
        inactive_producer_timeout: Duration::from_secs(300),
        tombstone_lifetime: Duration::from_secs(45),
        ..Options::default()
    }
}

/// A connection as nsqd's.
pub struct Peer(TcpStream);

impl Peer {
    pub async fn connect(lookupd: &Nsqlookupd) -> Self {
        Self::raw(lookupd, b"  V1").await
    }

    /// Connected, with this as the magic.
    pub async fn raw(lookupd: &Nsqlookupd, magic: &[u8; 4]) -> Self {
        let mut peer = Self(TcpStream::connect(lookupd.tcp_address()).await.unwrap());
        peer.send(magic).await;
        peer
    }

    /// Connected and identified as 10.1.2.3:9150.
    pub async fn identified(lookupd: &Nsqlookupd) -> Self {
        let mut peer = Self::connect(lookupd).await;
        let own = peer.identify(IDENTITY).await;
        assert!(
            own.starts_with(r#"{"broadcast_address":"127.0.0.1","hostname":""#),
            "{own}"
        );
        peer
    }

    pub fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub async fn identify(&mut self, body: &str) -> String {
        let mut bytes = b"IDENTIFY\n".to_vec();
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body.as_bytes());
        self.send(&bytes).await;
        self.answer().await.unwrap()
    }

    pub async fn say(&mut self, line: &str) -> String {
        self.send(line.as_bytes()).await;
        self.send(b"\n").await;
        self.answer().await.unwrap()
    }

    /// `None` at the end of the connection.
    pub async fn answer(&mut self) -> Option<String> {
        let length = self.0.read_u32().await.ok()?;
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).await.unwrap();
        Some(String::from_utf8(body).unwrap())
    }

    /// The server has hung up; closed or, with unread input, reset.
    pub async fn assert_closed(&mut self) {
        assert!(self.0.read_u8().await.is_err(), "still open");
    }
}

pub const IDENTITY: &str = r#"{"version": "1.3.0", "tcp_port": 9150, "http_port": 9151, "hostname": "peer", "broadcast_address": "10.1.2.3"}"#;

/// Status and body of `GET /path` or `POST /path`; the NSQ header is checked on the way.
pub async fn http(lookupd: &Nsqlookupd, request: &str) -> (u16, String) {
    http_at(lookupd.http_address(), request, "").await
}

/// As [`http`], anywhere, with headers.
pub async fn http_at(address: &str, request: &str, headers: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let versioned = head.contains("\r\nX-Nsq-Content-Type: nsq; version=1.0\r\n");
    assert_eq!(
        versioned,
        !["/ping", "/metrics", "/livez", "/readyz"]
            .iter()
            .any(|plain| head.starts_with("HTTP/1.1 200") && request.contains(plain)),
        "{head}"
    );
    (head[9..12].parse().unwrap(), body.to_owned())
}

pub async fn get(lookupd: &Nsqlookupd, path: &str) -> String {
    let (status, body) = http(lookupd, &format!("GET {path}")).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}
