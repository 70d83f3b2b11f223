//! `nsq_to_nsq --mirror` between nodes that ask for TLS, whose authority is exchanged while it runs.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::ffi::OsString;
use std::fs;

use nsq_tools::mirror::{Options, carry};
use support::Node;
use support::pair::until;
use support::upgrade::Cert;

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

    fs::copy(cert.path("cert"), &authority).unwrap();
    let linked = async {
        until(&a, |status| status.origin_link).await;
        until(&b, |status| status.holder_link).await;
    };
    tokio::select! {
        ended = carry(&options) => panic!("no link: {ended:?}"),
        () = linked => {}
    }
}
