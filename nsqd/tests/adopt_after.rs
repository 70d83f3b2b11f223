//! `--adopt-after` up to the moment of adopting, as it is told: `cargo xtask chaos adopt-after` goes on from there.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_http_api::PairStatus;
use nsq_protocol::{PairMessage, PairPosition, PairRole};
use nsq_tools::mirror::relay;
use nsqlookupd::Nsqlookupd;
use support::lookupd::nsqlookupd;
use support::pair::{link, status, until};
use support::{Node, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;

/// The journal of one to the other.
async fn carry(origin: &Node, holder: &Node) -> AbortHandle {
    let from = link(origin, PairRole::Origin).await;
    let to = link(holder, PairRole::Holder).await;
    let relayed = tokio::spawn(async move { drop(relay(from, to).await) });
    relayed.abort_handle()
}

fn waits_for(status: &PairStatus) -> &str {
    &status.adopt_after.as_ref().unwrap().waits_for
}

/// The second adopts the first; it has a message of that.
async fn pair(lookupd: &Nsqlookupd) -> (Node, Node, [AbortHandle; 2]) {
    let asked = format!("--lookupd-tcp-address={}", lookupd.tcp_address());
    let flags = ["--pair-name=a", "--pair-with=b", "--node-id=1", &asked];
    let a = Node::start(&flags).await;
    let b = [
        "--pair-name=b",
        "--pair-with=a",
        "--node-id=2",
        "--adopt-after=1s",
        &asked,
    ];
    let b = Node::start(&b).await;
    assert!(status(&a).await.adopt_after.is_none());
    let carriers = [carry(&a, &b).await, carry(&b, &a).await];
    until(&b, |status| status.mirrored).await;
    until(&b, |status| waits_for(status) == "the peer is linked").await;
    a.post("/topic/create?topic=t").await;
    a.connect().await.publish("t", "kept").await;
    until(&a, |status| status.mirrored && status.lag_bytes == 0).await;
    (a, b, carriers)
}

#[tokio::test]
async fn it_is_told_why_a_node_does_not_adopt() {
    let lookupd = nsqlookupd().await;
    let (a, b, carriers) = pair(&lookupd).await;
    carriers.iter().for_each(AbortHandle::abort);
    let told = until(&b, |status| waits_for(status).contains("has heard")).await;
    let alone = told.adopt_after.unwrap();
    assert!(alone.silent_seconds >= 1.0 && alone.seconds == 1.0);
    let witness = &alone.witnesses[0];
    assert_eq!(witness.address, lookupd.tcp_address());
    assert_eq!((witness.says.as_str(), alone.adoptions), ("heard", 0));
    let metrics = http::ask(&b, "GET /metrics", b"").await.body;
    let line = format!(
        r#"nsqd_pair_witness{{address="{}",says="heard"}} 1"#,
        witness.address
    );
    for line in [line.as_str(), "nsqd_pair_adopt_after_seconds 1"] {
        assert!(metrics.lines().any(|told| told == line), "{line}");
    }

    // It goes away, but the nsqlookupd may have been started a moment ago, as far as is known.
    a.stop().await;
    let told = until(&b, |status| waits_for(status).starts_with("0 of 1")).await;
    let alone = told.adopt_after.unwrap();
    assert_eq!(alone.witnesses[0].says, "young");
    let text = lookupd.tcp_address().to_owned();
    lookupd.stop().await;
    let told = until(&b, |status| {
        let alone = status.adopt_after.as_ref().unwrap();
        alone.witnesses[0].says == "unanswered"
    })
    .await;
    let alone = told.adopt_after.unwrap();
    assert_eq!((alone.adoptions, &alone.witnesses[0].address), (0, &text));
    assert!(!alone.witnesses[0].error.is_empty());
}

/// It is killed while it comes back, before it has sent anything of its new run.
#[tokio::test]
async fn a_peer_that_died_right_behind_its_hello_is_adopted() {
    let lookupd = nsqlookupd().await;
    let (a, b, carriers) = pair(&lookupd).await;
    carriers.iter().for_each(AbortHandle::abort);
    a.stop().await;
    let mirror = status(&b).await.mirror.unwrap();
    let mut hello = Vec::new();
    let begin = |run, lsn| PairPosition { run, lsn };
    PairMessage::Hello {
        node: "a",
        incarnation: u64::from_str_radix(&mirror.incarnation, 16).unwrap(),
        runs: vec![begin(mirror.run, 0), begin(mirror.run + 1, mirror.end)],
        end: mirror.end,
        oldest: 0,
        lost: None,
    }
    .encode(&mut hello);
    let mut stream = link(&b, PairRole::Holder).await;
    stream.write_all(&hello).await.unwrap();
    // It is welcome.
    assert!(stream.read(&mut [0; 1]).await.unwrap() > 0);
    drop(stream);
    let adopted = until(&b, |status| status.adoption.is_some()).await;
    assert_eq!(adopted.adoption.unwrap().incarnation, mirror.incarnation);
    let told = until(&b, |status| waits_for(status) == "everything was adopted").await;
    let alone = told.adopt_after.unwrap();
    assert_eq!((alone.adoptions, told.imported), (1, 1));
    assert_eq!(alone.witnesses[0].says, "silent");
    assert_eq!(b.topic("t").await.depth, 1);
}
