//! Commands as bytes.

/// `PUB`: one message.
pub fn push_pub(out: &mut Vec<u8>, topic: &str, body: &[u8]) {
    line(out, &["PUB", topic]);
    sized(out, body);
}

/// `DPUB`: one message, to be delivered after `delay_ms` milliseconds.
pub fn push_dpub(out: &mut Vec<u8>, topic: &str, delay_ms: u32, body: &[u8]) {
    line(out, &["DPUB", topic, &delay_ms.to_string()]);
    sized(out, body);
}

/// `MPUB`: many messages, all or none.
pub fn push_mpub<'a>(
    out: &mut Vec<u8>,
    topic: &str,
    bodies: impl ExactSizeIterator<Item = &'a [u8]>,
) {
    line(out, &["MPUB", topic]);
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(bodies.len() as u32).to_be_bytes());
    for body in bodies {
        sized(out, body);
    }
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
}

/// `FIN`: done with a message.
pub fn push_fin(out: &mut Vec<u8>, id: &[u8; 16]) {
    out.extend_from_slice(b"FIN ");
    out.extend_from_slice(id);
    out.push(b'\n');
}

/// `REQ`: again, after `delay_ms` milliseconds.
pub fn push_req(out: &mut Vec<u8>, id: &[u8; 16], delay_ms: u32) {
    out.extend_from_slice(b"REQ ");
    out.extend_from_slice(id);
    out.extend_from_slice(format!(" {delay_ms}\n").as_bytes());
}

fn line(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(words.join(" ").as_bytes());
    out.push(b'\n');
}

fn sized(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_spelled_as_in_the_protocol() {
        let of = |push: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            push(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(&|out| push_pub(out, "t", b"ab")), "PUB t\n\0\0\0\x02ab");
        assert_eq!(
            of(&|out| push_dpub(out, "t", 70, b"a")),
            "DPUB t 70\n\0\0\0\x01a"
        );
        let bodies: [&[u8]; 2] = [b"a", b"bc"];
        assert_eq!(
            of(&|out| push_mpub(out, "t", bodies.into_iter())),
            "MPUB t\n\0\0\0\x0f\0\0\0\x02\0\0\0\x01a\0\0\0\x02bc"
        );
        let id = b"0123456789abcdef";
        assert_eq!(of(&|out| push_fin(out, id)), "FIN 0123456789abcdef\n");
        assert_eq!(of(&|out| push_req(out, id, 5)), "REQ 0123456789abcdef 5\n");
    }
}
