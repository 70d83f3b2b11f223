//! Bytes of the network.

use nsq_daemon::http::Params;
use nsq_protocol::lookup::{LookupCommand, PeerInfo};
use nsq_protocol::{Decoder, Gate, IdentifyLimits, IdentifyRequest, Limits, State, Step};

/// Small, so that inputs reach them.
fn limits() -> Limits {
    Limits {
        max_msg_size: 256,
        max_body_size: 1024,
        max_rdy_count: 2500,
        max_req_timeout_ms: 3_600_000,
        max_defer_timeout_ms: 3_600_000,
    }
}

fn gate(flags: u8) -> Gate {
    Gate {
        state: match flags & 3 {
            0 | 3 => State::Init,
            1 => State::Subscribed,
            _ => State::Closing,
        },
        heartbeats: flags & 4 == 0,
        tls_missing: flags & 8 != 0,
    }
}

/// What came of a stream: commands with their bodies, then how it ended.
fn decoded(gate: Gate, stream: &[u8], mut arrives: impl FnMut(usize) -> usize) -> Vec<String> {
    let mut decoder = Decoder::new(limits());
    let mut all = Vec::new();
    let (mut at, mut there) = (0, 0);
    loop {
        match decoder.decode(gate, &stream[at..there]) {
            Ok(Step::Command(command, taken)) => {
                let bodies = decoder.bodies().to_vec();
                let said = format!("{command:?}");
                let is_mpub = said.starts_with("Mpub");
                all.push(said);
                for (offset, len) in bodies.into_iter().filter(|_| is_mpub) {
                    let body = &stream[at..][offset as usize..][..len as usize];
                    all.push(format!("{body:?}"));
                }
                assert!(taken > 0 && at + taken <= there, "takes what is there");
                at += taken;
            }
            Ok(Step::Incomplete(needed)) => {
                assert!(needed > there - at, "asks for more than there is");
                if there == stream.len() {
                    return all;
                }
                there = (there + arrives(there).max(1)).min(stream.len());
            }
            Ok(Step::HangUp) => {
                all.push("hangs up".to_owned());
                return all;
            }
            Err(error) => {
                all.push(format!("{} {}", error.code, error.text));
                return all;
            }
        }
    }
}

pub fn protocol(input: &[u8]) {
    let Some((&[flags, step, second], stream)) = input.split_first_chunk::<3>() else {
        return;
    };
    let whole = decoded(gate(flags), stream, |_| usize::MAX / 2);
    let steps = [usize::from(step), usize::from(second)];
    let split = decoded(gate(flags), stream, |at| steps[at % 2]);
    assert_eq!(whole, split, "split otherwise");
}

pub fn mpub(input: &[u8]) {
    let mut stream = b"MPUB t\n".to_vec();
    stream.extend_from_slice(&(input.len() as u32).to_be_bytes());
    stream.extend_from_slice(input);
    let mut decoder = Decoder::new(limits());
    if let Ok(Step::Command(_, taken)) = decoder.decode(gate(0), &stream) {
        let count = u32::from_be_bytes(input.first_chunk().copied().unwrap_or_default());
        assert_eq!(decoder.bodies().len(), count as usize);
        let mut end = 7 + 4 + 4;
        for &(offset, len) in decoder.bodies() {
            assert_eq!(offset as usize, end + 4, "each behind its size");
            end = (offset + len) as usize;
        }
        // What the body has too many is the next command, as in NSQ.
        assert_eq!(taken, end, "the messages, and nothing behind them");
        assert!(end <= stream.len());
    }
    let mut whole = vec![0, 1, 7];
    whole.extend_from_slice(&stream);
    protocol(&whole);
}

pub fn identify(input: &[u8]) {
    let limits = IdentifyLimits {
        max_rdy_count: 2500,
        msg_timeout_ms: 60_000,
        max_msg_timeout_ms: 900_000,
        heartbeat_ms: 30_000,
        max_heartbeat_ms: 60_000,
        output_buffer_timeout_ms: 250,
        min_output_buffer_timeout_ms: 25,
        max_output_buffer_timeout_ms: 30_000,
        max_output_buffer_size: 65_536,
        max_deflate_level: 6,
        tls: input.len().is_multiple_of(2),
        snappy: input.len().is_multiple_of(3),
        deflate: input.len().is_multiple_of(5),
        pair: true,
        auth_required: false,
        topology: None,
    };
    let Ok(request) = IdentifyRequest::parse(input) else {
        return;
    };
    if let Ok(agreed) = request.negotiate(&limits) {
        assert!(agreed.heartbeat_ms <= limits.max_heartbeat_ms);
        assert!((0..=limits.max_msg_timeout_ms).contains(&agreed.msg_timeout));
        assert!((0..=99).contains(&agreed.sample_rate));
    }
}

pub fn lookup(input: &[u8]) {
    let Some((&flags, rest)) = input.split_first() else {
        return;
    };
    if flags & 2 != 0 {
        // A peer is told by what it says; whatever that is, it is no reason to panic.
        let _ = PeerInfo::parse(rest);
        return;
    }
    for line in rest.split(|byte| *byte == b'\n') {
        if let Ok(command) = LookupCommand::parse(line, flags & 1 == 0) {
            let said = command.line();
            let again = LookupCommand::parse(said.as_bytes(), flags & 1 == 0);
            assert!(again.is_ok_and(|again| again.line() == said), "{said:?}");
        }
    }
}

pub fn query(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else {
        return;
    };
    if let Some(params) = Params::parse(query) {
        for key in ["topic", "channel", "defer", "binary", "format", ""] {
            let _ = params.get(key);
            let _ = params.required(key, "MISSING");
        }
    }
}
