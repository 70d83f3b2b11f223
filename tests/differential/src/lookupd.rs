//! What is said to nsqlookupd.

use crate::Script;
use crate::talk::Step;

const IDENTIFY: &[u8] = br#"{"broadcast_address":"127.0.0.1","hostname":"h","tcp_port":1,"http_port":2,"version":"1.3.0"}"#;

fn identify(json: &[u8]) -> Vec<u8> {
    [&b"IDENTIFY\n"[..], &(json.len() as u32).to_be_bytes(), json].concat()
}

/// All scripts.
pub fn scripts() -> Vec<Script> {
    let lines = [
        "PING",
        "PING x",
        "ping",
        "REGISTER TOPIC",
        "REGISTER TOPIC c",
        "REGISTER TOPIC c#ephemeral",
        "REGISTER",
        "REGISTER bad!",
        "REGISTER TOPIC bad!",
        "UNREGISTER TOPIC",
        "UNREGISTER TOPIC c",
        "UNREGISTER",
        "UNREGISTER bad!",
        "UNREGISTER TOPIC bad!",
        "X",
        "",
        "REGISTER TOPIC c d",
        "PING\r",
        "REGISTER  c",
    ];
    let mut scripts = Vec::new();
    for (state, prelude) in [("at first", Vec::new()), ("identified", identify(IDENTIFY))] {
        for line in lines {
            let said = [b"  V1", &prelude[..], line.as_bytes(), b"\nPING\n"].concat();
            scripts.push(Script::new(
                format!("{state}: {line:?}"),
                vec![Step::Say(said)],
            ));
        }
        for json in [
            "{}",
            "{",
            "null",
            r#"{"broadcast_address":"a","tcp_port":1,"http_port":2}"#,
            r#"{"version":"1","tcp_port":1,"http_port":2}"#,
        ] {
            let said = [b"  V1", &prelude[..], &identify(json.as_bytes()), b"PING\n"].concat();
            scripts.push(Script::new(
                format!("{state}: IDENTIFY {json}"),
                vec![Step::Say(said)],
            ));
        }
    }
    let whole = [
        b"  V1",
        &identify(IDENTIFY)[..],
        b"REGISTER TOPIC c\nPING\nUNREGISTER TOPIC c\nUNREGISTER TOPIC\nPING\n",
    ]
    .concat();
    for at in 1..whole.len() {
        let (first, second) = whole.split_at(at);
        let steps = vec![Step::Say(first.to_vec()), Step::Say(second.to_vec())];
        let mut script = Script::new(format!("split at {at}"), steps);
        script.pauses = true;
        scripts.push(script);
    }
    for magic in [&b"  V2"[..], b"  V", b"GET / HTTP/1.0\r\n\r\n"] {
        scripts.push(Script::new(
            format!("magic {}", crate::talk::shown(magic)),
            vec![Step::Say(magic.to_vec())],
        ));
    }
    scripts
}
