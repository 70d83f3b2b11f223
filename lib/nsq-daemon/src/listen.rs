//! Where a daemon is reached: `host:port` or the path of a unix socket.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::stream::Stream;

/// Connections the kernel keeps until they are accepted; it lowers this to its own limit.
const BACKLOG: i32 = 4096;
/// Rest after a failed accept (out of file descriptors, usually) before the next.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Silence after which the kernel asks whether the other side is there, as Go's does.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// How often it asks, and how many times.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 9;
/// How long what was sent may go without an acknowledgement.
const USER_TIMEOUT_MS: u32 = 120_000;

/// A listener that could not be opened, in NSQ's words.
#[derive(Debug, Error)]
#[error("listen ({address}) failed - {source}")]
pub struct BindError {
    pub address: String,
    pub source: io::Error,
}

/// A listener of either kind.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens on `host:port` (port 0: any free one), or else on a unix socket with this path.
    ///
    /// An unspecified address (`0.0.0.0`, `[::]`, none) takes IPv4 and IPv6 where the machine has both,
    /// as Go does. A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// [`BindError`] when the name does not resolve or the address cannot be had.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        let bound = match split_host_port(address) {
            Some((host, port)) => bind_tcp(host, port).await.map(Self::Tcp),
            None => bind_unix(Path::new(address)).await,
        };
        bound.map_err(|source| BindError {
            address: address.to_owned(),
            source,
        })
    }

    /// As [`Listener::bind`]; none for an address that was left empty.
    ///
    /// # Errors
    /// As of [`Listener::bind`].
    pub async fn bind_unless_empty(address: &str) -> Result<Option<Self>, BindError> {
        match address {
            "" => Ok(None),
            address => Self::bind(address).await.map(Some),
        }
    }

    /// The next connection and the client's address (`@` on a unix socket, as Go has it). Failures to
    /// accept are logged and retried after a short rest; cancel-safe.
    pub async fn accept(&self) -> (Stream, String) {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    // Fails only on a socket that is already gone.
                    let _ = tune(&stream);
                    (Stream::tcp(stream), canonical(peer).to_string())
                }),
                Self::Unix(listener, _) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| (Stream::unix(stream), "@".to_owned())),
            };
            match accepted {
                Ok(connection) => return connection,
                Err(err) => {
                    tracing::warn!("accept on {self} failed - {err}");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// The port in use, `None` for a unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Self::Unix(..) => None,
        }
    }
}

/// The address in use, with the real port: what the `listening on` line shows.
impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(err) => write!(f, "{err}"),
            },
            Self::Unix(_, file) => write!(f, "{}", file.0.display()),
        }
    }
}

/// Splits `host:port` and `[v6]:port`; `None` if it is neither, and so a path.
fn split_host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(host) => host,
        None if host.contains([':', '/']) => return None,
        None => host,
    };
    Some((host, port))
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<TcpListener> {
    let unspecified = host.is_empty()
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified());
    if unspecified {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match listen_on(both) {
            // No IPv6 on this machine.
            Err(err) if matches!(err.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL)) => {
                listen_on(SocketAddr::from(([0, 0, 0, 0], port)))
            }
            bound => bound,
        }
    } else {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
        for address in tokio::net::lookup_host((host, port)).await? {
            match listen_on(address) {
                Ok(listener) => return Ok(listener),
                Err(err) => last = err,
            }
        }
        Err(last)
    }
}

const EAFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
const EADDRNOTAVAIL: i32 = rustix::io::Errno::ADDRNOTAVAIL.raw_os_error();

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let bound = match UnixListener::bind(path) {
        Err(err) if err.kind() == io::ErrorKind::AddrInUse && is_abandoned(path).await => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    Ok(Listener::Unix(bound?, SocketFile(path.to_owned())))
}

/// Left behind by a process that was killed: a socket, and nobody accepts on it.
async fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = || async {
        let answer = UnixStream::connect(path).await;
        answer.is_err_and(|err| err.kind() == io::ErrorKind::ConnectionRefused)
    };
    is_socket && refused().await
}

/// The file of a unix socket; removed when its listener closes.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = fs::remove_file(&self.0);
    }
}

/// Sends at once, and notices when the other side is gone without a word: a machine that lost its
/// power, a firewall that forgot the connection.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MS)?;
    Ok(())
}

/// An IPv4 client of a listener for both families, as the IPv4 address it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn addresses_and_paths() {
        assert_eq!(split_host_port("0.0.0.0:4150"), Some(("0.0.0.0", 4150)));
        assert_eq!(split_host_port(":0"), Some(("", 0)));
        assert_eq!(split_host_port("[::1]:80"), Some(("::1", 80)));
        assert_eq!(
            split_host_port("nsqd-0.nsqd:4150"),
            Some(("nsqd-0.nsqd", 4150))
        );
        for path in ["/run/nsqd.sock", "nsqd.sock", "/run/a:1", "::1:80"] {
            assert_eq!(split_host_port(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn unspecified_address_shows_clients_as_they_are() {
        let listener = Listener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.port().unwrap();
        assert!(listener.to_string().ends_with(&format!(":{port}")));
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_stream, peer) = listener.accept().await;
        assert_eq!(peer, client.local_addr().unwrap().to_string());
    }

    #[tokio::test]
    async fn busy_address_is_told() {
        let first = Listener::bind("127.0.0.1:0").await.unwrap();
        let err = Listener::bind(&first.to_string()).await.unwrap_err();
        assert!(
            err.to_string()
                .starts_with(&format!("listen ({first}) failed - ")),
            "{err}"
        );
    }

    #[tokio::test]
    async fn unix_socket_is_replaced_only_when_abandoned() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        // As a killed process leaves it: the file without the listener.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(path.to_str().unwrap()).await.unwrap();
        assert!(
            Listener::bind(path.to_str().unwrap()).await.is_err(),
            "stolen from a live listener"
        );

        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(b"x").await.unwrap();
        // The probe of the refused bind comes first.
        let (_probe, _) = listener.accept().await;
        let (mut stream, peer) = listener.accept().await;
        assert_eq!(
            (stream.read_u8().await.unwrap(), peer.as_str()),
            (b'x', "@")
        );
        drop(listener);
        assert!(!path.exists());

        let file = directory.path().join("f");
        fs::write(&file, "data").unwrap();
        assert!(Listener::bind(file.to_str().unwrap()).await.is_err());
        assert_eq!(fs::read(&file).unwrap(), b"data");
    }
}
