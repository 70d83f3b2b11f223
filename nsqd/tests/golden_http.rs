//! The HTTP API answers as the recordings of the Go nsqd.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use support::Node;
use support::http::{Answer, ask};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const FLAGS: &[&str] = &[
    "--node-id=7",
    "--max-msg-size=4096",
    "--max-body-size=16384",
    "--log-level=debug",
];

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the answers depend on is made on the way. `{x*9}` in a body is nine times x.
#[rustfmt::skip] // a table: request, body, status, answer
const RECORDED: &[(&str, &str, u16, &str)] = &[
    ("GET /ping", "", 200, "OK"),
    ("GET /config/nsqlookupd_tcp_addresses", "", 200, "[]"),
    ("GET /config/log_level", "", 200, "1"),
    ("GET /config/verbose", "", 400, "INVALID_OPTION"),
    ("GET /config/nope", "", 400, "INVALID_OPTION"),
    ("GET /nope", "", 404, "NOT_FOUND"),
    ("POST /ping", "", 405, "METHOD_NOT_ALLOWED"),
    ("GET /pub?topic=x", "", 405, "METHOD_NOT_ALLOWED"),
    ("PUT /pub?topic=x", "a", 405, "METHOD_NOT_ALLOWED"),
    ("POST /topic/create", "", 400, "MISSING_ARG_TOPIC"),
    ("POST /topic/create?topic=", "", 400, "INVALID_TOPIC"),
    ("POST /topic/create?topic=bad!name", "", 400, "INVALID_TOPIC"),
    ("POST /topic/create?topic=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", 400, "INVALID_TOPIC"),
    ("POST /topic/create?topic=t1", "", 200, ""),
    ("POST /topic/create?topic=t1", "", 200, ""),
    ("POST /topic/create?topic=eph%23ephemeral", "", 200, ""),
    ("POST /channel/create", "", 400, "MISSING_ARG_TOPIC"),
    ("POST /channel/create?topic=t1", "", 400, "MISSING_ARG_CHANNEL"),
    ("POST /channel/create?topic=nope&channel=c", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /channel/create?topic=t1&channel=bad!", "", 400, "INVALID_ARG_CHANNEL"),
    ("POST /channel/create?topic=bad!&channel=c", "", 400, "INVALID_ARG_TOPIC"),
    ("POST /channel/create?topic=t1&channel=c1", "", 200, ""),
    ("POST /channel/create?topic=t1&channel=c1", "", 200, ""),
    ("POST /topic/pause?topic=t1", "", 200, ""),
    ("POST /topic/unpause?topic=t1", "", 200, ""),
    ("POST /topic/pause?topic=nope", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /topic/pause", "", 400, "MISSING_ARG_TOPIC"),
    ("POST /channel/pause?topic=t1&channel=c1", "", 200, ""),
    ("POST /channel/unpause?topic=t1&channel=c1", "", 200, ""),
    ("POST /channel/pause?topic=t1&channel=nope", "", 404, "CHANNEL_NOT_FOUND"),
    ("POST /channel/empty?topic=t1&channel=nope", "", 404, "CHANNEL_NOT_FOUND"),
    ("POST /topic/empty?topic=nope", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /topic/empty?topic=bad!", "", 400, "INVALID_TOPIC"),
    ("POST /topic/delete?topic=nope", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /topic/delete?topic=bad!", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /topic/delete", "", 400, "MISSING_ARG_TOPIC"),
    ("POST /channel/delete?topic=t1&channel=nope", "", 404, "CHANNEL_NOT_FOUND"),
    ("POST /channel/delete?topic=nope&channel=c", "", 404, "TOPIC_NOT_FOUND"),
    ("POST /pub", "x", 400, "MISSING_ARG_TOPIC"),
    ("POST /pub?topic=bad!", "x", 400, "INVALID_TOPIC"),
    ("POST /pub?topic=%20t", "x", 400, "INVALID_TOPIC"),
    ("POST /pub?topic=t;1", "x", 400, "INVALID_REQUEST"),
    ("POST /pub?topic=%zz", "x", 400, "INVALID_REQUEST"),
    ("POST /pub?topic=t1", "", 400, "MSG_EMPTY"),
    ("POST /pub?topic=t1", "hello", 200, "OK"),
    ("POST /pub?topic=t1", "{x*4096}", 200, "OK"),
    ("POST /pub?topic=t1", "{x*4097}", 413, "MSG_TOO_BIG"),
    ("POST /pub?topic=t1", "{x*200000}", 413, "MSG_TOO_BIG"),
    ("POST /pub?topic=t1&defer=1000000", "deferred", 200, "OK"),
    ("POST /pub?topic=t1&defer=0", "deferred", 200, "OK"),
    ("POST /pub?topic=t1&defer=-1", "deferred", 400, "INVALID_DEFER"),
    ("POST /pub?topic=t1&defer=abc", "deferred", 400, "INVALID_DEFER"),
    ("POST /pub?topic=t1&defer=3600000", "deferred", 200, "OK"),
    ("POST /pub?topic=t1&defer=3600001", "deferred", 400, "INVALID_DEFER"),
    ("POST /mpub", "x", 400, "MISSING_ARG_TOPIC"),
    ("POST /mpub?topic=t1", "a\nb\n\n\nc", 200, "OK"),
    ("POST /mpub?topic=t1", "", 200, "OK"),
    ("POST /mpub?topic=t1", "\n\n\n", 200, "OK"),
    ("POST /mpub?topic=t1", "a\n{y*5002}", 413, "MSG_TOO_BIG"),
    ("POST /mpub?topic=t1", "{z*16385}", 413, "BODY_TOO_BIG"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0\x02\0\0\0\x01a\0\0\0\x02bb", 200, "OK"),
    ("POST /mpub?topic=t1&binary=1", "\0\0\0\x01\0\0\0\x01a", 200, "OK"),
    ("POST /mpub?topic=t1&binary=false", "a\nb", 200, "OK"),
    ("POST /mpub?topic=t1&binary=junk", "\0\0\0\x01\0\0\0\x01q", 200, "OK"),
    ("POST /mpub?topic=t1&binary=true", "", 413, "BAD_BODY"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0\x01\0\0\0\0", 413, "BAD_MESSAGE"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0\x01\0\0\x13\x08{x*4872}", 413, "BAD_MESSAGE"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0\0", 413, "BAD_BODY"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0c\0\0\0\x01a", 413, "BAD_MESSAGE"),
    ("POST /mpub?topic=t1&binary=true", "\x7f\x7f\x7f\x7f", 413, "BAD_BODY"),
    ("POST /mpub?topic=t1&binary=true", "\0\0\0\x01\0\0\0\x01atrailing", 200, "OK"),
    ("POST /put?topic=t1", "old", 404, "NOT_FOUND"),
    ("POST /mput?topic=t1", "old", 404, "NOT_FOUND"),
    ("PUT /config/log_level", "bogus", 400, "INVALID_VALUE"),
    ("PUT /config/log_level", "", 413, "INVALID_VALUE"),
    ("PUT /config/log_level", "error", 200, "4"),
    ("GET /config/log_level", "", 200, "4"),
    ("PUT /config/nsqlookupd_tcp_addresses", "x", 400, "INVALID_VALUE"),
    ("PUT /config/nsqlookupd_tcp_addresses", "[\"127.0.0.1:1\"]", 200, "[\"127.0.0.1:1\"]"),
    ("GET /config/nsqlookupd_tcp_addresses", "", 200, "[\"127.0.0.1:1\"]"),
    ("PUT /config/nsqlookupd_tcp_addresses", "[]", 200, "[]"),
    ("PUT /config/mem_queue_size", "1", 400, "INVALID_OPTION"),
    ("GET /config/mem_queue_size", "", 200, "10000"),
    ("GET /config/max_msg_size", "", 200, "4096"),
    ("GET /config/log_prefix", "", 200, "[nsqd] "),
    ("GET /stats?format=json&include_clients=false&include_mem=false", "", 200, r#"{"version":"1.3.0","health":"OK","start_time":0,"topics":[{"topic_name":"eph#ephemeral","channels":[],"depth":0,"backend_depth":0,"message_count":0,"message_bytes":0,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}},{"topic_name":"t1","channels":[{"channel_name":"c1","depth":13,"backend_depth":0,"in_flight_count":0,"deferred_count":2,"message_count":15,"requeue_count":0,"timeout_count":0,"client_count":0,"clients":null,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}],"depth":0,"backend_depth":0,"message_count":15,"message_bytes":4136,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}],"producers":null}"#),
    ("GET /stats?format=json&topic=t1&channel=c1&include_mem=0", "", 200, r#"{"version":"1.3.0","health":"OK","start_time":0,"topics":[{"topic_name":"t1","channels":[{"channel_name":"c1","depth":13,"backend_depth":0,"in_flight_count":0,"deferred_count":2,"message_count":15,"requeue_count":0,"timeout_count":0,"client_count":0,"clients":[],"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}],"depth":0,"backend_depth":0,"message_count":15,"message_bytes":4136,"paused":false,"e2e_processing_latency":{"count":0,"percentiles":null}}],"producers":null}"#),
    ("GET /stats?format=json&topic=t1&channel=nope&include_mem=false", "", 200, r#"{"version":"1.3.0","health":"OK","start_time":0,"topics":[],"producers":null}"#),
    ("GET /stats?format=json&topic=nope&include_mem=false", "", 200, r#"{"version":"1.3.0","health":"OK","start_time":0,"topics":null,"producers":null}"#),
    ("GET /stats?format=json;x", "", 400, "INVALID_REQUEST"),
    ("POST /channel/empty?topic=t1&channel=c1", "", 200, ""),
    ("POST /topic/empty?topic=t1", "", 200, ""),
    ("POST /channel/delete?topic=t1&channel=c1", "", 200, ""),
    ("POST /topic/delete?topic=t1", "", 200, ""),
    ("POST /topic/delete?topic=eph%23ephemeral", "", 200, ""),
    ("GET /stats?format=json&include_mem=false", "", 200, r#"{"version":"1.3.0","health":"OK","start_time":0,"topics":[],"producers":null}"#),
    ("DELETE /topic/delete?topic=t1", "", 405, "METHOD_NOT_ALLOWED"),
];

#[tokio::test]
async fn answers_are_the_recorded_ones() {
    let node = Node::start(FLAGS).await;
    for &(request, body, status, expected) in RECORDED {
        let answer = ask(&node, request, &repeated(body)).await;
        let expected = match status {
            200 => expected.to_owned(),
            _ => format!("{{\"message\":\"{expected}\"}}"),
        };
        assert_eq!(
            (answer.status, without_start(&answer.body)),
            (status, expected),
            "{request}"
        );
        check_headers(request, &answer);
    }
}

fn repeated(body: &str) -> Vec<u8> {
    let Some((before, rest)) = body.split_once('{') else {
        return body.as_bytes().to_vec();
    };
    let (what, count) = rest.split_once('}').unwrap().0.split_once('*').unwrap();
    let many = what.repeat(count.parse().unwrap());
    [before.as_bytes(), many.as_bytes()].concat()
}

fn without_start(body: &str) -> String {
    match body.split_once("\"start_time\":") {
        Some((before, rest)) => {
            let (time, after) = rest.split_once(',').unwrap();
            assert!(time.parse::<u64>().unwrap() > 1_700_000_000);
            format!("{before}\"start_time\":0,{after}")
        }
        None => body.to_owned(),
    }
}

fn check_headers(request: &str, answer: &Answer) {
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("Content-Length"), Some(length.as_str()));
    let ping = request == "GET /ping";
    let version = (!ping).then_some("nsq; version=1.0");
    assert_eq!(answer.header("X-Nsq-Content-Type"), version, "{request}");
    let kind = match answer.body.as_str() {
        "" => None,
        "OK" | "[nsqd] " => Some(TEXT),
        _ => Some(JSON),
    };
    assert_eq!(answer.header("Content-Type"), kind, "{request}");
    let allow = match (answer.status, request) {
        (405, "POST /ping") => Some("GET, OPTIONS"),
        (405, _) => Some("OPTIONS, POST"),
        _ => None,
    };
    assert_eq!(answer.header("Allow"), allow, "{request}");
}

#[tokio::test]
async fn paths_with_a_slash_too_many_and_other_methods() {
    let node = Node::start(&[]).await;
    let moved = ask(&node, "GET /ping/", b"").await;
    assert_eq!(
        (moved.status, moved.header("Location")),
        (301, Some("/ping"))
    );
    let head = ask(&node, "HEAD /ping", b"").await;
    assert_eq!((head.status, head.body.as_str()), (405, ""));
    let options = ask(&node, "OPTIONS /ping", b"").await;
    assert_eq!(
        (options.status, options.header("Allow")),
        (200, Some("GET, OPTIONS"))
    );
}

#[tokio::test]
async fn info_names_the_real_ports() {
    let node = Node::start(&[]).await;
    let info = ask(&node, "GET /info", b"").await;
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let ports = format!(
        "\"http_port\":{},\"tcp_port\":{},\"start_time\":",
        port(&node.http),
        port(&node.tcp)
    );
    assert!(info.body.contains(&ports), "{}", info.body);
    assert!(info.body.ends_with(
        "\"max_heartbeat_interval\":60000000000,\"max_output_buffer_size\":65536,\
         \"max_output_buffer_timeout\":30000000000,\"max_deflate_level\":6}"
    ));
}

/// A body without a length is bounded while it is read.
#[tokio::test]
async fn body_of_unknown_length_is_bounded() {
    let node = Node::start(FLAGS).await;
    let mut socket = TcpStream::connect(&node.http).await.unwrap();
    let head = "POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    for _ in 0..3 {
        socket.write_all(chunk.as_bytes()).await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = support::http::read(socket).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (413, "{\"message\":\"MSG_TOO_BIG\"}")
    );
    assert!(node.nsqd.find_topic("t").is_none());
}

#[tokio::test]
async fn a_stopping_node_takes_nothing_more() {
    let node = Node::start(&[]).await;
    node.nsqd.begin_exit();
    let answer = ask(&node, "POST /pub?topic=t", b"x").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "{\"message\":\"EXITING\"}")
    );
}

#[tokio::test]
async fn stats_show_consumers_and_producers() {
    let node = Node::start(&[]).await;
    let mut client = node.connect().await;
    client
        .identify(
            r#"{"client_id":"cid","hostname":"host.example","user_agent":"rec/1","sample_rate":0}"#,
        )
        .await;
    client.publish("flow", "one").await;
    client.publish("side", "x").await;
    client.subscribe("flow", "ch", 1).await;
    let message = client.message().await;
    client.finish(&message).await;
    client.publish("flow", "two").await;
    client.message().await;
    let channel = node.channel("flow", "ch").await;
    let shown = &channel.clients.unwrap()[0];
    assert_eq!(channel.client_count, 1);
    assert_eq!(
        (
            shown.client_id.as_str(),
            shown.hostname.as_str(),
            shown.user_agent.as_str()
        ),
        ("cid", "host.example", "rec/1")
    );
    assert_eq!(
        (shown.state, shown.ready_count, shown.in_flight_count),
        (3, 1, 1)
    );
    assert_eq!((shown.message_count, shown.finish_count), (2, 1));
    let text = ask(&node, "GET /stats", b"").await.body;
    let producer = "] msgs: 3        topics: flow=2,side=1 connected: ";
    assert_eq!(text.matches(producer).count(), 2, "{text}");
    let metrics = ask(&node, "GET /metrics", b"").await;
    assert_eq!(metrics.header("Content-Type"), Some(TEXT));
    for line in [
        "nsq_topic_message_count{topic=\"flow\"} 2\n",
        "nsq_channel_in_flight_count{topic=\"flow\",channel=\"ch\"} 1\n",
        "nsqd_connections 1\n",
    ] {
        assert!(metrics.body.contains(line), "{line}");
    }
    client.say("CLS").await;
    client.response("CLOSE_WAIT").await;
    assert_eq!(
        node.channel("flow", "ch").await.clients.unwrap()[0].state,
        4
    );
}
