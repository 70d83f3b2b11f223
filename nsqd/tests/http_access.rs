//! Who may use the HTTP API, and what probes and people who look inside are told.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use nsq_http_api::{Client, ClientOptions, ErrorKind, TlsOptions};
use serde_json::Value;
use support::Node;
use support::http::{ask, ask_at};
use support::upgrade::{self, Cert};

#[tokio::test]
async fn a_token_is_needed_where_there_is_a_token_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, "secret\n").unwrap();
    let flag = format!("--http-token-file={}", file.display());
    let node = Node::start(&[&flag, "--http-read-only-address=127.0.0.1:0"]).await;
    for request in ["GET /stats", "GET /ping", "POST /pub?topic=t", "GET /nope"] {
        let answer = ask(&node, request, b"x").await;
        assert_eq!(answer.status, 401, "{request}");
        assert_eq!(answer.body, r#"{"message":"UNAUTHORIZED"}"#);
        assert_eq!(answer.header("Www-Authenticate"), Some("Bearer"));
    }
    let bare = Client::default();
    let refused = bare.nsqd(&node.http).publish("t", "x").await.unwrap_err();
    assert!(matches!(
        refused.kind,
        ErrorKind::Status { status: 401, .. }
    ));
    let client = Client::new(ClientOptions {
        token_file: Some(file.clone()),
        ..ClientOptions::default()
    });
    let nsqd = client.nsqd(&node.http);
    nsqd.publish("t", "x").await.unwrap();
    assert_eq!(nsqd.info().await.unwrap().version, "1.3.0");
    // Probes and monitoring need none, and can change nothing.
    let open = node.read_only.as_deref().unwrap();
    for path in ["/ping", "/livez", "/readyz", "/stats", "/metrics", "/info"] {
        let answer = ask_at(open, &format!("GET {path}"), b"").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for request in [
        "POST /pub?topic=t",
        "PUT /config/log_level",
        "GET /config/log_level",
        "GET /debug/tasks",
        "POST /topic/create?topic=x",
    ] {
        let answer = ask_at(open, request, b"x").await;
        assert_eq!(answer.status, 404, "{request}");
    }
}

#[tokio::test]
async fn https_clients_can_be_asked_for_certificates() {
    let (cert, own) = (Cert::new(), Cert::new());
    let roots = format!("--tls-root-ca-file={}", own.path("cert").display());
    let policy = "--tls-client-auth-policy=require-verify";
    let node = upgrade::node(&cert, &[policy, &roots]).await;
    let port = node.https.as_deref().unwrap().rsplit_once(':').unwrap().1;
    let address = format!("https://localhost:{port}");
    let client = |own: Option<&Cert>| {
        let tls = TlsOptions {
            root_ca_file: Some(cert.path("cert")),
            identity: own.map(|own| (own.path("cert"), own.path("key"))),
            insecure_skip_verify: false,
        };
        Client::new(ClientOptions {
            tls: Some(tls.build().unwrap()),
            ..ClientOptions::default()
        })
    };
    client(Some(&own)).nsqd(&address).ping().await.unwrap();
    let stranger = client(None).nsqd(&address).ping().await.unwrap_err();
    assert!(
        matches!(stranger.kind, ErrorKind::Transport(_)),
        "{stranger}"
    );
    let unencrypted = Client::default().nsqd(&address).ping().await.unwrap_err();
    assert!(unencrypted.to_string().contains("https"), "{unencrypted}");
    let plain = ask(&node, "GET /ping", b"").await;
    assert_eq!(plain.status, 403);
}

#[tokio::test]
async fn people_can_look_inside() {
    let node = Node::start(&[]).await;
    let mut wire = node.connect().await;
    wire.publish("t", "hello").await;
    wire.send(b"PUB t\n\0\0\x01\0half").await;
    let get = async |path: &str| -> Value {
        let answer = ask(&node, &format!("GET {path}"), b"").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    };
    let memory = get("/debug/memory").await;
    assert!(memory["process"]["VmRSS"].as_u64().unwrap() > 1 << 20);
    assert_eq!(memory["topics"][0]["topic"], "t");
    assert_eq!(memory["topics"][0]["bytes"], 5);
    let tasks = get("/debug/tasks").await;
    let task = &tasks["connections"][0];
    assert_eq!(task["output_bytes"], 0);
    assert!(
        task["remote_address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let cpu = get("/debug/cpu?seconds=1").await;
    let threads = cpu["threads"].as_array().unwrap();
    assert!(threads.iter().any(|thread| thread["name"] == "pager"));
    for bad in ["0", "61", "x"] {
        let answer = ask(&node, &format!("GET /debug/cpu?seconds={bad}"), b"").await;
        assert_eq!(answer.body, r#"{"message":"INVALID_ARG_SECONDS"}"#);
    }
}
