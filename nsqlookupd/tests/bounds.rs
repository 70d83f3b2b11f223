//! Input that is too much, too long or cut off harms only its own connection.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use support::{Peer, get, start};

#[tokio::test]
async fn identify_body_is_bounded_before_it_is_read() {
    let lookupd = start().await;
    for size in [u32::MAX, 0x8000_0000, 0x7fff_ffff, 65537] {
        let mut peer = Peer::connect(&lookupd).await;
        peer.send(b"IDENTIFY\n").await;
        peer.send(&size.to_be_bytes()).await;
        let answer = peer.answer().await.unwrap();
        assert!(
            answer.starts_with("E_BAD_BODY IDENTIFY body size "),
            "{answer}"
        );
        peer.assert_closed().await;
    }
    assert_eq!(get(&lookupd, "/ping").await, "OK");
}

#[tokio::test]
async fn endless_line_is_cut_off() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    peer.send(&[b'x'; 1024]).await;
    peer.assert_closed().await;
}

#[tokio::test]
async fn wrong_magic_is_told_and_closed() {
    let lookupd = start().await;
    let mut peer = Peer::raw(&lookupd, b"  V2").await;
    assert_eq!(peer.answer().await.unwrap(), "E_BAD_PROTOCOL");
    peer.assert_closed().await;
}

#[tokio::test]
async fn what_was_registered_goes_with_its_connection() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    assert_eq!(peer.say("REGISTER t c").await, "OK");
    // Half a command, then the end.
    peer.send(b"REGIS").await;
    drop(peer);
    let gone = r#"{"channels":["c"],"producers":[]}"#;
    while get(&lookupd, "/lookup?topic=t").await != gone {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&lookupd, "/nodes").await, r#"{"producers":[]}"#);
}

#[tokio::test]
async fn metrics_count() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    for line in ["REGISTER t c", "REGISTER t d", "REGISTER u"] {
        assert_eq!(peer.say(line).await, "OK");
    }
    let metrics = get(&lookupd, "/metrics").await;
    for line in [
        "nsqlookupd_topics 2\n",
        "nsqlookupd_channels 2\n",
        "nsqlookupd_producers 1\n",
        "nsqlookupd_build_info{version=\"1.3.0\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn stop_closes_connections() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    lookupd.stop().await;
    peer.assert_closed().await;
}
