//! HTTP by hand: status, headers and body as they are on the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Node;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The header's value; names as they are on the wire.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// `request`: method and path.
pub async fn ask(node: &Node, request: &str, body: &[u8]) -> Answer {
    ask_at(&node.http, request, body).await
}

/// [`ask`], of whoever listens there.
pub async fn ask_at(address: &str, request: &str, body: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    read(socket).await
}

/// Everything until the end of the connection.
pub async fn read(mut socket: TcpStream) -> Answer {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
