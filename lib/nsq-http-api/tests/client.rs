//! The client against servers that behave, refuse, talk too much, or say nothing.

#![allow(clippy::unwrap_used)] // a test may

use std::time::Duration;

use nsq_http_api::{Client, ClientOptions, ErrorKind, StatsQuery};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers one request with these bytes; gives back what was asked.
async fn answering(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        // The client may hang up first, when the answer is larger than it accepts.
        let _ = socket.write_all(answer.as_bytes()).await;
        String::from_utf8(request).unwrap()
    });
    (address, server)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn reads_an_answer() {
    let (address, server) = answering(http("200 OK", r#"{"channels":["c"]}"#)).await;
    let client = Client::default();
    let channels = client
        .nsqlookupd(&address)
        .channels("t#ephemeral")
        .await
        .unwrap();
    assert_eq!(channels, ["c"]);
    assert!(
        server
            .await
            .unwrap()
            .starts_with("GET /channels?topic=t%23ephemeral HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn asks_for_stats_as_told() {
    let (address, server) = answering(http("200 OK", r#"{"topics":null}"#)).await;
    let query = StatsQuery {
        topic: Some("t"),
        include_clients: false,
        ..StatsQuery::default()
    };
    let stats = Client::default().nsqd(&address).stats(query).await.unwrap();
    assert_eq!(stats.topics, None);
    let request = server.await.unwrap();
    let line =
        "GET /stats?format=json&include_clients=false&include_mem=false&topic=t HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn refusal_carries_address_status_and_code() {
    let answer = http("404 Not Found", r#"{"message":"TOPIC_NOT_FOUND"}"#);
    let (address, _server) = answering(answer).await;
    let err = Client::default()
        .nsqd(&address)
        .delete_topic("t")
        .await
        .unwrap_err();
    assert!(err.is_not_found());
    assert_eq!(
        err.to_string(),
        format!("POST /topic/delete?topic=t at {address}: status 404 TOPIC_NOT_FOUND")
    );
}

#[tokio::test]
async fn unhealthy_ping_says_why() {
    let (address, _server) = answering(http("500 Internal Server Error", "NOK - disk full")).await;
    let err = Client::default().nsqd(&address).ping().await.unwrap_err();
    assert_eq!(err.code(), Some("NOK - disk full"));
}

#[tokio::test]
async fn answer_is_bounded_in_size() {
    let (address, _server) = answering(http("200 OK", &"x".repeat(100_000))).await;
    let client = Client::new(ClientOptions {
        max_response_bytes: 1000,
        ..Default::default()
    });
    let err = client.nsqd(&address).info().await.unwrap_err();
    assert_eq!(err.kind, ErrorKind::TooLarge(1000));
}

#[tokio::test]
async fn silence_is_bounded_in_time() {
    // Accepts connections in its backlog and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let request_timeout = Duration::from_millis(30);
    let client = Client::new(ClientOptions {
        request_timeout,
        ..Default::default()
    });
    let err = client.nsqlookupd(&address).nodes().await.unwrap_err();
    assert_eq!(err.kind, ErrorKind::TimedOut(request_timeout));
}

#[tokio::test]
async fn nobody_there_and_no_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = Client::default();
    let err = client.nsqd(&address).ping().await.unwrap_err();
    assert!(err.to_string().contains("refused"), "{err}");

    let err = client.nsqd("not an address").ping().await.unwrap_err();
    assert!(matches!(err.kind, ErrorKind::Address(_)), "{err}");
}
