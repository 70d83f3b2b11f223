//! A connection, once accepted.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a client is served on.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// How long reads look before they wait to be woken; zero: not at all. Keeps the thread busy meanwhile, so it is
    /// for a client that is alone and answers at once: it is spared the way to sleep and back.
    fn linger(&mut self, _within: Duration) {}
}

impl Socket for DuplexStream {}

/// A connection of either kind.
#[derive(Debug)]
pub struct Stream {
    socket: Inner,
    linger: Duration,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    /// While it lingers: not known to the runtime, where another thread would be woken by what arrives.
    Awake(std::net::TcpStream),
    Unix(UnixStream),
    /// Could not be handed over from one to the other.
    Gone,
}

impl Stream {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        let socket = Inner::Tcp(stream);
        let linger = Duration::ZERO;
        Self { socket, linger }
    }

    pub(crate) fn unix(stream: UnixStream) -> Self {
        let socket = Inner::Unix(stream);
        let linger = Duration::ZERO;
        Self { socket, linger }
    }

    fn stay_awake(&mut self) -> io::Result<()> {
        if let Inner::Tcp(stream) = std::mem::replace(&mut self.socket, Inner::Gone) {
            self.socket = Inner::Awake(stream.into_std()?);
        }
        Ok(())
    }

    fn fall_asleep(&mut self) -> io::Result<()> {
        if let Inner::Awake(stream) = std::mem::replace(&mut self.socket, Inner::Gone) {
            self.socket = Inner::Tcp(TcpStream::from_std(stream)?);
        }
        Ok(())
    }
}

impl Socket for Stream {
    fn linger(&mut self, within: Duration) {
        self.linger = within;
    }
}

/// Reads once; without success, again and again within this time.
fn read_soon(
    mut stream: &std::net::TcpStream,
    within: Duration,
    buffer: &mut ReadBuf<'_>,
) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match stream.read(buffer.initialize_unfilled()) {
            Ok(read) => {
                buffer.advance(read);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if began.elapsed() >= within => return Err(error),
            // The client may be waiting for this very core.
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.socket {
            Inner::Unix(stream) => return Pin::new(stream).poll_read(cx, buffer),
            Inner::Tcp(stream) => match Pin::new(stream).poll_read(cx, buffer) {
                Poll::Pending if !this.linger.is_zero() => this.stay_awake()?,
                polled => return polled,
            },
            Inner::Awake(_) => {}
            Inner::Gone => return gone(),
        }
        if let Inner::Awake(stream) = &this.socket {
            match read_soon(stream, this.linger, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.fall_asleep()?,
                read => return Poll::Ready(read),
            }
        }
        match &mut this.socket {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            _ => gone(),
        }
    }
}

impl Stream {
    /// Writes as `now` does while it is awake, and as `later` does otherwise.
    fn write(
        &mut self,
        now: impl FnOnce(&std::net::TcpStream) -> io::Result<usize>,
        later: impl FnOnce(Pin<&mut (dyn AsyncWrite + Unpin)>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Inner::Awake(stream) = &self.socket {
            match now(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.fall_asleep()?,
                written => return Poll::Ready(written),
            }
        }
        match &mut self.socket {
            Inner::Tcp(stream) => later(Pin::new(stream)),
            Inner::Unix(stream) => later(Pin::new(stream)),
            Inner::Awake(_) | Inner::Gone => gone(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(
            |mut stream| stream.write(bytes),
            |stream| stream.poll_write(cx, bytes),
        )
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(
            |mut stream| stream.write_vectored(bytes),
            |stream| stream.poll_write_vectored(cx, bytes),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Awake(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            Inner::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Gone => gone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Stream::tcp(accepted.unwrap().0), client.unwrap())
    }

    #[tokio::test]
    async fn what_comes_while_it_lingers_and_after_is_read() {
        let (mut stream, mut client) = pair().await;
        let mut bytes = [0; 4];
        stream.linger(Duration::from_secs(60));
        client.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        let asked = tokio::task::spawn_blocking({
            let client = client.into_std().unwrap();
            move || {
                (&client).write_all(b"late").unwrap();
                client
            }
        });
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"late");
        let client = asked.await.unwrap();
        assert!(matches!(stream.socket, Inner::Awake(_)));
        stream.linger(Duration::ZERO);
        let (read, ()) = tokio::join!(stream.read_exact(&mut bytes), async {
            tokio::task::yield_now().await; // it looked once, and sleeps
            (&client).write_all(b"more").unwrap();
        });
        read.unwrap();
        assert_eq!(&bytes, b"more");
        assert!(matches!(stream.socket, Inner::Tcp(_)));
    }

    #[tokio::test]
    async fn awake_it_writes_until_the_client_has_to_read() {
        const MUCH: usize = 32 << 20; // more than the kernel keeps
        let (mut stream, mut client) = pair().await;
        stream.stay_awake().unwrap();
        let reader = tokio::spawn(async move {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).await.map(|_| bytes.len())
        });
        stream.write_all(&vec![b'x'; MUCH]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), MUCH);
    }

    #[tokio::test]
    async fn awake_it_ends_like_any_other() {
        let (mut stream, mut client) = pair().await;
        stream.stay_awake().unwrap();
        stream.write_all(b"bye").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"bye");
        drop(client);
        stream.linger(Duration::from_secs(60));
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
    }
}
