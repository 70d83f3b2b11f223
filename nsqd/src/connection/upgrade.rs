//! From a plain connection to what IDENTIFY agreed to: its answer in clear, then TLS and an `OK`
//! inside it, then compression and a further `OK`, compressed.

use std::io;
use std::task::{Context, Poll};

use nsq_daemon::stream::Socket;
use nsq_protocol::{Negotiated, ProtocolError};

use super::Connection;
use crate::options::TlsRequired;
use nsq_codec::Compression;

/// What is still to be done. Nothing is read or delivered before it is done.
pub(super) struct Upgrade {
    tls: bool,
    compression: Option<Compression>,
    /// Read behind IDENTIFY: how the next layer's stream begins.
    read: Vec<u8>,
}

impl Upgrade {
    /// `None`: the connection stays as it is.
    pub(super) fn agreed(agreed: &Negotiated) -> Option<Self> {
        let compression = match (agreed.snappy, agreed.deflate) {
            (true, _) => Some(Compression::Snappy),
            (_, true) => Some(Compression::Deflate(
                u32::try_from(agreed.deflate_level).unwrap_or(6).min(9),
            )),
            _ => None,
        };
        (agreed.tls_v1 || compression.is_some()).then(|| Self {
            tls: agreed.tls_v1,
            compression,
            read: Vec::new(),
        })
    }

    pub(super) fn keep(&mut self, read: &[u8]) {
        self.read.extend_from_slice(read);
    }
}

impl<S: Socket> Connection<S> {
    /// The client has to have TLS, and does not.
    pub(super) fn tls_missing(&self) -> bool {
        self.nsqd.options.tls_required != TlsRequired::No && !self.stream.is_tls()
    }

    /// Takes on what an IDENTIFY agreed to.
    ///
    /// # Errors
    /// The connection is upgraded already: one layer of each kind is all there is.
    pub(super) fn begin_upgrade(&mut self, agreed: &Negotiated) -> Result<(), ProtocolError> {
        self.upgrade = Upgrade::agreed(agreed).map(Box::new);
        let upgraded = self.stream.is_tls() || self.stream.is_compressed();
        if self.upgrade.is_some() && upgraded {
            self.upgrade = None;
            let text = "the connection is upgraded already";
            return Err(ProtocolError::fatal("E_IDENTIFY_FAILED", text));
        }
        Ok(())
    }

    /// The next step, once all that came before is sent. Whether there was one.
    ///
    /// # Errors
    /// The handshake failed.
    pub(super) fn go_on_upgrading(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(mut upgrade) = self.upgrade.take_if(|_| self.outbox.is_empty()) else {
            return Ok(false);
        };
        if upgrade.tls {
            let acceptor = self.nsqd.tls().ok_or(io::ErrorKind::Unsupported)?;
            match self
                .stream
                .poll_handshake(cx, acceptor, &mut upgrade.read)?
            {
                Poll::Pending => {
                    self.upgrade = Some(upgrade);
                    return Ok(false);
                }
                Poll::Ready(session) => {
                    upgrade.tls = false;
                    self.client.identity.lock().tls = Some(session);
                }
            }
        } else if let Some(compression) = upgrade.compression.take() {
            let read = std::mem::take(&mut upgrade.read);
            self.stream.compress(compression, read);
            let mut identity = self.client.identity.lock();
            match compression {
                Compression::Snappy => identity.snappy = true,
                Compression::Deflate(_) => identity.deflate = true,
            }
        }
        self.outbox.response(b"OK");
        self.last_input = self.nsqd.clock.now();
        self.upgrade = upgrade.compression.is_some().then_some(upgrade);
        Ok(true)
    }
}
