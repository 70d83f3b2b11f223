//! What the decoder makes of good, bad and torn bytes. The texts are NSQ's.

use nsq_protocol::{Command, Decoder, Gate, Limits, State, Step};

fn decoder() -> Decoder {
    Decoder::new(Limits {
        max_msg_size: 4096,
        max_body_size: 16_384,
        max_rdy_count: 2500,
        max_req_timeout_ms: 3_600_000,
        max_defer_timeout_ms: 3_600_000,
    })
}

fn gate(state: State) -> Gate {
    Gate {
        state,
        heartbeats: true,
        tls_missing: false,
    }
}

fn error(state: State, bytes: &[u8]) -> String {
    match decoder().decode(gate(state), bytes) {
        Err(error) => {
            assert!(error.fatal);
            error.to_string()
        }
        Ok(step) => panic!("{bytes:?} gave {step:?}"),
    }
}

#[test]
fn every_command() {
    let (init, sub) = (State::Init, State::Subscribed);
    let id = b"0123456789abcdef";
    let cases: Vec<(State, &[u8], Command<'_>)> = vec![
        (init, b"NOP\n", Command::Nop),
        (init, b"NOP x\r\n", Command::Nop),
        (
            init,
            b"IDENTIFY foo\n\0\0\0\x02{}",
            Command::Identify(b"{}"),
        ),
        (init, b"AUTH\n\0\0\0\x01s", Command::Auth(b"s")),
        (
            init,
            b"SUB t c\n",
            Command::Sub {
                topic: "t",
                channel: "c",
            },
        ),
        (sub, b"RDY\n", Command::Rdy(1)),
        (sub, b"RDY 2500\n", Command::Rdy(2500)),
        (State::Closing, b"RDY 9999\n", Command::Nop),
        (sub, b"FIN 0123456789abcdef\n", Command::Fin(id)),
        (sub, b"FIN 0123456789abcdef x\n", Command::Fin(id)),
        (sub, b"TOUCH 0123456789abcdef\r\n", Command::Touch(id)),
        (
            sub,
            b"REQ 0123456789abcdef 99999999\n",
            Command::Req {
                id,
                delay_ms: 3_600_000,
            },
        ),
        (sub, b"CLS\n", Command::Cls),
        (
            init,
            b"PUB t x y\n\0\0\0\x02ab",
            Command::Pub {
                topic: "t",
                body: (14, 2),
            },
        ),
        (
            init,
            b"DPUB t 5\n\0\0\0\x01a",
            Command::Dpub {
                topic: "t",
                delay_ms: 5,
                body: (13, 1),
            },
        ),
    ];
    for (state, bytes, expected) in cases {
        let step = decoder().decode(gate(state), bytes);
        assert_eq!(step, Ok(Step::Command(expected, bytes.len())), "{bytes:?}");
    }
}

