//! Reading bodies: bounded in size, in time and in what all of them take together.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use futures::StreamExt;
use nsq_daemon::http::ApiError;
use tokio::sync::SemaphorePermit;

use super::{Result, Shared};

/// For one whole body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Of a body that is too large, this much more is read and thrown away: an answer sent while
/// the client still writes would be lost with the connection.
const DISCARDED: usize = 256 << 10;

/// A body, and its share of what all bodies may take.
pub(super) struct Read<'a> {
    pub bytes: Vec<u8>,
    _share: Option<SemaphorePermit<'a>>,
}

impl Shared {
    /// Reads a body of at most `most` bytes; a larger one is answered with `too_big`.
    pub(super) async fn read_body(
        &self,
        body: Body,
        most: usize,
        too_big: &'static str,
    ) -> Result<Read<'_>> {
        let too_big = ApiError::new(413, too_big);
        let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut stream = body.into_data_stream();
        let mut read = Read {
            bytes: Vec::with_capacity(if told <= most { told } else { 0 }),
            _share: None,
        };
        let mut excess = told > most;
        let mut discarded = 0;
        let whole = async {
            while let Some(part) = stream.next().await {
                let part = part.map_err(|_| ApiError::bad_request("INVALID_REQUEST"))?;
                excess |= read.bytes.len() + part.len() > most;
                if excess {
                    discarded += part.len();
                    if discarded > DISCARDED {
                        break;
                    }
                    continue;
                }
                read.take(self, part.len())?;
                read.bytes.extend_from_slice(&part);
            }
            Ok(())
        };
        match tokio::time::timeout(READ_TIMEOUT, whole).await {
            Ok(ended) => ended?,
            Err(_) => return Err(ApiError::new(408, "BODY_TOO_SLOW")),
        }
        if excess { Err(too_big) } else { Ok(read) }
    }
}

impl<'a> Read<'a> {
    /// Takes a share of `bytes` more.
    fn take(&mut self, shared: &'a Shared, bytes: usize) -> Result<()> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = shared.body_bytes.try_acquire_many(bytes);
        let share = share.map_err(|_| ApiError::new(503, "TOO_MANY_REQUESTS"))?;
        match &mut self._share {
            Some(held) => held.merge(share),
            none => *none = Some(share),
        }
        Ok(())
    }
}
