//! One connection to an nsqlookupd: commands out, answers in, every wait bounded.

use std::io;
use std::time::Duration;

use nsq_protocol::lookup::{LookupCommand, MAGIC_V1, OK, PeerInfo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For commands to be sent, and for each answer to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer, in bytes: nsqlookupd's own identity is the longest there is.
const MAX_ANSWER: usize = 64 * 1024;
/// Commands sent before their answers are read. The answers (6 bytes each) must fit into the socket's
/// buffers, or both sides would wait for each other.
pub(super) const WINDOW: usize = 512;

pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects and introduces; gives who answers.
    pub(super) async fn open(
        address: &str,
        connect_timeout: Duration,
        identity: &PeerInfo,
    ) -> io::Result<(Self, PeerInfo)> {
        let stream = within(connect_timeout, "connecting", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self(BufReader::new(stream));
        let body = serde_json::to_vec(identity)?;
        let size = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut out = MAGIC_V1.to_vec();
        out.extend_from_slice(LookupCommand::Identify.line().as_bytes());
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&body);
        connection.send(&out).await?;
        let answer = connection.answer().await?;
        match serde_json::from_slice(&answer) {
            Ok(peer) => Ok((connection, peer)),
            Err(_) => Err(refused("IDENTIFY", &answer)),
        }
    }

    /// Sends the commands, at most [`WINDOW`] at a time, and takes their answers.
    pub(super) async fn exchange(&mut self, commands: &[LookupCommand]) -> io::Result<()> {
        for window in commands.chunks(WINDOW) {
            let lines: String = window.iter().map(LookupCommand::line).collect();
            self.send(lines.as_bytes()).await?;
            for command in window {
                let answer = self.answer().await?;
                if answer != OK {
                    return Err(refused(command.line().trim_end(), &answer));
                }
            }
        }
        Ok(())
    }

    /// Waits, while nothing is asked, for the only thing that can happen: the end. Cancel-safe.
    pub(super) async fn broken(&mut self) -> io::Error {
        match self.0.fill_buf().await {
            Ok([]) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => io::Error::other("an answer to nothing"),
            Err(err) => err,
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(PATIENCE, "sending", self.0.get_mut().write_all(bytes)).await
    }

    async fn answer(&mut self) -> io::Result<Vec<u8>> {
        let read = async {
            let size = self.0.read_u32().await? as usize;
            if size > MAX_ANSWER {
                return Err(io::Error::other(format!(
                    "answer of {size} bytes, more than {MAX_ANSWER}"
                )));
            }
            let mut answer = vec![0; size];
            self.0.read_exact(&mut answer).await?;
            Ok(answer)
        };
        within(PATIENCE, "waiting for an answer", read).await
    }
}

fn refused(command: &str, answer: &[u8]) -> io::Error {
    io::Error::other(format!(
        "{command} refused: {}",
        String::from_utf8_lossy(answer)
    ))
}

async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(limit, work).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what} took longer than {limit:?}"),
        )
    })?
}
