//! NSQ's HTTP conventions over a real socket, byte for byte where clients look.

#![allow(clippy::unwrap_used)] // a test may

use nsq_daemon::http::{Answer, Api, ApiError, Params, serve};
use nsq_daemon::listen::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Server {
    address: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn create(params: Params) -> Result<Answer, ApiError> {
    params.required("topic", "MISSING_ARG_TOPIC")?;
    Ok(Answer::Empty)
}

async fn server() -> Server {
    let router = Api::new()
        .get("/ping", async || Answer::Plain("OK".to_owned()))
        .get("/info", async || Answer::json(&["x"]))
        .post("/topic/create", create)
        .post("/pub", async || Answer::ok())
        .get("/config/{option}", async || Answer::json(&1))
        .put("/config/{option}", async || Answer::json(&2))
        .into_router(());
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.to_string();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, stop.clone()));
    Server {
        address,
        stop,
        task,
    }
}

impl Server {
    /// The whole answer, without its date.
    async fn raw(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("Date: "))
            .collect()
    }

    async fn ask(&self, line: &str) -> String {
        self.raw(&format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    /// Status line, sorted headers without `Connection`, body.
    async fn parts(&self, line: &str) -> (String, Vec<String>, String) {
        let answer = self.ask(line).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap();
        let mut headers: Vec<_> = lines
            .filter(|line| !line.eq_ignore_ascii_case("connection: close"))
            .collect();
        headers.sort();
        (status, headers, body.to_owned())
    }
}

const JSON: &str = "Content-Type: application/json; charset=utf-8";
const NSQ: &str = "X-Nsq-Content-Type: nsq; version=1.0";

#[tokio::test]
async fn good_answers() {
    let server = server().await;
    let text = "Content-Type: text/plain; charset=utf-8";
    for (request, headers, body) in [
        ("GET /ping", vec!["Content-Length: 2", text], "OK"),
        ("GET /info", vec!["Content-Length: 5", JSON, NSQ], "[\"x\"]"),
        ("POST /pub", vec!["Content-Length: 2", text, NSQ], "OK"),
        (
            "POST /topic/create?topic=t",
            vec!["Content-Length: 0", NSQ],
            "",
        ),
        (
            "GET /config/log_level",
            vec!["Content-Length: 1", JSON, NSQ],
            "1",
        ),
        (
            "PUT /config/log_level",
            vec!["Content-Length: 1", JSON, NSQ],
            "2",
        ),
    ] {
        let answer = server.parts(request).await;
        assert_eq!(answer.0, "HTTP/1.1 200 OK", "{request}");
        assert_eq!(
            (answer.1, answer.2.as_str()),
            (headers.iter().map(|h| (*h).to_owned()).collect(), body)
        );
    }
}

#[tokio::test]
async fn refusals() {
    let server = server().await;
    for (request, status, allow, code) in [
        ("GET /nope", "404 Not Found", None, "NOT_FOUND"),
        ("GET /nope/", "404 Not Found", None, "NOT_FOUND"),
        ("GET /", "404 Not Found", None, "NOT_FOUND"),
        (
            "POST /topic/create",
            "400 Bad Request",
            None,
            "MISSING_ARG_TOPIC",
        ),
        (
            "POST /topic/create?topic=t;1",
            "400 Bad Request",
            None,
            "INVALID_REQUEST",
        ),
        (
            "POST /ping",
            "405 Method Not Allowed",
            Some("GET, OPTIONS"),
            "METHOD_NOT_ALLOWED",
        ),
        (
            "PUT /pub?topic=x",
            "405 Method Not Allowed",
            Some("OPTIONS, POST"),
            "METHOD_NOT_ALLOWED",
        ),
        (
            "DELETE /config/x",
            "405 Method Not Allowed",
            Some("GET, OPTIONS, PUT"),
            "METHOD_NOT_ALLOWED",
        ),
    ] {
        let body = format!("{{\"message\":\"{code}\"}}");
        let mut headers = vec![
            JSON.to_owned(),
            NSQ.to_owned(),
            format!("Content-Length: {}", body.len()),
        ];
        headers.extend(allow.map(|allow| format!("Allow: {allow}")));
        headers.sort();
        let expected = (format!("HTTP/1.1 {status}"), headers, body);
        assert_eq!(server.parts(request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn head_is_refused_without_a_body() {
    let (status, headers, body) = server().await.parts("HEAD /ping").await;
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("HTTP/1.1 405 Method Not Allowed", "")
    );
    assert!(
        headers.contains(&"Allow: GET, OPTIONS".to_owned()),
        "{headers:?}"
    );
}

#[tokio::test]
async fn options_tells_methods() {
    let (status, headers, body) = server().await.parts("OPTIONS /ping").await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(headers, ["Allow: GET, OPTIONS", "Content-Length: 0"]);
}

#[tokio::test]
async fn trailing_slash_is_redirected() {
    let server = server().await;
    let (status, headers, body) = server.parts("GET /ping/").await;
    assert_eq!(status, "HTTP/1.1 301 Moved Permanently");
    assert_eq!(
        headers,
        [
            "Content-Length: 40",
            "Content-Type: text/html; charset=utf-8",
            "Location: /ping"
        ]
    );
    assert_eq!(body, "<a href=\"/ping\">Moved Permanently</a>.\n\n");

    let (status, headers, _) = server.parts("POST /pub/?topic=t").await;
    assert_eq!(status, "HTTP/1.1 308 Permanent Redirect");
    assert!(
        headers.contains(&"Location: /pub?topic=t".to_owned()),
        "{headers:?}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    // Somebody who takes the HTTP port for the TCP port.
    let answer = server().await.raw("  V2\0\0\0\u{1}IDENTIFY\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn stops_when_told_and_closes_idle_connections() {
    let server = server().await;
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    idle.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.cancel();
    server.task.await.unwrap();
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(TcpStream::connect(&server.address).await.is_err());
}
