//! The TCP port answers as the recordings of the Go nsqd, however its input is cut.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use support::script::play;
use support::wire::{batch, sized};
use support::{Frame, Node, Wire, identify};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

const FLAGS: &[&str] = &[
    "--node-id=7",
    "--max-msg-size=4096",
    "--max-body-size=16384",
];

#[tokio::test]
async fn answers_are_the_recorded_ones() {
    let node = Node::start(FLAGS).await;
    let mut sections = 0;
    for section in include_str!("golden/tcp.txt").split("--- ").skip(1) {
        let (name, script) = section.split_once('\n').unwrap();
        play(&node, name, script).await;
        sections += 1;
    }
    assert_eq!(sections, 90);
}

/// Every command, with what it must answer; the end closes the connection.
fn script() -> Vec<u8> {
    let mut script = b"  V2".to_vec();
    script.extend(identify(
        r#"{"client_id":"c","feature_negotiation":true,"msg_timeout":30000}"#,
    ));
    script.extend(sized("PUB split", &[b"one"]));
    script.extend(b"NOP\r\n");
    script.extend(sized("MPUB split", &[&batch(&["two", "three"])]));
    script.extend(sized("DPUB split 0", &[b"four"]));
    script.extend(b"SUB split c\nRDY 10\nRDY 0\n");
    script.extend(b"FIN 0123456789abcdef\nREQ 0123456789abcdef 5\nTOUCH 0123456789abcdef\n");
    script.extend(sized("PUB other", &[b"five"]));
    script.extend(b"CLS\nFOO bar\n");
    script
}

async fn frames(wire: &mut Wire<DuplexStream>) -> Vec<String> {
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    while let Some(frame) = wire.frame().await {
        match frame {
            // When they come, between the answers, depends on how much was read at once.
            Frame::Message(message) => messages.push(message.body),
            Frame::Response(text) => frames.push(text),
            Frame::Error(text) => frames.push(format!("! {text}")),
        }
    }
    frames.push(messages.join(","));
    frames
}

/// Frames that the script is answered with when it is sent in these pieces.
async fn answers(node: &Node, pieces: &[&[u8]]) -> Vec<String> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let serve = nsqd::engine::serve(node.nsqd.clone(), theirs, "127.0.0.1:1".to_owned());
    let served = tokio::spawn(serve);
    let mut wire = Wire::new(ours);
    for piece in pieces {
        wire.send(piece).await;
        // The connection's task is the only other one that is ready.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    let frames = frames(&mut wire).await;
    served.await.unwrap();
    node.nsqd.delete_topic("split").unwrap();
    frames
}

#[tokio::test]
async fn input_cut_anywhere_is_answered_alike() {
    let script = script();
    let node = Node::start(&["--durability=memory"]).await;
    let whole = answers(&node, &[&script]).await;
    assert_eq!(whole.len(), 12, "{whole:?}");
    assert!(whole[0].starts_with(r#"{"max_rdy_count":2500,"version":"1.3.0""#));
    assert_eq!(
        &whole[1..11],
        [
            "OK",
            "OK",
            "OK",
            "OK",
            "! E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight",
            "! E_REQ_FAILED REQ 0123456789abcdef failed ID not in flight",
            "! E_TOUCH_FAILED TOUCH 0123456789abcdef failed ID not in flight",
            "OK",
            "CLOSE_WAIT",
            "! E_INVALID invalid command FOO",
        ]
    );
    for cut in 1..script.len() {
        let (first, second) = script.split_at(cut);
        let mut cut_answers = answers(&node, &[first, second]).await;
        // Delivery begins with RDY 10: whether it comes before RDY 0 depends on the cut.
        *cut_answers.last_mut().unwrap() = whole.last().unwrap().clone();
        assert_eq!(cut_answers, whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = script.chunks(1).collect();
    let mut single = answers(&node, &bytes).await;
    assert_eq!(single.pop().unwrap(), "one,two,three,four");
    assert_eq!(single, whole[..11]);
}

#[tokio::test]
async fn what_follows_a_fatal_error_is_dropped() {
    let node = Node::start(&[]).await;
    let mut wire = node.connect().await;
    let mut input = sized("PUB p1", &[b"a"]);
    input.extend(sized("PUB p1", &[b"b"]));
    input.extend(b"NOP\n");
    input.extend(sized("PUB bad!", &[b"c"]));
    input.extend(sized("PUB p1", &[b"d"]));
    wire.send(&input).await;
    wire.response("OK").await;
    wire.response("OK").await;
    wire.error("E_BAD_TOPIC PUB topic name \"bad!\" is not valid")
        .await;
    wire.closed().await;
    assert_eq!(node.topic("p1").await.depth, 2);
}

/// go-nsq finds out that it speaks to the wrong port by the first bytes of the answer.
#[tokio::test]
async fn http_port_refuses_the_tcp_protocol_aloud() {
    let node = Node::start(&[]).await;
    let mut socket = TcpStream::connect(&node.http).await.unwrap();
    let hello = [&b"  V2"[..], &identify("{}")].concat();
    socket.write_all(&hello).await.unwrap();
    let mut answer = vec![0; 24];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400 Bad Request");
}
