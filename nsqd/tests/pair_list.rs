//! A holder that has nothing of a long journal: the list reaches it.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_protocol::{PairMessage, PairMirror, PairPosition, PairRole};
use support::Node;
use support::pair::link;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Reads until a message is one that is looked for.
async fn until<T>(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut Vec<u8>,
    pick: impl Fn(&PairMessage<'_>) -> Option<T>,
) -> T {
    loop {
        while let Some((message, size)) = PairMessage::decode(input).unwrap() {
            let picked = pick(&message);
            input.drain(..size);
            if let Some(picked) = picked {
                return picked;
            }
        }
        assert!(stream.read_buf(input).await.unwrap() > 0, "the link ended");
    }
}

/// `cargo xtask kube test full-disk volume-lost`: nothing was sent to a blank peer whose list began further behind than
/// what may be on its way, because it had acknowledged nothing yet.
#[tokio::test]
async fn a_list_goes_out_before_anything_is_acknowledged() {
    let node = Node::start(&["--pair-name=a", "--pair-with=b", "--node-id=1"]).await;
    let mut publisher = node.connect().await;
    let body = "x".repeat(1_000_000);
    for _ in 0..9 {
        publisher.publish("t", &body).await;
    }

    let mut stream = link(&node, PairRole::Origin).await;
    let mut input = Vec::new();
    let hello = |message: &PairMessage<'_>| match message {
        PairMessage::Hello { end, .. } => Some(*end),
        _ => None,
    };
    let end = until(&mut stream, &mut input, hello).await;
    assert!(end > 9_000_000);
    let mut welcome = Vec::new();
    PairMessage::Welcome {
        node: "b",
        incarnation: 7,
        // Of no run that there was: as good as nothing.
        mirror: Some(PairMirror {
            end: PairPosition { run: 99, lsn: 5 },
            whole: true,
        }),
        adoption: None,
    }
    .encode(&mut welcome);
    stream.write_all(&welcome).await.unwrap();
    let start = |message: &PairMessage<'_>| match message {
        PairMessage::Start { position, whole } => Some((position.lsn, *whole)),
        _ => None,
    };
    let (begin, whole) = until(&mut stream, &mut input, start).await;
    assert!(
        begin >= end && !whole,
        "it begins at {begin}, whole: {whole}"
    );
    let record = |message: &PairMessage<'_>| match message {
        PairMessage::Record { from, .. } => Some(*from),
        _ => None,
    };
    assert_eq!(until(&mut stream, &mut input, record).await, begin);
}
