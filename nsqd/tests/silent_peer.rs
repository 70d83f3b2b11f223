//! A peer that has fallen silent, over a link that nobody has closed.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_protocol::{PairMessage, PairRole};
use support::Node;
use support::pair::{link, until};
use tokio::io::AsyncWriteExt;

/// `cargo xtask kube failover`: after a machine had lost its power, each publish to the other node waited as long as the
/// first, until the link was found to be dead. The copy was near enough to count as keeping up whenever the link spoke.
#[tokio::test]
async fn publishers_wait_once_for_a_silent_peer() {
    let node = Node::start(&[
        "--pair-name=a",
        "--pair-with=b",
        "--node-id=1",
        "--mirror-ack=peer",
        "--on-peer-loss=degrade",
        "--peer-loss-timeout=20ms",
    ])
    .await;
    let mut stream = link(&node, PairRole::Origin).await;
    let mut welcome = Vec::new();
    PairMessage::Welcome {
        node: "b",
        incarnation: 7,
        mirror: None,
        adoption: None,
    }
    .encode(&mut welcome);
    stream.write_all(&welcome).await.unwrap();
    until(&node, |status| status.origin_link).await;

    let mut publisher = node.connect().await;
    let mut sent = 0;
    for _ in 0..5 {
        publisher.publish("t", "hello").await;
        // The link has spoken of it.
        sent = until(&node, |status| status.bytes_sent > sent)
            .await
            .bytes_sent;
    }
    let status = until(&node, |status| status.peer_lost).await;
    assert_eq!(status.losses, 1, "lost, taken for back, and lost again");
}
