//! Who may use the HTTP API, over what, and lookups that wait for news.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use nsq_http_api::{Client, ClientOptions, TlsOptions};
use nsqlookupd::Nsqlookupd;
use nsqlookupd::options::Options;
use support::{Peer, get, http, http_at, options, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Where nothing can be changed, there is no such request.
async fn assert_unknown(address: &str, request: &str) {
    assert_eq!(http_at(address, request, "").await.0, 404, "{request}");
}

#[tokio::test]
async fn a_token_is_needed_but_where_nothing_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let lookupd = Nsqlookupd::start(&Options {
        http_token_file: write(&directory, "tokens", "secret\n"),
        http_read_only_address: "127.0.0.1:0".into(),
        ..options()
    })
    .await
    .unwrap();
    for request in [
        "GET /nodes",
        "GET /ping",
        "POST /topic/create?topic=t",
        "GET /nope",
    ] {
        assert_eq!(
            http_at(lookupd.http_address(), request, "").await.0,
            401,
            "{request}"
        );
    }
    let token = "Authorization: Bearer secret\r\n";
    let made = http_at(lookupd.http_address(), "POST /topic/create?topic=t", token).await;
    assert_eq!(made.0, 200);
    let open = lookupd.read_only_address();
    for path in [
        "/ping",
        "/livez",
        "/readyz",
        "/info",
        "/metrics",
        "/lookup?topic=t",
        "/topics",
        "/channels?topic=t",
        "/nodes",
    ] {
        assert_eq!(
            http_at(open, &format!("GET {path}"), "").await.0,
            200,
            "{path}"
        );
    }
    for request in [
        "POST /topic/create?topic=t",
        "POST /topic/delete?topic=t",
        "GET /debug",
    ] {
        assert_unknown(open, request).await;
    }
    // nsqd has no token: it is told to ask where it needs none.
    let mut peer = Peer::connect(&lookupd).await;
    let told = peer.identify(support::IDENTITY).await;
    let port = open.rsplit_once(':').unwrap().1;
    assert!(told.contains(&format!(r#""http_port":{port}"#)), "{told}");
}

#[tokio::test]
async fn https_clients_can_be_asked_for_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert = write(&directory, "cert", &made.cert.pem());
    let key = write(&directory, "key", &made.signing_key.serialize_pem());
    let roots = write(&directory, "roots", &made.cert.pem());
    let lookupd = Nsqlookupd::start(&Options {
        https_address: "127.0.0.1:0".into(),
        http_address: String::new(),
        tls_cert: cert.clone(),
        tls_key: key.clone(),
        tls_client_auth_policy: "require-verify".into(),
        tls_root_ca_file: roots.clone(),
        ..options()
    })
    .await
    .unwrap();
    assert_eq!(lookupd.http_address(), "");
    let port = lookupd.https_address().rsplit_once(':').unwrap().1;
    let address = format!("https://localhost:{port}");
    let client = |identity| {
        let tls = TlsOptions {
            root_ca_file: Some(cert.clone().into()),
            identity,
            insecure_skip_verify: false,
        };
        Client::new(ClientOptions {
            tls: Some(tls.build().unwrap()),
            ..ClientOptions::default()
        })
    };
    let own = Some((cert.clone().into(), key.into()));
    client(own.clone())
        .nsqlookupd(&address)
        .ping()
        .await
        .unwrap();
    assert!(client(None).nsqlookupd(&address).ping().await.is_err());
    // Another authority in the file, and the one before is no longer known; without a restart.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let shown = write(&directory, "other", &other.cert.pem());
    let signs = write(&directory, "other-key", &other.signing_key.serialize_pem());
    let renewed = write(&directory, "renewed", &other.cert.pem());
    std::fs::rename(renewed, &roots).unwrap();
    tokio::time::pause(); // files are looked at once a second
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    tokio::time::resume();
    let other = Some((shown.into(), signs.into()));
    client(other).nsqlookupd(&address).ping().await.unwrap();
    assert!(client(own).nsqlookupd(&address).ping().await.is_err());
}

/// Sends a request, and leaves the answer for later.
async fn ask(lookupd: &Nsqlookupd, path: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect(lookupd.http_address()).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// Status, tag and body.
async fn answer(mut socket: TcpStream) -> (String, String, String) {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("Etag: "));
    (
        head[9..12].to_owned(),
        tag.unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

async fn waiting(lookupd: &Nsqlookupd, count: usize) {
    let line = format!("nsqlookupd_lookups_waiting {count}\n");
    while !get(lookupd, "/metrics").await.contains(&line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_lookup_that_waits_sees_a_new_topic_and_every_change() {
    let lookupd = start().await;
    let waits = ask(&lookupd, "/lookup?topic=t&wait=60", "").await;
    waiting(&lookupd, 1).await;
    let mut peer = Peer::identified(&lookupd).await;
    // Another topic is no news.
    assert_eq!(peer.say("REGISTER other c").await, "OK");
    waiting(&lookupd, 1).await;
    assert_eq!(peer.say("REGISTER t").await, "OK");
    let (status, tag, body) = answer(waits).await;
    assert_eq!(status, "200");
    assert!(body.contains("10.1.2.3"), "{body}");
    // Who knows that waits for the next: a channel, then the end of the nsqd.
    let known = format!("If-None-Match: {tag}\r\n");
    let waits = ask(&lookupd, "/lookup?topic=t&wait=60", &known).await;
    waiting(&lookupd, 1).await;
    assert_eq!(peer.say("REGISTER t c").await, "OK");
    let (_, tag, body) = answer(waits).await;
    assert!(body.contains(r#""channels":["c"]"#), "{body}");
    let known = format!("If-None-Match: {tag}\r\n");
    let waits = ask(&lookupd, "/lookup?topic=t&wait=60", &known).await;
    waiting(&lookupd, 1).await;
    drop(peer);
    let (_, _, body) = answer(waits).await;
    assert!(body.contains(r#""producers":[]"#), "{body}");
    // No news in time, and no waiting at all.
    let (status, tag, _) = answer(ask(&lookupd, "/lookup?topic=new&wait=0", "").await).await;
    assert_eq!((status.as_str(), tag.is_empty()), ("404", false));
    assert_eq!(http(&lookupd, "GET /lookup?topic=t&wait=soon").await.0, 400);
    assert_eq!(http(&lookupd, "GET /lookup?topic=new").await.0, 404);
    tokio::time::timeout(Duration::from_secs(60), lookupd.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn clients_outside_see_the_addresses_of_a_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "addresses", "# none yet\n");
    let lookupd = Nsqlookupd::start(&Options {
        external_http_address: "127.0.0.1:0".into(),
        external_addresses: file.clone(),
        ..options()
    })
    .await
    .unwrap();
    let mut peer = Peer::identified(&lookupd).await;
    assert_eq!(peer.say("REGISTER t c").await, "OK");
    let outside = lookupd.external_address();
    let (status, body) = http_at(outside, "GET /lookup?topic=t", "").await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"channels":["c"],"producers":[]}"#)
    );
    write(
        &directory,
        "addresses",
        "10.1.2.3 203.0.113.7 31050 31051\n",
    );
    for path in ["/lookup?topic=t", "/nodes"] {
        // The file is looked at once a second.
        let seen = async {
            loop {
                let body = http_at(outside, &format!("GET {path}"), "").await.1;
                if body.contains(
                    r#""broadcast_address":"203.0.113.7","tcp_port":31050,"http_port":31051"#,
                ) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen)
            .await
            .unwrap();
        let inside = http_at(lookupd.http_address(), &format!("GET {path}"), "")
            .await
            .1;
        assert!(
            inside.contains(r#""broadcast_address":"10.1.2.3","tcp_port":9150"#),
            "{inside}"
        );
    }
    for request in [
        "POST /topic/create?topic=u",
        "POST /topic/tombstone?topic=t&node=n",
        "GET /debug",
    ] {
        assert_unknown(outside, request).await;
    }
    lookupd.stop().await;
}
