//! TLS, snappy and deflate, negotiated in IDENTIFY.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::sync::Arc;

use nsqd::options::Options;
use support::upgrade::{
    Cert, Client, Compression, attach, localhost, node, one_frame, upgraded, wishes,
};
use support::{Node, http, identify, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

/// Half of it compresses well, half of it not at all.
fn body(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let mut body = vec![b'a'; size / 2];
    body.extend(noise.take(size - size / 2));
    body
}

async fn through(tls: bool, compression: Compression, buffer: usize, sizes: &[usize]) {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    let mut client = upgraded(&node, cert.client(None), tls, compression, buffer).await;
    for &size in sizes {
        client.send(&wire::sized("PUB t", &[&body(size)])).await;
        client.expect(0, "OK").await;
    }
    client.send(b"SUB t ch\n").await;
    client.expect(0, "OK").await;
    client.send(b"RDY 10\n").await;
    for &size in sizes {
        let (kind, data) = client.frame().await.unwrap();
        assert_eq!(kind, 2);
        assert!(data[26..] == body(size), "{size}");
        client.send(&[b"FIN ", &data[10..26], b"\n"].concat()).await;
    }
    let stats = node.channel("t", "ch").await.clients.unwrap().remove(0);
    assert_eq!(stats.tls, tls);
    assert_eq!(stats.tls_negotiated_protocol_is_mutual, tls);
    assert_eq!(stats.tls_version, if tls { "TLS1.3" } else { "" });
    assert_eq!(stats.tls_cipher_suite.starts_with("TLS_AES_"), tls);
    assert_eq!(stats.snappy, compression == Compression::Snappy);
    assert_eq!(stats.deflate, compression == Compression::Deflate);
    client.send(b"CLS\n").await;
    client.expect(0, "CLOSE_WAIT").await;
    client.send(b"FIN\n").await; // fatal, and the end is orderly
    client
        .expect(1, "E_INVALID FIN insufficient number of params")
        .await;
    assert_eq!(client.frame().await, None);
    node.stop().await;
}

#[tokio::test]
async fn messages_pass_each_layer_and_both() {
    for tls in [false, true] {
        for compression in [Compression::None, Compression::Snappy, Compression::Deflate] {
            through(tls, compression, 1 << 20, &[1, 300, 70_000, 400_000]).await;
        }
    }
}

#[tokio::test]
async fn a_torn_stream_is_put_together() {
    for tls in [false, true] {
        for compression in [Compression::None, Compression::Snappy, Compression::Deflate] {
            through(tls, compression, 13, &[1, 300, 3_000]).await;
        }
    }
}

#[tokio::test]
async fn snappy_and_deflate_together_are_refused() {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    for tls in [false, true] {
        let mut wire = node.connect().await;
        wire.send(&identify(&format!(
            r#"{{"feature_negotiation":true,"tls_v1":{tls},"snappy":true,"deflate":true}}"#
        )))
        .await;
        wire.error("E_IDENTIFY_FAILED cannot enable both deflate and snappy compression")
            .await;
        wire.closed().await;
    }
}

#[tokio::test]
async fn what_is_not_offered_or_not_negotiated_stays_plain() {
    let node = Node::start(&["--snappy=false", "--deflate=false"]).await;
    let mut stream = attach(&node, 1 << 20);
    stream.write_all(b"  V2").await.unwrap();
    stream
        .write_all(&wishes(true, Compression::Snappy))
        .await
        .unwrap();
    let agreed = one_frame(&mut stream).await;
    assert_eq!(
        (&agreed["tls_v1"], &agreed["snappy"]),
        (&false.into(), &false.into())
    );
    wire::Wire::new(stream).publish("t", "x").await;
    let cert = Cert::new();
    let node = self::node(&cert, &[]).await;
    let mut wire = node.connect().await;
    wire.identify(r#"{"tls_v1":true,"snappy":true}"#).await; // no feature_negotiation
    wire.publish("t", "x").await;
}

#[tokio::test]
async fn what_is_read_behind_identify_belongs_to_the_next_layer() {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    for compression in [Compression::Snappy, Compression::Deflate] {
        let mut stream = attach(&node, 1 << 20);
        let mut hasty = Client::plain(Box::new(tokio::io::empty()));
        hasty.compress(compression);
        let publish = hasty.encode(&wire::sized("PUB t", &[b"x"]));
        let all = [b"  V2".as_slice(), &wishes(false, compression), &publish].concat();
        stream.write_all(&all).await.unwrap();
        one_frame(&mut stream).await;
        hasty.stream = Box::new(stream);
        hasty.expect(0, "OK").await;
        hasty.expect(0, "OK").await;
    }
    let mut tls = ClientConnection::new(cert.client(None), localhost()).unwrap();
    let mut all = [b"  V2".as_slice(), &wishes(true, Compression::None)].concat();
    tls.write_tls(&mut all).unwrap();
    let mut stream = attach(&node, 1 << 20);
    stream.write_all(&all).await.unwrap();
    one_frame(&mut stream).await;
    let mut answer = [0; 10];
    while tls.reader().read_exact(&mut answer).is_err() {
        let mut out = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut out).unwrap();
        }
        stream.write_all(&out).await.unwrap();
        let mut part = [0; 4096];
        let size = stream.read(&mut part).await.unwrap();
        tls.read_tls(&mut &part[..size]).unwrap();
        tls.process_new_packets().unwrap();
    }
    assert_eq!(&answer, b"\0\0\0\x06\0\0\0\0OK");
}

