//! Recordings, played to a node.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Frame, Node, Wire};

/// Plays one connection of a recording; `golden/tcp.txt` tells what its lines mean.
pub async fn play(node: &Node, name: &str, script: &str) {
    let mut wire = Wire::new(TcpStream::connect(&node.tcp).await.unwrap());
    if !name.starts_with("raw ") {
        wire.send(b"  V2").await;
    }
    for line in script.lines().filter(|line| !line.is_empty()) {
        let got = match line {
            "< open" => {
                wire.nothing_but_ok().await;
                continue;
            }
            "< waits" => {
                wire.stream.shutdown().await.unwrap();
                wire.closed().await;
                continue;
            }
            _ => match line.split_at(2) {
                ("> ", text) => {
                    wire.send(&unescape(text)).await;
                    continue;
                }
                _ => wire.frame().await,
            },
        };
        let got = match got {
            Some(Frame::Response(text)) => format!("< response {text}"),
            Some(Frame::Error(text)) => format!("< error {text}"),
            Some(Frame::Message(message)) => format!("< message {}", message.body),
            None => "< closed".to_owned(),
        };
        assert_eq!(got, line, "{name}");
    }
}

/// Escapes as in a Rust string, and `{x*9}` for nine times x.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        match (first, &rest.as_bytes()[1..]) {
            ('\\', [b'n', ..]) => bytes.push(b'\n'),
            ('\\', [b'r', ..]) => bytes.push(b'\r'),
            ('\\', [b'x', ..]) => {
                bytes.push(u8::from_str_radix(&rest[2..4], 16).unwrap());
                used = 4;
            }
            ('{', [what, b'*', ..]) => {
                let (count, _) = rest[3..].split_once('}').unwrap();
                bytes.extend(vec![*what; count.parse().unwrap()]);
                used = 4 + count.len();
            }
            _ => bytes.extend(&rest.as_bytes()[..used]),
        }
        if first == '\\' && used == 1 {
            used = 2;
        }
        rest = &rest[used..];
    }
    bytes
}
