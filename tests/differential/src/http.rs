//! What is asked over HTTP: every endpoint with its parameters missing, wrong, unknown and right.

/// A request. `TOPIC` stands for a topic that exists, `NEW` for one that does not.
pub type Request = (&'static str, String, Vec<u8>);

const TOPICS: &[&str] = &[
    "",
    "topic=",
    "topic=bad!",
    "topic=NEW",
    "topic=TOPIC",
    "topic=TOPIC&topic=NEW",
    "%zz",
    "topic=%54OPIC",
];
const CHANNELS: &[&str] = &[
    "",
    "&channel=",
    "&channel=bad!",
    "&channel=new",
    "&channel=c",
];

fn with_topics(all: &mut Vec<Request>, method: &'static str, path: &str) {
    for query in TOPICS {
        all.push((method, format!("{path}?{query}"), Vec::new()));
    }
}

fn with_channels(all: &mut Vec<Request>, path: &str) {
    for topic in ["topic=NEW", "topic=TOPIC", ""] {
        for channel in CHANNELS {
            all.push(("POST", format!("{path}?{topic}{channel}"), Vec::new()));
        }
    }
}

fn with_methods(all: &mut Vec<Request>, paths: &[&str]) {
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            all.push((method, (*path).to_owned(), Vec::new()));
        }
    }
}

/// Of nsqd.
pub fn nsqd() -> Vec<Request> {
    let mut all = Vec::new();
    for query in TOPICS {
        for (path, body) in [
            ("/pub", &b"x"[..]),
            ("/pub", b""),
            ("/mpub", b"a\nb\n\nc"),
            ("/mpub", b""),
        ] {
            all.push(("POST", format!("{path}?{query}"), body.to_vec()));
        }
    }
    for defer in ["0", "1", "-1", "x", "10000", "10001", ""] {
        all.push((
            "POST",
            format!("/pub?topic=TOPIC&defer={defer}"),
            b"x".to_vec(),
        ));
    }
    for len in [100, 101, 300, 301] {
        all.push(("POST", "/pub?topic=TOPIC".to_owned(), vec![b'x'; len]));
        all.push(("POST", "/mpub?topic=TOPIC".to_owned(), vec![b'x'; len]));
    }
    let batches: [&[u8]; 6] = [
        b"\0\0\0\x01\0\0\0\x01a",
        b"\0\0\0\x02\0\0\0\x01a",
        b"\0\0\0\0",
        b"",
        b"\0\0",
        b"\0\0\0\x01\0\0\0\0",
    ];
    for binary in ["true", "false", "0", "1", "x"] {
        for batch in batches {
            all.push((
                "POST",
                format!("/mpub?topic=TOPIC&binary={binary}"),
                batch.to_vec(),
            ));
        }
    }
    with_topics(&mut all, "POST", "/topic/create");
    with_topics(&mut all, "POST", "/topic/empty");
    for verb in ["pause", "unpause"] {
        with_topics(&mut all, "POST", &format!("/topic/{verb}"));
        with_channels(&mut all, &format!("/channel/{verb}"));
    }
    for verb in ["create", "empty", "delete"] {
        with_channels(&mut all, &format!("/channel/{verb}"));
    }
    with_topics(&mut all, "POST", "/topic/delete");
    for option in [
        "log_level",
        "nsqlookupd_tcp_addresses",
        "data_path",
        "max_rdy_count",
        "",
    ] {
        all.push(("PUT", format!("/config/{option}"), b"x".to_vec()));
    }
    all.push(("PUT", "/config/log_level".to_owned(), b"debug".to_vec()));
    all.push(("PUT", "/config/log_level".to_owned(), b"info".to_vec()));
    all.push(("GET", "/config/unknown".to_owned(), Vec::new()));
    all.push((
        "GET",
        "/config/nsqlookupd_tcp_addresses".to_owned(),
        Vec::new(),
    ));
    with_methods(
        &mut all,
        &[
            "/ping",
            "/pub",
            "/mpub",
            "/topic/create",
            "/channel/create",
            "/put",
            "/nothing",
            "/ping/",
        ],
    );
    all
}

/// Of nsqlookupd.
pub fn lookupd() -> Vec<Request> {
    let mut all = Vec::new();
    with_topics(&mut all, "POST", "/topic/create");
    with_channels(&mut all, "/channel/create");
    with_topics(&mut all, "GET", "/lookup");
    with_topics(&mut all, "GET", "/channels");
    for path in ["/topics", "/nodes", "/debug", "/ping", "/info", "/put"] {
        if path != "/info" && path != "/debug" {
            with_methods(&mut all, &[path]);
        }
    }
    for query in [
        "",
        "topic=NEW",
        "topic=NEW&node=",
        "topic=NEW&node=a:1",
        "topic=TOPIC&node=a:1",
        "node=a:1",
    ] {
        all.push(("POST", format!("/topic/tombstone?{query}"), Vec::new()));
    }
    with_channels(&mut all, "/channel/delete");
    with_topics(&mut all, "POST", "/topic/delete");
    all
}
