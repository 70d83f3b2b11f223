//! The connection of an nsqd: lines in, answers out, every wait and every size bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_daemon::go_duration;
use nsq_daemon::stream::Stream;
use nsq_protocol::ProtocolError;
use nsq_protocol::lookup::{LookupCommand, MAGIC_V1, OK, PeerInfo, push_answer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::Shared;
use crate::registry::{Peer, PeerId};

/// Longest line, in bytes: a verb and two names of 64 are far below.
const MAX_LINE: u64 = 1024;
/// Largest body of IDENTIFY, in bytes.
const MAX_IDENTIFY: usize = 64 * 1024;
/// For everything until IDENTIFY is complete, and for what belongs to a command that has begun.
const PATIENCE: Duration = Duration::from_secs(60);
/// For an answer to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection to its end; what it registered goes with it.
pub(crate) async fn serve(stream: Stream, remote: &str, shared: Arc<Shared>) {
    tracing::info!("TCP: new client({remote})");
    let mut session = Session {
        reader: BufReader::new(stream),
        line: Vec::new(),
        remote,
        membership: Membership {
            id: shared.next_peer(),
            shared,
            identified: false,
        },
    };
    match session.run().await {
        Ok(()) => tracing::info!("TCP: client({remote}) gone"),
        Err(err) => tracing::warn!("TCP: client({remote}) dropped - {err}"),
    }
}

struct Session<'a> {
    reader: BufReader<Stream>,
    line: Vec<u8>,
    remote: &'a str,
    membership: Membership,
}

/// The nsqd's place in the registry; given up however the connection ends.
struct Membership {
    id: PeerId,
    shared: Arc<Shared>,
    identified: bool,
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.identified {
            let id = self.id;
            self.shared.change(|registry| registry.disconnect(id));
        }
    }
}

impl Session<'_> {
    async fn run(&mut self) -> io::Result<()> {
        let mut magic = [0; 4];
        bounded(PATIENCE, self.reader.read_exact(&mut magic)).await?;
        if magic != *MAGIC_V1 {
            self.answer(b"E_BAD_PROTOCOL").await?;
            return Err(io::Error::other("bad protocol magic"));
        }
        while self.read_line().await? {
            match self.obey().await? {
                Ok(answer) => self.answer(&answer).await?,
                Err(refusal) => {
                    self.answer(refusal.to_string().as_bytes()).await?;
                    return Err(io::Error::other(refusal));
                }
            }
        }
        Ok(())
    }

    /// False at the end of the connection.
    async fn read_line(&mut self) -> io::Result<bool> {
        // An nsqd that says nothing for so long is not shown any more; let it connect again.
        let silence = match self.membership.identified {
            true => self
                .membership
                .shared
                .inactive_producer_timeout
                .max(PATIENCE),
            false => PATIENCE,
        };
        self.line.clear();
        let mut bounded_reader = (&mut self.reader).take(MAX_LINE);
        bounded(silence, bounded_reader.read_until(b'\n', &mut self.line)).await?;
        match self.line.last() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if self.line.len() as u64 == MAX_LINE => Err(io::Error::other(format!(
                "line longer than {MAX_LINE} bytes"
            ))),
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Takes the command in `line`. The outer error is the connection's, the inner is the answer.
    async fn obey(&mut self) -> io::Result<Result<Vec<u8>, ProtocolError>> {
        let command = LookupCommand::parse(&self.line, self.membership.identified);
        if matches!(command, Ok(LookupCommand::Identify)) {
            return self.identify().await;
        }
        Ok(command.and_then(|command| self.membership.apply(command, self.remote)))
    }

    async fn identify(&mut self) -> io::Result<Result<Vec<u8>, ProtocolError>> {
        let bad = |text| Ok(Err(ProtocolError::fatal("E_BAD_BODY", text)));
        let size = bounded(PATIENCE, self.reader.read_i32()).await?;
        let size = match usize::try_from(size) {
            Ok(size) if size <= MAX_IDENTIFY => size,
            _ => {
                return bad(format!(
                    "IDENTIFY body size {size} not in [0,{MAX_IDENTIFY}]"
                ));
            }
        };
        let mut body = vec![0; size];
        bounded(PATIENCE, self.reader.read_exact(&mut body)).await?;
        let info = match PeerInfo::parse(&body) {
            Ok(info) => info,
            Err(refusal) => return Ok(Err(refusal)),
        };
        tracing::info!(
            "CLIENT({}): IDENTIFY Address:{} TCP:{} HTTP:{} Version:{}",
            self.remote,
            info.broadcast_address,
            info.tcp_port,
            info.http_port,
            info.version
        );
        self.membership.join(info, self.remote);
        match serde_json::to_vec(&self.membership.shared.own) {
            Ok(own) => Ok(Ok(own)),
            Err(err) => Err(err.into()),
        }
    }

    async fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(4 + answer.len());
        push_answer(&mut out, answer);
        bounded(WRITE_TIMEOUT, self.reader.get_mut().write_all(&out)).await
    }
}

impl Membership {
    fn join(&mut self, info: PeerInfo, remote: &str) {
        let peer = Peer {
            info,
            remote_address: remote.to_owned(),
            last_seen: self.shared.now(),
        };
        let id = self.id;
        self.shared.change(|registry| registry.identify(id, peer));
        self.identified = true;
    }

    fn apply(&self, command: LookupCommand, remote: &str) -> Result<Vec<u8>, ProtocolError> {
        let now = self.shared.now();
        let silent = self.shared.registry.lock().seen(self.id, now);
        match command {
            LookupCommand::Ping => {
                if let Some(silent) = silent {
                    let silent = go_duration::format_duration(silent);
                    tracing::debug!("CLIENT({remote}): PING after {silent}");
                }
            }
            LookupCommand::Register(what) => {
                tracing::info!("CLIENT({remote}): REGISTER {what}");
                let done = self
                    .shared
                    .change(|registry| registry.register(self.id, &what));
                done.map_err(|_| {
                    self.shared.refused.fetch_add(1, Ordering::Relaxed);
                    ProtocolError::invalid("REGISTER refused, the registry is full")
                })?;
            }
            LookupCommand::Unregister(what) => {
                tracing::info!("CLIENT({remote}): UNREGISTER {what}");
                self.shared
                    .change(|registry| registry.unregister(self.id, &what));
            }
            LookupCommand::Identify => return Err(ProtocolError::invalid("cannot IDENTIFY again")),
        }
        Ok(OK.to_vec())
    }
}

async fn bounded<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