#[test]
fn errors_as_nsq_words_them() {
    use State::{Closing, Init, Subscribed};
    let cases: &[(State, &[u8], &str)] = &[
        (Init, b"FOO\n", "E_INVALID invalid command FOO"),
        (Init, b"\n", "E_INVALID invalid command "),
        (Init, b"nop\n", "E_INVALID invalid command nop"),
        (
            Init,
            b"PUB  t\n",
            "E_BAD_TOPIC PUB topic name \"\" is not valid",
        ),
        (
            Init,
            b"PUB\n",
            "E_INVALID PUB insufficient number of parameters",
        ),
        (
            Init,
            b"PUB t\n\0\0\0\0",
            "E_BAD_MESSAGE PUB invalid message body size 0",
        ),
        (
            Init,
            b"PUB t\n\xff\xff\xff\xff",
            "E_BAD_MESSAGE PUB invalid message body size -1",
        ),
        (
            Init,
            b"PUB t\n\0\0\x10\x01",
            "E_BAD_MESSAGE PUB message too big 4097 > 4096",
        ),
        (
            Init,
            b"MPUB bad!\n",
            "E_BAD_TOPIC E_BAD_TOPIC MPUB topic name \"bad!\" is not valid",
        ),
        (
            Init,
            b"MPUB t\n\0\0\0\0",
            "E_BAD_BODY MPUB invalid body size 0",
        ),
        (
            Init,
            b"MPUB t\n\0\0Nt",
            "E_BAD_BODY MPUB body too big 20084 > 16384",
        ),
        (
            Init,
            b"MPUB t\n\0\0\0\x04\0\0\0\0",
            "E_BAD_BODY MPUB invalid message count 0",
        ),
        (
            Init,
            b"MPUB t\n\0\0\0\x08\0\0\0\x01\0\0\0\0",
            "E_BAD_MESSAGE MPUB invalid message(0) body size 0",
        ),
        (
            Init,
            b"DPUB t\n",
            "E_INVALID DPUB insufficient number of parameters",
        ),
        (
            Init,
            b"DPUB t -1\n",
            "E_INVALID DPUB could not parse timeout -1",
        ),
        (
            Init,
            b"DPUB t 3600001\n",
            "E_INVALID DPUB timeout 3600001 out of range 0-3600000",
        ),
        (
            Init,
            b"SUB t\n",
            "E_INVALID SUB insufficient number of parameters",
        ),
        (
            Init,
            b"SUB t bad!\n",
            "E_BAD_CHANNEL SUB channel name \"bad!\" is not valid",
        ),
        (
            Subscribed,
            b"SUB t c\n",
            "E_INVALID cannot SUB in current state",
        ),
        (
            Init,
            b"FIN 0123456789abcdef\n",
            "E_INVALID cannot FIN in current state",
        ),
        (Subscribed, b"FIN abc\n", "E_INVALID invalid message ID"),
        (
            Subscribed,
            b"FIN\n",
            "E_INVALID FIN insufficient number of params",
        ),
        (
            Subscribed,
            b"REQ 0123456789abcdef\n",
            "E_INVALID REQ insufficient number of params",
        ),
        (
            Subscribed,
            b"REQ 0123456789abcdef -5\n",
            "E_INVALID REQ could not parse timeout -5",
        ),
        (
            Subscribed,
            b"RDY -1\n",
            "E_INVALID RDY could not parse count -1",
        ),
        (
            Subscribed,
            b"RDY 2501\n",
            "E_INVALID RDY count 2501 out of range 0-2500",
        ),
        (Init, b"RDY 1\n", "E_INVALID cannot RDY in current state"),
        (Closing, b"CLS\n", "E_INVALID cannot CLS in current state"),
        (
            Subscribed,
            b"IDENTIFY\n",
            "E_INVALID cannot IDENTIFY in current state",
        ),
        (
            Init,
            b"IDENTIFY\n\0\0\0\0",
            "E_BAD_BODY IDENTIFY invalid body size 0",
        ),
        (
            Init,
            b"IDENTIFY\n\0\0@\x01",
            "E_BAD_BODY IDENTIFY body too big 16385 > 16384",
        ),
        (
            Init,
            b"AUTH x\n",
            "E_INVALID AUTH invalid number of parameters",
        ),
    ];
    for (state, bytes, text) in cases {
        assert_eq!(&error(*state, bytes), text);
    }
    let no_heartbeats = Gate {
        heartbeats: false,
        ..gate(Init)
    };
    let refused = decoder().decode(no_heartbeats, b"SUB t c\n").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "E_INVALID cannot SUB with heartbeats disabled"
    );
    let no_tls = Gate {
        tls_missing: true,
        ..gate(Init)
    };
    let refused = decoder().decode(no_tls, b"PUB t\n").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "E_INVALID cannot PUB in current state (TLS required)"
    );
}

/// However the bytes arrive, the same commands come out, and `Incomplete` never asks for less
/// than it has or more than the command is long.
#[test]
fn torn_at_every_byte() {
    let stream: &[u8] =
        b"PUB t\n\0\0\0\x05helloMPUB t\n\0\0\0\x0e\0\0\0\x02\0\0\0\x01a\0\0\0\x01bSUB t c\nNOP\n";
    let mut whole = decoder();
    let (mut at, mut ends) = (0, Vec::new());
    while at < stream.len() {
        match whole.decode(gate(State::Init), &stream[at..]) {
            Ok(Step::Command(_, used)) => at += used,
            other => panic!("{other:?}"),
        }
        ends.push(at);
    }
    assert_eq!(ends, [15, 40, 48, 52]);
    let mut torn = decoder();
    let mut start = 0;
    for have in 1..=stream.len() {
        match torn.decode(gate(State::Init), &stream[start..have]) {
            Ok(Step::Command(command, used)) => {
                assert!(ends.contains(&(start + used)));
                if matches!(command, Command::Mpub { .. }) {
                    assert_eq!(torn.bodies(), &[(19, 1), (24, 1)]);
                }
                start += used;
            }
            Ok(Step::Incomplete(needed)) => {
                let end = ends.iter().find(|&&end| end > start).unwrap();
                assert!(needed > have - start && start + needed <= *end, "at {have}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(start, stream.len());
}

#[test]
fn an_mpub_whose_messages_outgrow_its_body_is_bounded() {
    let mut bytes = b"MPUB t\n\0\0\0\x0b\0\0\0\x09".to_vec();
    for _ in 0..4 {
        bytes.extend_from_slice(&4000u32.to_be_bytes());
        bytes.extend_from_slice(&[b'x'; 4000]);
    }
    bytes.extend_from_slice(&4000u32.to_be_bytes());
    assert_eq!(
        error(State::Init, &bytes),
        "E_BAD_BODY MPUB messages exceed max-body-size 16384"
    );
}

#[test]
fn a_line_without_end_is_hung_up_on() {
    let step = decoder().decode(gate(State::Init), &[b'a'; 16 * 1024]);
    assert_eq!(step, Ok(Step::HangUp));
}
