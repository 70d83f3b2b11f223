//! A client's end of a pipe: frames come out, bytes go in.

use nsq_protocol::{FRAME_MESSAGE, FRAME_RESPONSE, HEARTBEAT};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A connection to the simulated nsqd. Everything returns `None` once it is gone.
pub struct Connection {
    pipe: DuplexStream,
}

/// What the server says.
#[derive(Debug)]
#[allow(dead_code)] // what complaints show
pub enum Frame {
    Ok,
    Other(String),
    Error(String),
    Message {
        id: [u8; 16],
        attempts: u16,
        body: Vec<u8>,
    },
}

impl Connection {
    pub async fn open(mut pipe: DuplexStream) -> Option<Self> {
        pipe.write_all(b"  V2").await.ok()?;
        Some(Self { pipe })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.pipe.write_all(bytes).await.ok()
    }

    /// The next frame; heartbeats are answered and passed over.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            let size = self.pipe.read_u32().await.ok()?;
            let kind = self.pipe.read_u32().await.ok()?;
            let mut data = vec![0; size.checked_sub(4)? as usize];
            self.pipe.read_exact(&mut data).await.ok()?;
            if kind == FRAME_RESPONSE && data == HEARTBEAT {
                self.send(b"NOP\n").await?;
                continue;
            }
            return Some(match kind {
                FRAME_RESPONSE if data == b"OK" => Frame::Ok,
                FRAME_RESPONSE => Frame::Other(String::from_utf8_lossy(&data).into_owned()),
                FRAME_MESSAGE => Frame::Message {
                    attempts: u16::from_be_bytes(*data.get(8..10)?.first_chunk()?),
                    id: *data.get(10..26)?.first_chunk()?,
                    body: data.get(26..)?.to_vec(),
                },
                _ => Frame::Error(String::from_utf8_lossy(&data).into_owned()),
            });
        }
    }
}
