//! AUTH against real HTTP servers.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::auth_server::{AuthServer, answer, everything};
use support::http::ask;
use support::script::play;
use support::upgrade::{self, Cert, Compression};
use support::wire::sized;
use support::{Node, Wire};
use tokio::net::TcpStream;

const BOB: &str = r#"{"ttl":3600,"identity":"bob","identity_url":"http://id","authorizations":[
    {"topic":"^okt$","channels":["^c.*$"],"permissions":["subscribe","publish"]},
    {"topic":"^ro$","channels":[".*"],"permissions":["subscribe"]}]}"#;

const AUTH_OK: &str = r#"{"identity":"bob","identity_url":"http://id","permission_count":1}"#;

#[tokio::test]
async fn answers_are_the_recorded_ones() {
    let server = AuthServer::start(|request| match request.line.as_str() {
        line if line.contains("secret=good&") => answer(200, BOB),
        line if line.contains("secret=none&") => answer(200, r#"{"ttl":10}"#),
        _ => answer(403, "{}"),
    });
    let node = Node::start(&[&server.flag()]).await;
    for section in include_str!("golden/auth.txt").split("--- ").skip(1) {
        let (name, script) = section.split_once('\n').unwrap();
        play(&node, name, script).await;
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 10);
    assert_eq!(
        seen[0].line,
        "GET /auth?common_name=&remote_ip=127.0.0.1&secret=good&tls=false"
    );
    assert_eq!(seen[0].accept, "application/vnd.nsq; version=1.0");
    // HTTP is not subject to it.
    assert_eq!(ask(&node, "POST /pub?topic=other", b"x").await.status, 200);
}

async fn connect(node: &Node) -> Wire<TcpStream> {
    node.connect().await
}

async fn login(node: &Node) -> Wire<TcpStream> {
    let mut wire = connect(node).await;
    wire.send(&sized("AUTH", &[b"good"])).await;
    wire.response(AUTH_OK).await;
    wire
}

#[tokio::test]
async fn stats_show_as_whom() {
    let server = AuthServer::start(|_| everything(3600, r#""publish","subscribe""#));
    let node = Node::start(&[&server.flag()]).await;
    let mut wire = login(&node).await;
    wire.publish("t", "x").await;
    wire.subscribe("t", "c", 1).await;
    let message = wire.message().await;
    assert_eq!(message.body, "x");
    let client = node.channel("t", "c").await.clients.unwrap().remove(0);
    assert!(client.authed);
    assert_eq!(
        (
            client.auth_identity.as_str(),
            client.auth_identity_url.as_str()
        ),
        ("bob", "http://id")
    );
}

/// Commands behind AUTH in one write wait for the server's answer, and are not lost.
#[tokio::test]
async fn commands_behind_auth_wait_for_it() {
    let server = AuthServer::start(|_| everything(3600, r#""publish""#));
    let node = Node::start(&[&server.flag()]).await;
    let mut wire = connect(&node).await;
    let mut bytes = sized("AUTH", &[b"good"]);
    let large = vec![b'x'; 700_000];
    for body in [&b"one"[..], &large, b"two"] {
        bytes.extend(sized("PUB t", &[body]));
    }
    wire.send(&bytes).await;
    wire.response(AUTH_OK).await;
    for _ in 0..3 {
        wire.response("OK").await;
    }
    assert_eq!(node.topic("t").await.depth, 3);
}

/// Lets `seconds` pass for the node, without waiting.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn asks_again_when_the_answer_has_expired() {
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let server = AuthServer::start(move |_| match times.fetch_add(1, Ordering::SeqCst) {
        0 => everything(5, r#""publish""#),
        1 => everything(60, r#""publish""#),
        _ => answer(500, ""),
    });
    let node = Node::start(&[&server.flag()]).await;
    let mut wire = login(&node).await;
    wire.publish("t", "one").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it holds");
    pass(6).await;
    // Several at once: asked once, all of them published.
    let mut bytes = sized("PUB t", &[b"two"]);
    bytes.extend(sized(
        "MPUB t",
        &[&support::wire::batch(&["three", "four"])],
    ));
    wire.send(&bytes).await;
    wire.response("OK").await;
    wire.response("OK").await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(node.topic("t").await.depth, 4);
    wire.say("NOP").await;
    pass(30).await;
    wire.say("NOP").await;
    pass(31).await;
    // The server fails: nobody may any more.
    wire.send(&sized("PUB t", &[b"five"])).await;
    loop {
        match wire.frame().await {
            Some(support::Frame::Response(text)) => assert_eq!(text, "_heartbeat_"),
            other => {
                let refused = support::Frame::Error("E_AUTH_FAILED AUTH failed".to_owned());
                assert_eq!(other, Some(refused));
                break;
            }
        }
    }
    wire.closed().await;
    assert_eq!(node.topic("t").await.depth, 4);
}

#[tokio::test]
async fn an_answer_that_takes_permissions_back_counts() {
    let asked = AtomicUsize::new(0);
    let server = AuthServer::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => everything(5, r#""publish""#),
        _ => answer(200, r#"{"ttl":5}"#),
    });
    let node = Node::start(&[&server.flag()]).await;
    let mut wire = login(&node).await;
    wire.publish("t", "one").await;
    pass(6).await;
    wire.send(&sized("PUB t", &[b"two"])).await;
    wire.error(r#"E_UNAUTHORIZED AUTH failed for PUB on "t" """#)
        .await;
    wire.closed().await;
}

#[tokio::test]
async fn bad_answers_are_none() {
    let good = everything(60, r#""publish""#);
    let (_, json) = good.split_once("\r\n\r\n").unwrap();
    let elsewhere = AuthServer::start(|_| everything(60, r#""publish""#));
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/auth\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address
    );
    let large = format!("{}{json}", " ".repeat(2 << 20));
    let replies = [
        redirect,
        answer(200, &large),
        answer(200, "not json"),
        answer(200, &json.replace("\"ttl\":60", "\"ttl\":0")),
        answer(200, &json.replace("publish", "admin")),
        answer(200, &json.replace(".*", "(")),
        answer(500, json),
        "garbage\r\n\r\n".to_owned(),
        String::new(), // silence
    ];
    // Each login is answered with the next.
    let (told, asked) = (replies.clone(), AtomicUsize::new(0));
    let server = AuthServer::start(move |_| replies[asked.fetch_add(1, Ordering::SeqCst)].clone());
    let timeout = "--http-client-request-timeout=200ms";
    let node = Node::start(&[&server.flag(), timeout]).await;
    for told in told {
        let mut wire = connect(&node).await;
        wire.send(&sized("AUTH", &[b"good"])).await;
        let refused = support::Frame::Error("E_AUTH_FAILED AUTH failed".to_owned());
        let told = &told[..told.len().min(200)];
        assert_eq!(wire.frame().await, Some(refused), "{told}");
        wire.closed().await;
    }
    assert_eq!(elsewhere.seen(), []);
}

#[tokio::test]
async fn one_good_server_of_several_is_enough() {
    /// A third of them begins with the good one: that none does happens once in ten million runs.
    const LOGINS: usize = 40;
    let broken = AuthServer::start(|_| answer(500, ""));
    let good = AuthServer::start(|_| everything(60, r#""publish""#));
    let url = format!("--auth-http-address=http://{}/other/path", good.address);
    // Nobody listens on the third: its port was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("--auth-http-address={}", listener.local_addr().unwrap());
    drop(listener); // it would let connections in and never answer
    let node = Node::start(&[&broken.flag(), &url, &gone]).await;
    for _ in 0..LOGINS {
        login(&node).await.publish("t", "x").await;
    }
    assert!(good.seen()[0].line.starts_with("GET /other/path?common_"));
    // It does not always begin with the same one.
    let tried = broken.seen().len();
    assert!(tried < LOGINS, "{tried}");
}

#[tokio::test]
async fn post_keeps_the_secret_out_of_the_url() {
    let server = AuthServer::start(|_| everything(60, r#""publish""#));
    let node = Node::start(&[&server.flag(), "--auth-http-request-method=post"]).await;
    login(&node).await.publish("t", "x").await;
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /auth");
    assert_eq!(
        seen[0].body,
        "common_name=&remote_ip=127.0.0.1&secret=good&tls=false"
    );
}

#[tokio::test]
async fn tls_and_the_certificates_name_are_told() {
    let server = AuthServer::start(|_| everything(60, r#""publish""#));
    let (cert, own) = (Cert::new(), Cert::new());
    let policy = "--tls-client-auth-policy=require";
    let node = upgrade::node(&cert, &[&server.flag(), policy]).await;
    let config = cert.client(Some(&own));
    let mut client = upgrade::upgraded(&node, config, true, Compression::None, 4096).await;
    client.send(&sized("AUTH", &[b"good"])).await;
    client.expect(0, AUTH_OK).await;
    assert_eq!(
        server.seen()[0].line,
        "GET /auth?common_name=rcgen+self+signed+cert&remote_ip=127.0.0.1&secret=good&tls=true"
    );
}
