//! The TCP protocol by hand.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Response(String),
    Error(String),
    Message(Message),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    pub attempts: u16,
    pub id: String,
    pub body: String,
}

pub struct Wire<S> {
    pub stream: S,
}

/// IDENTIFY with this JSON.
pub fn identify(json: &str) -> Vec<u8> {
    sized("IDENTIFY", &[json.as_bytes()])
}

/// A command line, the size of all that follows, and that.
pub fn sized(line: &str, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = format!("{line}\n").into_bytes();
    bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

/// MPUB's body.
pub fn batch(bodies: &[&str]) -> Vec<u8> {
    let count = u32::try_from(bodies.len()).unwrap();
    let mut bytes = count.to_be_bytes().to_vec();
    for body in bodies {
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body.as_bytes());
    }
    bytes
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// A command line.
    pub async fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes()).await;
    }

    /// `None` at the end of the connection, clean or reset.
    pub async fn frame(&mut self) -> Option<Frame> {
        let size = self.stream.read_u32().await.ok()?;
        let kind = self.stream.read_u32().await.unwrap();
        let mut data = vec![0; size as usize - 4];
        self.stream.read_exact(&mut data).await.unwrap();
        let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
        Some(match kind {
            0 => Frame::Response(text(&data)),
            1 => Frame::Error(text(&data)),
            2 => Frame::Message(Message {
                timestamp: i64::from_be_bytes(*data.first_chunk().unwrap()),
                attempts: u16::from_be_bytes(*data[8..].first_chunk().unwrap()),
                id: text(&data[10..26]),
                body: text(&data[26..]),
            }),
            other => panic!("frame type {other}"),
        })
    }

    pub async fn response(&mut self, text: &str) {
        assert_eq!(self.frame().await, Some(Frame::Response(text.to_owned())));
    }

    pub async fn error(&mut self, text: &str) {
        assert_eq!(self.frame().await, Some(Frame::Error(text.to_owned())));
    }

    pub async fn closed(&mut self) {
        assert_eq!(self.frame().await, None);
    }

    /// The next message; heartbeats on the way are answered.
    pub async fn message(&mut self) -> Message {
        loop {
            match self.frame().await {
                Some(Frame::Message(message)) => return message,
                Some(Frame::Response(text)) if text == "_heartbeat_" => self.say("NOP").await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nothing has come before the answer to this publish.
    pub async fn nothing_but_ok(&mut self) {
        self.publish("probe", "x").await;
    }

    pub async fn publish(&mut self, topic: &str, body: &str) {
        self.send(&sized(&format!("PUB {topic}"), &[body.as_bytes()]))
            .await;
        self.response("OK").await;
    }

    pub async fn subscribe(&mut self, topic: &str, channel: &str, ready: u32) {
        self.say(&format!("SUB {topic} {channel}")).await;
        self.response("OK").await;
        self.say(&format!("RDY {ready}")).await;
    }

    /// Identifies, and checks that it was agreed to.
    pub async fn identify(&mut self, json: &str) {
        self.send(&identify(json)).await;
        self.response("OK").await;
    }

    pub async fn finish(&mut self, message: &Message) {
        self.say(&format!("FIN {}", message.id)).await;
    }
}
