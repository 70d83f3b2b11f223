//! What NSQ's nsqlookupd 1.3.0 was recorded to answer, over real sockets.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use support::{IDENTITY, Peer, get, http, start};

#[tokio::test]
async fn nsqd_registers_and_is_found() {
    let lookupd = start().await;
    let mut peer = Peer::connect(&lookupd).await;
    let own = peer.identify(IDENTITY).await;
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let hostname = nsq_daemon::identity::hostname();
    assert_eq!(
        own,
        format!(
            r#"{{"broadcast_address":"127.0.0.1","hostname":"{hostname}","http_port":{},"tcp_port":{},"version":"1.3.0"}}"#,
            port(lookupd.http_address()),
            port(lookupd.tcp_address())
        )
    );
    for line in ["PING", "REGISTER lt9", "REGISTER lt9 ch9"] {
        assert_eq!(peer.say(line).await, "OK", "{line}");
    }
    let remote = peer.address();
    assert_eq!(
        get(&lookupd, "/lookup?topic=lt9").await,
        format!(
            r#"{{"channels":["ch9"],"producers":[{{"remote_address":"{remote}","hostname":"peer","broadcast_address":"10.1.2.3","tcp_port":9150,"http_port":9151,"version":"1.3.0"}}]}}"#
        )
    );
    let refusal = peer.say("REGISTER bad! x").await;
    assert_eq!(
        refusal,
        "E_BAD_TOPIC REGISTER topic name 'bad!' is not valid"
    );
    peer.assert_closed().await;
}

#[tokio::test]
async fn unregistered_names_stay() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    assert_eq!(peer.say("REGISTER lt9 ch9").await, "OK");
    assert_eq!(peer.say("UNREGISTER lt9 ch9").await, "OK");
    assert_eq!(
        get(&lookupd, "/channels?topic=lt9").await,
        r#"{"channels":["ch9"]}"#
    );
    assert_eq!(peer.say("UNREGISTER lt9").await, "OK");
    assert_eq!(
        get(&lookupd, "/lookup?topic=lt9").await,
        r#"{"channels":["ch9"],"producers":[]}"#
    );
    assert_eq!(peer.say("UNREGISTER nope").await, "OK");
    assert_eq!(
        peer.say("REGISTER").await,
        "E_INVALID REGISTER insufficient number of params"
    );
    peer.assert_closed().await;
}

