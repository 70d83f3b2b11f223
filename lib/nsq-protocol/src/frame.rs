use crate::{MessageId, ProtocolError};

pub const FRAME_RESPONSE: u32 = 0;
pub const FRAME_ERROR: u32 = 1;
pub const FRAME_MESSAGE: u32 = 2;

/// Data of the response frame that asks a client whether it is alive.
pub const HEARTBEAT: &[u8] = b"_heartbeat_";

/// Bytes of a message frame before the body: size, type, timestamp, attempts, id.
pub const MESSAGE_HEADER: usize = 4 + 4 + 8 + 2 + 16;

pub fn push_response(out: &mut Vec<u8>, data: &[u8]) {
    push(out, FRAME_RESPONSE, data);
}

pub fn push_error(out: &mut Vec<u8>, error: &ProtocolError) {
    push(out, FRAME_ERROR, error.to_string().as_bytes());
}

fn push(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    out.extend_from_slice(&(4 + data.len() as u32).to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(data);
}

/// `timestamp`: nanoseconds since 1970 of the publish; `attempts`: this delivery included.
#[inline]
pub fn push_message(out: &mut Vec<u8>, timestamp: i64, attempts: u16, id: MessageId, body: &[u8]) {
    let mut header = [0u8; MESSAGE_HEADER];
    let size = (MESSAGE_HEADER - 4 + body.len()) as u32;
    header[0..4].copy_from_slice(&size.to_be_bytes());
    header[4..8].copy_from_slice(&FRAME_MESSAGE.to_be_bytes());
    header[8..16].copy_from_slice(&timestamp.to_be_bytes());
    header[16..18].copy_from_slice(&attempts.to_be_bytes());
    header[18..34].copy_from_slice(&id.to_hex());
    out.reserve(MESSAGE_HEADER + body.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let mut out = Vec::new();
        push_response(&mut out, b"OK");
        assert_eq!(out, b"\0\0\0\x06\0\0\0\0OK");
        out.clear();
        push_error(&mut out, &ProtocolError::invalid("cannot SUB"));
        assert_eq!(out, b"\0\0\0\x18\0\0\0\x01E_INVALID cannot SUB");
        out.clear();
        push_message(&mut out, 1, 2, MessageId(10), b"xy");
        assert_eq!(
            out,
            b"\0\0\0\x20\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x02000000000000000axy"
        );
    }
}
