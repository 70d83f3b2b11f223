//! Compression between a connection and its socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::snappy::Snappy;

/// Compressed bytes read at once.
const READ: usize = 16 * 1024;
/// Bytes compressed at once, so that what waits for the socket is bounded.
const WRITE: usize = 64 * 1024;

/// What IDENTIFY agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Snappy,
    /// Its level, in [1,9].
    Deflate(u32),
}

/// Both directions of one connection.
pub struct Codec {
    kind: Kind,
    /// Compressed, and not decoded.
    input: Vec<u8>,
    /// Compressed, and not written.
    output: Vec<u8>,
    written: usize,
    /// The peer ended its stream.
    ended: bool,
}

#[allow(clippy::large_enum_variant)] // the codec is boxed as a whole
enum Kind {
    Snappy(Snappy),
    Deflate {
        encoder: Compress,
        decoder: Decompress,
        /// Something was written since the last sync flush.
        dirty: bool,
    },
}

impl Codec {
    /// `input`: compressed bytes that were read already.
    #[must_use]
    pub fn new(compression: Compression, input: Vec<u8>) -> Self {
        let kind = match compression {
            Compression::Snappy => Kind::Snappy(Snappy::new()),
            Compression::Deflate(level) => Kind::Deflate {
                encoder: Compress::new(flate2::Compression::new(level), false),
                decoder: Decompress::new(false),
                dirty: false,
            },
        };
        Self {
            kind,
            input,
            output: Vec::new(),
            written: 0,
            ended: false,
        }
    }

    /// Never decodes more than `buffer` has room for.
    ///
    /// # Errors
    /// The stream's, or what came is not compressed like this.
    pub fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let (used, decoded) = self.decode(buffer.initialize_unfilled())?;
            if used > 0 && decoded == 0 {
                continue; // a decoder may rest between two blocks
            }
            if decoded > 0 || self.ended || buffer.remaining() == 0 {
                buffer.advance(decoded);
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; READ];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut chunk))?;
            self.ended = chunk.filled().is_empty();
            self.input.extend_from_slice(chunk.filled());
        }
    }

    /// How much of the input and of `out` was used.
    fn decode(&mut self, out: &mut [u8]) -> io::Result<(usize, usize)> {
        let (used, got) = match &mut self.kind {
            Kind::Snappy(snappy) => snappy.decode(&self.input, out)?,
            Kind::Deflate { decoder, .. } => {
                let (read, written) = (decoder.total_in(), decoder.total_out());
                let status = decoder
                    .decompress(&self.input, out, FlushDecompress::None)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                self.ended |= status == Status::StreamEnd;
                let used = (decoder.total_in() - read) as usize;
                (used, (decoder.total_out() - written) as usize)
            }
        };
        self.input.drain(..used);
        if self.input.is_empty() {
            self.input = Vec::new(); // an idle connection keeps none
        }
        Ok((used, got))
    }

    /// Compresses some of `plain`, when what was compressed before is with the stream.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        plain: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(stream, cx))?;
        let plain = &plain[..plain.len().min(WRITE)];
        match &mut self.kind {
            Kind::Snappy(snappy) => snappy.encode(plain, &mut self.output)?,
            Kind::Deflate { encoder, dirty, .. } => {
                deflate(encoder, plain, FlushCompress::None, &mut self.output)?;
                *dirty = true;
            }
        }
        Poll::Ready(Ok(plain.len()))
    }

    /// Until everything that was written is with the peer, and decodable there.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_flush(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Kind::Deflate { encoder, dirty, .. } = &mut self.kind
            && std::mem::take(dirty)
        {
            deflate(encoder, &[], FlushCompress::Sync, &mut self.output)?;
        }
        ready!(self.poll_drain(stream, cx))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_drain(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let left = &self.output[self.written..];
            match ready!(Pin::new(&mut *stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.output = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Compresses all of `plain`; a flush is complete when it leaves room in `out`.
fn deflate(
    encoder: &mut Compress,
    mut plain: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        out.reserve(plain.len() / 2 + 256);
        let before = encoder.total_in();
        encoder
            .compress_vec(plain, out, flush)
            .map_err(io::Error::other)?;
        plain = &plain[(encoder.total_in() - before) as usize..];
        if plain.is_empty() && out.len() < out.capacity() {
            return Ok(());
        }
    }
}
