//! What lies between a connection and its socket: nothing, TLS, compression, or both. A plain
//! connection pays a branch for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nsq_codec::{Codec, Compression};
use nsq_daemon::stream::Socket;
use nsq_daemon::tls::TlsAcceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Timeout, timeout};
use tokio_rustls::Accept;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

/// NSQ's bound of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Transport<S> {
    layer: Layer<S>,
    codec: Option<Box<Codec>>,
}

enum Layer<S> {
    Plain(S),
    Handshake(Pin<Box<Timeout<Accept<Prefixed<S>>>>>),
    Tls(Box<TlsStream<Prefixed<S>>>),
    /// The handshake failed.
    Failed,
}

/// What was agreed in a handshake, for `/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSession {
    /// As in `TLS1.3`.
    pub version: String,
    /// As in `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// ALPN; empty without.
    pub protocol: String,
    /// Of the client's certificate; empty without one.
    pub common_name: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            layer: Layer::Plain(stream),
            codec: None,
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.codec.is_some()
    }

    /// Begins the handshake, at the first call, and goes on with it. `read`: what was read from
    /// the socket already.
    ///
    /// # Errors
    /// There is no TLS to be had with this client; the connection is of no more use.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        acceptor: &TlsAcceptor,
        read: &mut Vec<u8>,
    ) -> Poll<io::Result<TlsSession>> {
        let mut handshake = match std::mem::replace(&mut self.layer, Layer::Failed) {
            Layer::Plain(stream) => {
                let prefix = std::mem::take(read);
                let accept = acceptor.accept(Prefixed { prefix, stream });
                Box::pin(timeout(HANDSHAKE_TIMEOUT, accept))
            }
            Layer::Handshake(handshake) => handshake,
            Layer::Tls(_) | Layer::Failed => return Poll::Ready(Err(no_stream())),
        };
        let Poll::Ready(done) = handshake.as_mut().poll(cx) else {
            self.layer = Layer::Handshake(handshake);
            return Poll::Pending;
        };
        let stream = done.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let session = session(&stream);
        self.layer = Layer::Tls(Box::new(stream));
        Poll::Ready(Ok(session))
    }

    /// From here on everything is compressed, `read` too, which was read already.
    pub(super) fn compress(&mut self, compression: Compression, read: Vec<u8>) {
        self.codec = Some(Box::new(Codec::new(compression, read)));
    }

    /// Tells a TLS client that the end is meant; whether that can be sent at once is up to the
    /// socket.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) {
        if let Layer::Tls(stream) = &mut self.layer {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
    }
}

impl<S: Socket> Transport<S> {
    /// As of the stream, unless there is something between.
    pub(super) fn linger(&mut self, within: Duration) {
        if let (Layer::Plain(stream), None) = (&mut self.layer, &self.codec) {
            stream.linger(within);
        }
    }
}

fn session<S>(stream: &TlsStream<S>) -> TlsSession {
    let (_, tls) = stream.get_ref();
    let version = tls.protocol_version().and_then(|version| version.as_str());
    let suite = tls.negotiated_cipher_suite();
    let suite = suite.and_then(|suite| suite.suite().as_str().map(str::to_owned));
    let protocol = tls.alpn_protocol().unwrap_or_default();
    TlsSession {
        version: version.unwrap_or_default().replace("TLSv1_", "TLS1."),
        cipher_suite: suite.unwrap_or_default().replace("TLS13_", "TLS_"),
        protocol: String::from_utf8_lossy(protocol).into_owned(),
        common_name: common_name(tls.peer_certificates().unwrap_or_default()),
    }
}

/// The last common name of the first certificate, as Go takes it.
fn common_name(chain: &[CertificateDer<'_>]) -> String {
    let first = chain.first();
    let parsed = first.and_then(|der| X509Certificate::from_der(der).ok());
    parsed.map_or_else(String::new, |(_, certificate)| {
        let names = certificate.subject().iter_common_name();
        let name = names.last().and_then(|name| name.as_str().ok());
        name.unwrap_or_default().to_owned()
    })
}

fn no_stream() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match (&mut this.codec, &mut this.layer) {
            (None, Layer::Plain(stream)) => Pin::new(stream).poll_read(cx, buffer),
            (None, Layer::Tls(stream)) => Pin::new(stream).poll_read(cx, buffer),
            (Some(codec), Layer::Plain(stream)) => codec.poll_read(stream, cx, buffer),
            (Some(codec), Layer::Tls(stream)) => codec.poll_read(stream, cx, buffer),
            _ => Poll::Ready(Err(no_stream())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match (&mut this.codec, &mut this.layer) {
            (None, Layer::Plain(stream)) => Pin::new(stream).poll_write(cx, bytes),
            (None, Layer::Tls(stream)) => Pin::new(stream).poll_write(cx, bytes),
            (Some(codec), Layer::Plain(stream)) => codec.poll_write(stream, cx, bytes),
            (Some(codec), Layer::Tls(stream)) => codec.poll_write(stream, cx, bytes),
            _ => Poll::Ready(Err(no_stream())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match (&mut this.codec, &mut this.layer) {
            (None, Layer::Plain(stream)) => Pin::new(stream).poll_flush(cx),
            (None, Layer::Tls(stream)) => Pin::new(stream).poll_flush(cx),
            (Some(codec), Layer::Plain(stream)) => codec.poll_flush(stream, cx),
            (Some(codec), Layer::Tls(stream)) => codec.poll_flush(stream, cx),
            _ => Poll::Ready(Err(no_stream())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        match &mut self.get_mut().layer {
            Layer::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Layer::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            _ => Poll::Ready(Err(no_stream())),
        }
    }
}

/// A stream whose first bytes were read already.
pub(super) struct Prefixed<S> {
    prefix: Vec<u8>,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let size = this.prefix.len().min(buffer.remaining());
        buffer.put_slice(&this.prefix[..size]);
        this.prefix.drain(..size);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
