//! A connection to an nsqd as two tasks: what it says arrives as events, what it is told is sent, and a heartbeat goes
//! out when there is nothing else.

use std::time::Duration;

use nsq_protocol::PairMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connect::Stream;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// One read takes at most this much.
const READ: usize = 256 << 10;

/// Which nsqd: the source is 0, targets follow.
pub type Line = usize;

/// Something that happened on a line.
pub enum Event {
    /// A whole frame.
    Said(Line, Vec<u8>),
    /// It ended, and why.
    Ended(Line, String),
}

/// Whatever is sent here goes out. What waits is bounded by the source's window.
pub type Outgoing = mpsc::UnboundedSender<Vec<u8>>;

/// Takes a connection apart.
pub fn begin(
    line: Line,
    stream: Box<dyn Stream>,
    events: mpsc::Sender<Event>,
    tasks: &mut JoinSet<()>,
) -> Outgoing {
    let (reader, writer) = tokio::io::split(stream);
    let (outgoing, wanted) = mpsc::unbounded_channel();
    let told = events.clone();
    tasks.spawn(async move {
        let why = read(line, reader, &events).await;
        // Nobody listens any more when the run is over.
        let _ = events.send(Event::Ended(line, why)).await;
    });
    tasks.spawn(async move {
        if let Err(error) = write(writer, wanted).await {
            let _ = told.send(Event::Ended(line, error.to_string())).await;
        }
    });
    outgoing
}

async fn read(
    line: Line,
    mut reader: ReadHalf<Box<dyn Stream>>,
    events: &mpsc::Sender<Event>,
) -> String {
    let mut buffer = Vec::new();
    loop {
        buffer.reserve(READ);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return "it closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        let mut whole = 0;
        loop {
            let size = match PairMessage::decode(&buffer[whole..]) {
                Ok(None) => break,
                Ok(Some((PairMessage::Heartbeat, size))) => {
                    whole += size;
                    continue;
                }
                Ok(Some((PairMessage::Refuse { why }, _))) => return why.to_owned(),
                Ok(Some((_, size))) => size,
                Err(error) => return error.to_string(),
            };
            let frame = buffer[whole..whole + size].to_vec();
            whole += size;
            if events.send(Event::Said(line, frame)).await.is_err() {
                return String::new();
            }
        }
        buffer.drain(..whole);
    }
}

async fn write(
    mut writer: WriteHalf<Box<dyn Stream>>,
    mut wanted: mpsc::UnboundedReceiver<Vec<u8>>,
) -> std::io::Result<()> {
    let mut heartbeat = Vec::new();
    PairMessage::Heartbeat.encode(&mut heartbeat);
    loop {
        match tokio::time::timeout(HEARTBEAT, wanted.recv()).await {
            Err(_) => writer.write_all(&heartbeat).await?,
            Ok(None) => return Ok(()),
            Ok(Some(frame)) => {
                writer.write_all(&frame).await?;
                while let Ok(frame) = wanted.try_recv() {
                    writer.write_all(&frame).await?;
                }
            }
        }
        writer.flush().await?;
    }
}
