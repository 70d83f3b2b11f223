//! Frames in, bytes out.

use std::io;
use std::time::Duration;

use nsq_protocol::{FRAME_ERROR, FRAME_MESSAGE, FRAME_RESPONSE, HEARTBEAT, MESSAGE_HEADER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::dial::Stream;

/// The largest frame that is believed: nsqd's largest message by far.
const FRAME_MAX: usize = 1 << 30;
/// One read takes at most this much.
const READ: usize = 64 << 10;

/// What an nsqd says.
#[derive(Debug)]
pub(crate) enum Frame {
    Heartbeat,
    Response(Vec<u8>),
    Error(String),
    Message(Delivery),
}

#[derive(Debug)]
pub(crate) struct Delivery {
    pub timestamp: i64,
    pub attempts: u16,
    pub id: [u8; 16],
    pub body: Vec<u8>,
}

pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    /// How much of the input was taken.
    taken: usize,
    patience: Duration,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>, patience: Duration) -> Self {
        Self {
            stream,
            input: Vec::new(),
            taken: 0,
            patience,
        }
    }

    /// For what is put between, with what was read already: nsqd says the first compressed OK without being asked.
    pub(crate) fn into_parts(mut self) -> (Box<dyn Stream>, Vec<u8>) {
        let read = self.input.split_off(self.taken);
        (self.stream, read)
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.patience, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The next frame. May be given up and asked again: nothing is lost.
    pub(crate) async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some((frame, size)) = parse(&self.input[self.taken..])? {
                self.taken += size;
                return Ok(frame);
            }
            self.input.drain(..self.taken);
            self.taken = 0;
            self.input.reserve(READ);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The frame at the front, and its size.
fn parse(input: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let Some((size, rest)) = input.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*size) as usize;
    if !(4..=FRAME_MAX).contains(&size) {
        return Err(nonsense(format!("a frame of {size} bytes")));
    }
    let Some((kind, data)) = rest
        .get(..size)
        .and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return Ok(None);
    };
    let frame = match u32::from_be_bytes(*kind) {
        FRAME_RESPONSE if data == HEARTBEAT => Frame::Heartbeat,
        FRAME_RESPONSE => Frame::Response(data.to_vec()),
        FRAME_ERROR => Frame::Error(String::from_utf8_lossy(data).into_owned()),
        FRAME_MESSAGE => Frame::Message(delivery(data)?),
        other => return Err(nonsense(format!("a frame of type {other}"))),
    };
    Ok(Some((frame, size + 4)))
}

fn delivery(data: &[u8]) -> io::Result<Delivery> {
    let parts = || {
        let (timestamp, rest) = data.split_first_chunk()?;
        let (attempts, rest) = rest.split_first_chunk()?;
        let (id, body) = rest.split_first_chunk()?;
        Some(Delivery {
            timestamp: i64::from_be_bytes(*timestamp),
            attempts: u16::from_be_bytes(*attempts),
            id: *id,
            body: body.to_vec(),
        })
    };
    let least = MESSAGE_HEADER - 8;
    parts().ok_or_else(|| nonsense(format!("a message of {} bytes, not {least}", data.len())))
}

fn nonsense(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_apart() {
        let mut bytes = Vec::new();
        nsq_protocol::push_response(&mut bytes, HEARTBEAT);
        nsq_protocol::push_response(&mut bytes, b"OK");
        nsq_protocol::push_message(&mut bytes, 7, 2, nsq_protocol::MessageId(10), b"body");
        let (first, size) = parse(&bytes).unwrap().unwrap();
        assert!(matches!(first, Frame::Heartbeat));
        let bytes = &bytes[size..];
        let (second, size) = parse(bytes).unwrap().unwrap();
        assert!(matches!(second, Frame::Response(data) if data == b"OK"));
        let bytes = &bytes[size..];
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).unwrap().is_none());
        }
        let Some((Frame::Message(message), _)) = parse(bytes).unwrap() else {
            panic!("no message");
        };
        assert_eq!((message.timestamp, message.attempts), (7, 2));
        assert_eq!(&message.id, b"000000000000000a");
        assert_eq!(message.body, b"body");
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            b"\0\0\0\x03\0\0\0\0".as_slice(),
            b"\xff\xff\xff\xff\0\0\0\0",
            b"\0\0\0\x05\0\0\0\x09x",
            b"\0\0\0\x08\0\0\0\x02abcd",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
