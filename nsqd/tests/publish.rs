//! Publishers beside each other.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use support::Node;
use support::wire::sized;

/// At level `write`, those who publish at the same moment are served by one write; one that is alone does not wait.
#[tokio::test(start_paused = true)]
async fn publishers_share_a_write() {
    let node = Node::start(&["--durability=write"]).await;
    let mut publishers = Vec::new();
    for _ in 0..4 {
        let mut publisher = node.attach().await;
        publisher.publish("t", "first").await;
        publishers.push(publisher);
    }
    let writes = || node.nsqd.journal.stats().writes;
    let before = writes();
    for publisher in &mut publishers {
        publisher.send(&sized("PUB t", &[b"together"])).await;
    }
    for publisher in &mut publishers {
        publisher.response("OK").await;
    }
    assert_eq!(writes() - before, 1);
    publishers[0].publish("t", "alone").await;
    publishers[0].publish("t", "alone").await;
    assert_eq!(writes() - before, 3);
    assert_eq!(node.topic("t").await.depth, 10);
}
