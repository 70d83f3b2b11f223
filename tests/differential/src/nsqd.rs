//! What is said to nsqd: every command in every state, right and wrong in every way its parameters allow, and
//! streams cut at every position.

use crate::Script;
use crate::talk::Step;

/// Limits within reach.
pub const FLAGS: &[&str] = &[
    "--max-msg-size=100",
    "--max-body-size=300",
    "--max-rdy-count=50",
    "--max-req-timeout=10s",
    "--max-msg-timeout=2m",
];

/// A line, and the size and bytes of a body.
fn sized(line: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line}\n").into_bytes();
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn mpub(topic: &str, bodies: &[&[u8]]) -> Vec<u8> {
    sized(
        &format!("MPUB {topic}"),
        &batch(bodies.len() as i32, bodies),
    )
}

fn batch(count: i32, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = count.to_be_bytes().to_vec();
    for body in bodies {
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(*body);
    }
    bytes
}

/// Names at the borders of what is allowed.
const NAMES: &[&str] = &[
    "",
    "a",
    "a.b-c_d",
    "bad!",
    "a#ephemeral",
    "#ephemeral",
    "a#other",
    "é",
    "sixty-four.characters.are.the.most.that.a.name.may.have.so.this.",
    "sixty-five.characters.are.one.more.than.a.name.may.have.so.not.it",
];
/// Numbers at the borders of what is read.
const NUMBERS: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "50",
    "51",
    "+5",
    "007",
    "1.5",
    "x",
    "9999",
    "10000",
    "10001",
    "2147483648",
    "9223372036854775808",
];
const IDS: &[&str] = &[
    "",
    "0123456789abcdef",
    "0123456789abcde",
    "0123456789abcdefg",
    "ZZZZZZZZZZZZZZZZ",
];

/// Everything that can be said once, whatever came before. `TOPIC` stands for a topic of the script's own.
fn commands() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>| all.push((what, bytes));
    for line in [
        "NOP",
        "NOP x",
        "nop",
        "CLS",
        "CLS x",
        "RDY",
        "FIN",
        "REQ",
        "TOUCH",
        "SUB",
        "SUB a",
        "PUB",
        "MPUB",
        "DPUB",
        "DPUB a",
        "IDENTIFY x",
        "AUTH",
        "",
        " ",
        "X",
        "PUB  a",
        "SUB TOPIC c x",
        "NOP\r",
        "FIN 0123456789abcdef x",
        "SUB TOPIC c#ephemeral",
    ] {
        add(format!("line {line:?}"), format!("{line}\n").into_bytes());
    }
    for name in NAMES {
        add(
            format!("PUB to {name:?}"),
            sized(&format!("PUB {name}"), b"x"),
        );
        add(format!("MPUB to {name:?}"), mpub(name, &[b"x"]));
        add(
            format!("DPUB to {name:?}"),
            sized(&format!("DPUB {name} 10"), b"x"),
        );
        add(
            format!("SUB to {name:?}"),
            format!("SUB {name} c\n").into_bytes(),
        );
        add(
            format!("SUB to channel {name:?}"),
            format!("SUB TOPIC {name}\n").into_bytes(),
        );
    }
    for number in NUMBERS {
        add(
            format!("RDY {number:?}"),
            format!("RDY {number}\n").into_bytes(),
        );
        add(
            format!("DPUB {number:?}"),
            sized(&format!("DPUB TOPIC {number}"), b"x"),
        );
        add(
            format!("REQ {number:?}"),
            format!("REQ 0123456789abcdef {number}\n").into_bytes(),
        );
    }
    for id in IDS {
        for verb in ["FIN", "TOUCH"] {
            add(
                format!("{verb} {id:?}"),
                format!("{verb} {id}\n").into_bytes(),
            );
        }
        add(
            format!("REQ of {id:?}"),
            format!("REQ {id} 0\n").into_bytes(),
        );
    }
    for len in [0, 1, 100, 101] {
        let body = vec![b'x'; len];
        add(format!("PUB of {len}"), sized("PUB TOPIC", &body));
        add(format!("DPUB of {len}"), sized("DPUB TOPIC 5", &body));
        add(
            format!("MPUB with one of {len}"),
            mpub("TOPIC", &[b"a", &body]),
        );
    }
    for size in [-1, i32::MIN, i32::MAX, 301] {
        for verb in [
            "PUB TOPIC",
            "DPUB TOPIC 1",
            "MPUB TOPIC",
            "IDENTIFY",
            "AUTH",
        ] {
            let mut bytes = format!("{verb}\n").into_bytes();
            bytes.extend(size.to_be_bytes());
            bytes.extend(b"abc");
            add(format!("{verb} of size {size}"), bytes);
        }
    }
    for count in [-1, 0, 1, 2, 60, 1000] {
        add(
            format!("MPUB that says {count}"),
            sized("MPUB TOPIC", &batch(count, &[b"a"])),
        );
    }
    add(
        "MPUB with an inner size of -1".to_owned(),
        sized("MPUB TOPIC", b"\0\0\0\x01\xff\xff\xff\xff"),
    );
    add(
        "MPUB with more than it says".to_owned(),
        sized("MPUB TOPIC", &[&batch(1, &[b"a"])[..], b"NOP\n"].concat()),
    );
    for json in identifies() {
        add(
            format!("IDENTIFY {json}"),
            sized("IDENTIFY", json.as_bytes()),
        );
    }
    add(
        "AUTH without a server for it".to_owned(),
        sized("AUTH", b"secret"),
    );
    all
}

