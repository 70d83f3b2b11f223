//! Carries the messages of a link from one nsqd to the other and back, and nothing that is none.

use std::io;

use nsq_protocol::{PairError, PairMessage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One read takes at most this much.
const READ: usize = 256 << 10;

/// Why a relay ended.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("{from} is gone: {error}")]
    Io {
        from: &'static str,
        error: io::Error,
    },
    #[error("{from} closed the link")]
    Closed { from: &'static str },
    #[error("{from}: {error}")]
    Malformed {
        from: &'static str,
        error: PairError,
    },
    #[error("{from} said what the other end says: {what}")]
    Misplaced { from: &'static str, what: String },
    #[error("{from} refuses: {why}")]
    Refused { from: &'static str, why: String },
}

/// Relays until either side ends it. The slower side sets the pace: nothing is read that was not passed on.
///
/// # Errors
/// Always: why it ended.
pub async fn relay<O, H>(origin: O, holder: H) -> Result<(), RelayError>
where
    O: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_origin, mut to_origin) = tokio::io::split(origin);
    let (mut from_holder, mut to_holder) = tokio::io::split(holder);
    let there = pump("the origin", &mut from_origin, &mut to_holder, is_origins);
    let back = pump("the holder", &mut from_holder, &mut to_origin, is_holders);
    tokio::try_join!(there, back)?;
    Ok(())
}

fn is_origins(message: &PairMessage<'_>) -> bool {
    matches!(
        message,
        PairMessage::Hello { .. }
            | PairMessage::Start { .. }
            | PairMessage::Record { .. }
            | PairMessage::Heartbeat
    )
}

fn is_holders(message: &PairMessage<'_>) -> bool {
    matches!(
        message,
        PairMessage::Welcome { .. }
            | PairMessage::Wait { .. }
            | PairMessage::Ack { .. }
            | PairMessage::Adopted(_)
            | PairMessage::Heartbeat
    )
}

async fn pump(
    from: &'static str,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    allowed: fn(&PairMessage<'_>) -> bool,
) -> Result<(), RelayError> {
    let failed = |error| RelayError::Io { from, error };
    let mut buffer = Vec::new();
    loop {
        buffer.reserve(READ);
        if reader.read_buf(&mut buffer).await.map_err(failed)? == 0 {
            return Err(RelayError::Closed { from });
        }
        let mut whole = 0;
        loop {
            let decoded = PairMessage::decode(&buffer[whole..]);
            let decoded = decoded.map_err(|error| RelayError::Malformed { from, error })?;
            let Some((message, size)) = decoded else {
                break;
            };
            if let PairMessage::Refuse { why } = message {
                let why = why.to_owned();
                // The other end is told as well; then this is over.
                let last = writer.write_all(&buffer[whole..whole + size]).await;
                last.map_err(failed)?;
                writer.flush().await.map_err(failed)?;
                return Err(RelayError::Refused { from, why });
            }
            if !allowed(&message) {
                let what = format!("{message:?}").chars().take(80).collect();
                return Err(RelayError::Misplaced { from, what });
            }
            whole += size;
        }
        if whole > 0 {
            writer.write_all(&buffer[..whole]).await.map_err(failed)?;
            writer.flush().await.map_err(failed)?;
            buffer.drain(..whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsq_protocol::PairPosition;

    fn bytes(message: &PairMessage<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    #[tokio::test]
    async fn each_end_may_say_what_is_its_own() {
        let record = PairMessage::Record {
            run: 1,
            from: 0,
            to: 9,
            slice: &[7; 300_000],
        };
        let ack = PairMessage::Ack {
            position: PairPosition { run: 1, lsn: 9 },
            end: 3,
        };
        let (mut origin, ours) = tokio::io::duplex(1000);
        let (theirs, mut holder) = tokio::io::duplex(1000);
        let relaying = tokio::spawn(relay(ours, theirs));
        let sent = bytes(&record);
        let mut received = vec![0; sent.len()];
        let (wrote, read) = tokio::join!(origin.write_all(&sent), holder.read_exact(&mut received));
        assert!(wrote.is_ok() && read.is_ok() && received == sent);
        let sent = bytes(&ack);
        let mut received = vec![0; sent.len()];
        assert!(holder.write_all(&sent).await.is_ok());
        assert!(origin.read_exact(&mut received).await.is_ok() && received == sent);
        // An origin does not acknowledge.
        assert!(origin.write_all(&bytes(&ack)).await.is_ok());
        let ended = relaying.await.ok().and_then(Result::err);
        assert!(matches!(
            ended,
            Some(RelayError::Misplaced {
                from: "the origin",
                ..
            })
        ));
    }
}
