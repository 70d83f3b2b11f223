//! `nsq_to_nsq --mirror` between nodes that ask for TLS, whose authority is exchanged while it runs.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use nsq_http_api::PairStatus;
use nsq_tools::mirror::{Options, carry, carry_on};
use support::upgrade::Cert;
use support::{Node, http};

async fn node(name: &str, peer: &str, id: u8, cert: &Cert) -> Node {
    let pair = [
        format!("--pair-name={name}"),
        format!("--pair-with={peer}"),
        format!("--node-id={id}"),
        "--tls-required=tcp-https".to_owned(),
    ];
    let flags: Vec<String> = pair.into_iter().chain(cert.flags()).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Node::start(&flags).await
}

/// `cargo xtask kube test certificate tls operator-steps`: sidecars that had read the authority at their start could not
/// link nodes whose certificates came from another one.
#[tokio::test]
async fn another_authority_is_taken_up_with_the_next_link() {
    let (cert, other) = (Cert::new(), Cert::new());
    let a = node("a", "b", 1, &cert).await;
    let b = node("b", "a", 2, &cert).await;
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.crt");
    fs::copy(other.path("cert"), &authority).unwrap();
    let named = |node: &Node| node.tcp.replace("127.0.0.1", "localhost");
    let args = [
        "--mirror".to_owned(),
        "--tls".to_owned(),
        format!("--tls-root-ca-file={}", authority.display()),
        format!("--origin-tcp-address={}", named(&a)),
        format!("--holder-tcp-address={}", named(&b)),
    ];
    let options = Options::from_args(args.map(OsString::from).into()).unwrap();
    let refused = carry(&options).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("certificate"),
        "{refused:#}"
    );

    let carrier = tokio::spawn(async move { carry_on(&options).await });
    // One thread runs all tasks here: that one is at its first link after this.
    tokio::task::yield_now().await;
    fs::copy(cert.path("cert"), &authority).unwrap();
    for node in [&a, &b] {
        loop {
            let told = http::ask(node, "GET /pair", b"").await.body;
            let status: PairStatus = serde_json::from_str(&told).unwrap();
            if status.origin_link || status.holder_link {
                break;
            }
            assert!(!carrier.is_finished());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    carrier.abort();
}