/// Each setting at the borders of its range.
fn identifies() -> Vec<String> {
    let mut all = vec![
        "{}".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    let negotiating = |setting: &str| format!("{{\"feature_negotiation\":true,{setting}}}");
    for (key, values) in [
        (
            "heartbeat_interval",
            &[-2, -1, 0, 1, 999, 1000, 60000, 60001][..],
        ),
        ("output_buffer_size", &[-2, -1, 0, 1, 63, 64, 65536, 65537]),
        ("output_buffer_timeout", &[-2, -1, 0, 24, 25, 30000, 30001]),
        ("sample_rate", &[-1, 0, 99, 100]),
        ("msg_timeout", &[-1, 0, 999, 1000, 120_000, 120_001]),
        ("deflate_level", &[-1, 0, 6, 7]),
    ] {
        all.extend(
            values
                .iter()
                .map(|value| negotiating(&format!("\"{key}\":{value}"))),
        );
    }
    for setting in [
        r#""snappy":true,"deflate":true"#,
        r#""tls_v1":true"#,
        r#""client_id":7"#,
        r#""client_id":"x""#,
        r#""heartbeat_interval":"1000""#,
        r#""sample_rate":1.5"#,
        r#""unknown":[1]"#,
        r#""Heartbeat_Interval":1000"#,
    ] {
        all.push(negotiating(setting));
    }
    all.push(r#"{"snappy":true,"heartbeat_interval":1000}"#.to_owned());
    all
}

/// What brings a connection into each state, and how many frames that takes.
const STATES: &[(&str, &str, usize)] = &[
    ("at first", "", 0),
    ("subscribed", "SUB TOPIC c\n", 1),
    ("closing", "SUB TOPIC c\nCLS\n", 2),
];

/// All scripts.
pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (state, prelude, frames) in STATES {
        for (what, bytes) in commands() {
            // Whether the connection goes on is part of the answer.
            let steps = vec![
                Step::Say([b"  V2", prelude.as_bytes()].concat()),
                Step::Frames(*frames),
                Step::Say([&bytes[..], b"PUB TOPIC-after\n\0\0\0\x01x"].concat()),
            ];
            scripts.push(Script::new(format!("{state}: {what}"), steps));
        }
    }
    scripts.extend(magics());
    scripts.extend(conversations());
    scripts.extend(split());
    scripts
}

fn magics() -> impl Iterator<Item = Script> {
    let magics: [&[u8]; 8] = [
        b"",
        b"  V",
        b"  V1",
        b"  V2",
        b"  V3",
        b"GET /ping HTTP/1.0\r\n\r\n",
        b"\0\0\0\0",
        b"V2  ",
    ];
    magics.into_iter().map(|magic| {
        let name = format!("magic {}", crate::talk::shown(magic));
        Script::new(name, vec![Step::Say(magic.to_vec())])
    })
}

/// Conversations with messages in them.
fn conversations() -> Vec<Script> {
    let say = |text: &str| Step::Say(text.as_bytes().to_vec());
    let line = |text: &str| Step::Line(text.to_owned());
    let published = |bodies: &[&[u8]]| Step::Say([&b"  V2"[..], &mpub("TOPIC", bodies)].concat());
    let receive = |count: usize| {
        vec![
            published(&[b"one", b"two", b"three"]),
            Step::Frames(1),
            say(&format!("SUB TOPIC c\nRDY {count}\n")),
            Step::Frames(2 + count),
        ]
    };
    let after = |name: &str, count: usize, more: Vec<Step>| {
        Script::new(
            format!("conversation: {name}"),
            [receive(count), more].concat(),
        )
    };
    vec![
        after(
            "finished",
            1,
            vec![
                line("FIN $1\n"),
                Step::Frames(4),
                say("RDY 0\n"),
                line("FIN $2\n"),
            ],
        ),
        after(
            "finished twice",
            1,
            vec![say("RDY 0\n"), line("FIN $1\nFIN $1\n"), Step::Frames(4)],
        ),
        after(
            "requeued at once",
            3,
            vec![
                line("REQ $2 0\n"),
                Step::Frames(6),
                line("FIN $2\nFIN $2\n"),
                Step::Frames(7),
            ],
        ),
        after(
            "requeued and touched",
            3,
            vec![
                say("RDY 0\n"),
                line("REQ $2 5000\nTOUCH $2\n"),
                Step::Frames(6),
            ],
        ),
        after(
            "requeued for longer than is allowed",
            3,
            vec![
                say("RDY 0\n"),
                line("REQ $2 99999\nFIN $2\n"),
                Step::Frames(6),
            ],
        ),
        after(
            "touched",
            3,
            vec![line("TOUCH $1\nFIN $1\nTOUCH $1\n"), Step::Frames(6)],
        ),
        after(
            "closed with messages in flight",
            2,
            vec![
                say("CLS\n"),
                Step::Frames(5),
                line("FIN $1\nREQ $2 0\nFIN $2\n"),
                Step::Frames(6),
            ],
        ),
        after(
            "published meanwhile",
            3,
            vec![
                line("FIN $1\n"),
                Step::Say(sized("PUB TOPIC-other", b"x")),
                Step::Frames(6),
            ],
        ),
    ]
}

/// A stream with many commands, in two parts cut at every position.
fn split() -> Vec<Script> {
    let parts = [
        sized(
            "IDENTIFY",
            br#"{"client_id":"x","feature_negotiation":true}"#,
        ),
        sized("PUB TOPIC", b"hello"),
        mpub("TOPIC", &[b"a", b"bc"]),
        sized("DPUB TOPIC 9000", b"later"),
        b"NOP\nSUB TOPIC c\nRDY 0\nFIN 0123456789abcdef\nCLS\nNOP\n".to_vec(),
    ];
    let stream = [&b"  V2"[..], &parts.concat()].concat();
    (1..stream.len())
        .map(|at| {
            let (first, second) = stream.split_at(at);
            let mut script = Script::new(
                format!("split at {at}"),
                vec![Step::Say(first.to_vec()), Step::Say(second.to_vec())],
            );
            script.pauses = true;
            script
        })
        .collect()
}