#[tokio::test]
async fn ephemeral_names_go() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    assert_eq!(peer.say("REGISTER et#ephemeral ec#ephemeral").await, "OK");
    let debug = get(&lookupd, "/debug").await;
    let remote = peer.address();
    let producer = |tail: &str| {
        format!(
            r#"[{{"broadcast_address":"10.1.2.3","hostname":"peer","http_port":9151,"id":"{remote}",{tail}"#
        )
    };
    for key in [
        "client::",
        "channel:et#ephemeral:ec#ephemeral",
        "topic:et#ephemeral:",
    ] {
        let entry = format!(r#""{key}":{}"#, producer(r#""last_update":"#));
        assert!(debug.contains(&entry), "{entry} in {debug}");
    }
    assert!(debug.contains(
        r#","tcp_port":9150,"tombstoned":false,"tombstoned_at":-6795364578871345152,"version":"1.3.0"}]"#
    ));
    assert_eq!(peer.say("UNREGISTER et#ephemeral ec#ephemeral").await, "OK");
    assert_eq!(
        get(&lookupd, "/channels?topic=et%23ephemeral").await,
        r#"{"channels":[]}"#
    );
    assert_eq!(peer.say("UNREGISTER et#ephemeral").await, "OK");
    assert_eq!(get(&lookupd, "/topics").await, r#"{"topics":[]}"#);
}

#[tokio::test]
async fn wrong_commands_end_the_connection() {
    let lookupd = start().await;
    for (line, answer) in [
        ("REGISTER a b", "E_INVALID client must IDENTIFY"),
        ("FOO", "E_INVALID invalid command FOO"),
    ] {
        let mut peer = Peer::connect(&lookupd).await;
        assert_eq!(peer.say(line).await, answer);
        peer.assert_closed().await;
    }
    for (body, answer) in [
        (r#"{"version": "x"}"#, "E_BAD_BODY IDENTIFY missing fields"),
        ("x", "E_BAD_BODY IDENTIFY failed to decode JSON body"),
    ] {
        let mut peer = Peer::connect(&lookupd).await;
        assert_eq!(peer.identify(body).await, answer);
        peer.assert_closed().await;
    }
    let mut peer = Peer::identified(&lookupd).await;
    assert_eq!(
        peer.identify(IDENTITY).await,
        "E_INVALID cannot IDENTIFY again"
    );
    peer.assert_closed().await;

    let mut unidentified = Peer::connect(&lookupd).await;
    assert_eq!(unidentified.say("PING").await, "OK");
}

#[tokio::test]
async fn http_arguments() {
    let lookupd = start().await;
    for (request, status, body) in [
        ("GET /ping", 200, "OK"),
        ("GET /info", 200, r#"{"version":"1.3.0"}"#),
        ("GET /channels", 400, r#"{"message":"MISSING_ARG_TOPIC"}"#),
        ("GET /channels?topic=nope", 200, r#"{"channels":[]}"#),
        ("GET /lookup", 400, r#"{"message":"MISSING_ARG_TOPIC"}"#),
        (
            "GET /lookup?topic=nope",
            404,
            r#"{"message":"TOPIC_NOT_FOUND"}"#,
        ),
        ("GET /nodes", 200, r#"{"producers":[]}"#),
        ("GET /debug", 200, "{}"),
        ("GET /nope", 404, r#"{"message":"NOT_FOUND"}"#),
        (
            "POST /topic/create",
            400,
            r#"{"message":"MISSING_ARG_TOPIC"}"#,
        ),
        (
            "POST /topic/create?topic=bad!",
            400,
            r#"{"message":"INVALID_ARG_TOPIC"}"#,
        ),
        ("POST /topic/create?topic=lt", 200, ""),
        (
            "POST /channel/create",
            400,
            r#"{"message":"MISSING_ARG_TOPIC"}"#,
        ),
        (
            "POST /channel/create?topic=lt",
            400,
            r#"{"message":"MISSING_ARG_CHANNEL"}"#,
        ),
        (
            "POST /channel/create?topic=lt&channel=bad!",
            400,
            r#"{"message":"INVALID_ARG_CHANNEL"}"#,
        ),
        ("POST /channel/create?topic=lt2&channel=lc", 200, ""),
        (
            "POST /topic/tombstone",
            400,
            r#"{"message":"MISSING_ARG_TOPIC"}"#,
        ),
        (
            "POST /topic/tombstone?topic=flow",
            400,
            r#"{"message":"MISSING_ARG_NODE"}"#,
        ),
        (
            "POST /topic/tombstone?topic=nope&node=127.0.0.1:4151",
            200,
            "",
        ),
        (
            "GET /lookup?topic=lt2",
            200,
            r#"{"channels":["lc"],"producers":[]}"#,
        ),
        ("GET /topics", 200, r#"{"topics":["lt","lt2"]}"#),
        (
            "GET /topic/create?topic=x",
            405,
            r#"{"message":"METHOD_NOT_ALLOWED"}"#,
        ),
        (
            "POST /channel/delete",
            400,
            r#"{"message":"MISSING_ARG_TOPIC"}"#,
        ),
        (
            "POST /channel/delete?topic=lt2",
            400,
            r#"{"message":"MISSING_ARG_CHANNEL"}"#,
        ),
        (
            "POST /channel/delete?topic=lt2&channel=nope",
            404,
            r#"{"message":"CHANNEL_NOT_FOUND"}"#,
        ),
        ("POST /channel/delete?topic=lt2&channel=lc", 200, ""),
        (
            "POST /topic/delete",
            400,
            r#"{"message":"MISSING_ARG_TOPIC"}"#,
        ),
        ("POST /topic/delete?topic=nope", 200, ""),
        ("POST /topic/delete?topic=lt2", 200, ""),
        ("GET /topics", 200, r#"{"topics":["lt"]}"#),
    ] {
        assert_eq!(
            http(&lookupd, request).await,
            (status, body.to_owned()),
            "{request}"
        );
    }
}

#[tokio::test]
async fn tombstone_hides_from_lookup_and_shows_in_nodes() {
    let lookupd = start().await;
    let mut peer = Peer::identified(&lookupd).await;
    for line in ["REGISTER flow ch", "REGISTER tcp1"] {
        assert_eq!(peer.say(line).await, "OK");
    }
    let node = |tombstones: &str| {
        format!(
            r#"{{"producers":[{{"remote_address":"{}","hostname":"peer","broadcast_address":"10.1.2.3","tcp_port":9150,"http_port":9151,"version":"1.3.0","tombstones":{tombstones},"topics":["flow","tcp1"]}}]}}"#,
            peer.address()
        )
    };
    assert_eq!(get(&lookupd, "/nodes").await, node("[false,false]"));
    let done = http(
        &lookupd,
        "POST /topic/tombstone?topic=flow&node=10.1.2.3:9151",
    )
    .await;
    assert_eq!(done, (200, String::new()));
    assert_eq!(
        get(&lookupd, "/lookup?topic=flow").await,
        r#"{"channels":["ch"],"producers":[]}"#
    );
    assert_eq!(get(&lookupd, "/nodes").await, node("[true,false]"));
    let debug = get(&lookupd, "/debug").await;
    assert_eq!(
        debug
            .matches(r#""tombstoned":true,"tombstoned_at":1"#)
            .count(),
        1,
        "{debug}"
    );
}