#[tokio::test]
async fn garbage_instead_of_a_layer_ends_the_connection() {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    for (tls, compression) in [
        (true, Compression::None),
        (false, Compression::Snappy),
        (false, Compression::Deflate),
    ] {
        let mut stream = attach(&node, 1 << 20);
        stream.write_all(b"  V2").await.unwrap();
        stream.write_all(&wishes(tls, compression)).await.unwrap();
        one_frame(&mut stream).await;
        stream.write_all(&[0x07; 64]).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap(); // ends
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_five_seconds() {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    let mut stream = attach(&node, 1 << 20);
    stream.write_all(b"  V2").await.unwrap();
    stream
        .write_all(&wishes(true, Compression::None))
        .await
        .unwrap();
    one_frame(&mut stream).await;
    let began = tokio::time::Instant::now();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_connection_is_upgraded_once() {
    let cert = Cert::new();
    let node = node(&cert, &[]).await;
    let mut client = upgraded(&node, cert.client(None), true, Compression::Snappy, 1 << 20).await;
    client.send(&wishes(false, Compression::Deflate)).await;
    client
        .expect(1, "E_IDENTIFY_FAILED the connection is upgraded already")
        .await;
    assert_eq!(client.frame().await, None);
}

#[tokio::test]
async fn where_tls_is_required_nothing_else_is_served() {
    let cert = Cert::new();
    let node = node(&cert, &["--tls-required"]).await;
    let mut wire = node.connect().await;
    wire.identify("{}").await;
    wire.send(&wire::sized("PUB t", &[b"x"])).await;
    wire.error("E_INVALID cannot PUB in current state (TLS required)")
        .await;
    wire.closed().await;
    let mut wire = node.connect().await;
    wire.say("NOP").await;
    wire.error("E_INVALID cannot NOP in current state (TLS required)")
        .await;
    let mut client = upgraded(&node, cert.client(None), true, Compression::None, 1 << 20).await;
    client.send(&wire::sized("PUB t", &[b"x"])).await;
    client.expect(0, "OK").await;

    for request in ["GET /ping", "POST /pub?topic=t", "GET /nowhere"] {
        let answer = http::ask(&node, request, b"x").await;
        let port = answer
            .body
            .strip_prefix(r#"{"message": "TLS_REQUIRED", "https_port": "#);
        assert_eq!(answer.status, 403);
        assert_eq!(
            answer.header("Content-Type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(
            answer.header("X-Nsq-Content-Type"),
            Some("nsq; version=1.0")
        );
        let port: u16 = port.unwrap().strip_suffix('}').unwrap().parse().unwrap();
        assert_ne!(port, 0);
    }
    let open = self::node(&cert, &["--tls-required=tcp-https"]).await;
    assert_eq!(http::ask(&open, "GET /ping", b"").await.status, 200);
    let mut wire = open.connect().await;
    wire.say("NOP").await;
    wire.error("E_INVALID cannot NOP in current state (TLS required)")
        .await;
}

/// With TLS 1.3 a client learns of the refusal when it reads.
async fn is_let_in(node: &Node, config: Arc<ClientConfig>) -> bool {
    let mut stream = attach(node, 1 << 20);
    stream.write_all(b"  V2").await.unwrap();
    stream
        .write_all(&wishes(true, Compression::None))
        .await
        .unwrap();
    one_frame(&mut stream).await;
    let connected = TlsConnector::from(config)
        .connect(localhost(), stream)
        .await;
    match connected {
        Ok(stream) => Client::plain(Box::new(stream)).frame().await.is_some(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn clients_show_the_certificates_that_are_asked_for() {
    let (cert, known, unknown) = (Cert::new(), Cert::new(), Cert::new());
    let roots = format!("--tls-root-ca-file={}", known.path("cert").display());
    let any = node(&cert, &["--tls-client-auth-policy=require"]).await;
    let verify = node(&cert, &["--tls-client-auth-policy=require-verify", &roots]).await;
    for (node, own, expected) in [
        (&any, None, false),
        (&any, Some(&unknown), true),
        (&verify, None, false),
        (&verify, Some(&unknown), false),
        (&verify, Some(&known), true),
    ] {
        assert_eq!(is_let_in(node, cert.client(own)).await, expected);
    }
    // Either policy obliges to TLS.
    let mut wire = any.connect().await;
    wire.say("NOP").await;
    wire.error("E_INVALID cannot NOP in current state (TLS required)")
        .await;
    let flags = cert.flags();
    let missing = [
        &flags[0],
        &flags[1],
        "--tls-client-auth-policy=require-verify",
    ];
    assert!(Options::from_args("vm", missing).is_err());
}

/// tls1.0 and tls1.1 are taken as tls1.2, the oldest that is spoken.
#[tokio::test]
async fn the_oldest_version_is_the_one_that_is_asked_for() {
    let cert = Cert::new();
    for (oldest, speaks) in [("tls1.0", true), ("tls1.2", true), ("tls1.3", false)] {
        let node = node(&cert, &[&format!("--tls-min-version={oldest}")]).await;
        let client = cert.client_speaking(&[&TLS12], None);
        assert_eq!(is_let_in(&node, client).await, speaks, "{oldest}");
        assert!(is_let_in(&node, cert.client(None)).await, "{oldest}");
    }
}

#[tokio::test]
async fn authorities_of_clients_are_exchanged_without_a_restart() {
    let (cert, old, new) = (Cert::new(), Cert::new(), Cert::new());
    let roots = cert.path("roots");
    std::fs::copy(old.path("cert"), &roots).unwrap();
    let file = format!("--tls-root-ca-file={}", roots.display());
    let node = node(&cert, &["--tls-client-auth-policy=require-verify", &file]).await;
    // The same clients throughout: a session from before is no way in.
    let (old_client, new_client) = (cert.client(Some(&old)), cert.client(Some(&new)));
    assert!(is_let_in(&node, Arc::clone(&old_client)).await);
    assert!(!is_let_in(&node, Arc::clone(&new_client)).await);
    std::fs::remove_file(&roots).unwrap();
    std::fs::copy(new.path("cert"), &roots).unwrap();
    tokio::time::pause(); // files are looked at once a second
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    tokio::time::resume();
    assert!(!is_let_in(&node, old_client).await);
    assert!(is_let_in(&node, new_client).await);
}
