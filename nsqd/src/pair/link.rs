//! A connection that became a link: bytes in, bytes out, and who looks at them.

mod from_origin;
mod to_holder;

use std::sync::Arc;
use std::time::Duration;

use nsq_journal::Waiter;
use nsq_protocol::{PairMessage, PairRole};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use crate::client::Client;
use crate::nsqd::Nsqd;
use crate::relocation::{Source, Target};

/// How often either side says that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which the other side is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// One read takes at most this much.
const READ: usize = 256 << 10;
/// No more is prepared while this much waits to be sent.
pub(crate) const OUTBOX: usize = 1 << 20;

/// Why a link ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The connection did.
    Closed,
    /// With a reason.
    Because(String),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Because(error.to_string())
    }
}

/// What a link does with what it hears.
pub(crate) trait Side {
    /// A message came. Answers go to `out`.
    async fn hear(&mut self, message: PairMessage<'_>, out: &mut Vec<u8>) -> Result<(), End>;
    /// Nothing more came for now: says what there is to say. Nothing is asked of it while much waits to be sent.
    async fn speak(&mut self, out: &mut Vec<u8>) -> Result<(), End>;
    /// Whatever makes it speak.
    fn news(&self) -> &Notify;
    /// It may also have to speak after this long.
    fn patience(&self) -> Duration;
    /// The link is over.
    fn end(&mut self);
}

/// Serves a link until it ends. `read`: what was read of it already.
pub(crate) async fn serve<S>(
    nsqd: Arc<Nsqd>,
    stream: S,
    read: Vec<u8>,
    role: PairRole,
    client: Arc<Client>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (remote, verb) = (client.remote_address.clone(), role.verb());
    tracing::info!("{verb}: {remote} links us as {}", role.name());
    let link = Link::new(stream, read);
    let end = match role {
        PairRole::Origin => link.run(&mut to_holder::Sender::new(nsqd), &client).await,
        PairRole::Holder => {
            link.run(&mut from_origin::Receiver::new(nsqd), &client)
                .await
        }
        PairRole::Source => link.run(&mut Source::new(nsqd), &client).await,
        PairRole::Target => link.run(&mut Target::new(nsqd), &client).await,
    };
    match end {
        End::Closed => tracing::info!("{verb}: the link of {remote} is closed"),
        End::Because(why) => tracing::warn!("{verb}: the link of {remote} ended: {why}"),
    }
}

struct Link<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    fn new(stream: S, input: Vec<u8>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            input,
            output: Vec::new(),
            sent: 0,
            flushed: true,
        }
    }

    async fn run(mut self, side: &mut impl Side, client: &Client) -> End {
        let end = match self.talk(side, client).await {
            Ok(end) => end,
            Err(end) => {
                if let End::Because(why) = &end {
                    PairMessage::Refuse { why }.encode(&mut self.output);
                    // It is the last word, and nobody may be listening.
                    let last = self.writer.write_all(&self.output[self.sent..]);
                    let _ = tokio::time::timeout(HEARTBEAT, last).await;
                    let _ = tokio::time::timeout(HEARTBEAT, self.writer.flush()).await;
                }
                end
            }
        };
        side.end();
        end
    }

    async fn talk(&mut self, side: &mut impl Side, client: &Client) -> Result<End, End> {
        let now = tokio::time::Instant::now;
        let (mut heard, mut said) = (now(), now());
        loop {
            if client.is_hung_up() {
                return Ok(End::Closed);
            }
            self.hear(side).await?;
            if self.output.len() - self.sent < OUTBOX {
                side.speak(&mut self.output).await?;
            }
            if now() - heard >= SILENCE {
                return Err(End::Because("the other side is silent".to_owned()));
            }
            if now() - said >= HEARTBEAT {
                PairMessage::Heartbeat.encode(&mut self.output);
                said = now();
            }
            let wait = side.patience().min(HEARTBEAT);
            let waiting = self.sent < self.output.len();
            tokio::select! {
                biased;
                read = self.reader.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    heard = now();
                }
                written = push(&mut self.writer, &self.output[self.sent..]), if waiting || !self.flushed => {
                    self.sent += written?;
                    self.flushed = !waiting;
                    if self.sent == self.output.len() {
                        self.output.clear();
                        self.sent = 0;
                    }
                    said = now();
                }
                () = side.news().notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Takes in the whole messages that have arrived.
    async fn hear(&mut self, side: &mut impl Side) -> Result<(), End> {
        let mut at = 0;
        loop {
            let decoded = PairMessage::decode(&self.input[at..]);
            let decoded = decoded.map_err(|error| End::Because(error.to_string()))?;
            let Some((message, size)) = decoded else {
                break;
            };
            match message {
                PairMessage::Heartbeat => {}
                PairMessage::Refuse { why } => {
                    tracing::warn!("PAIR: the other side says: {why}");
                    return Ok(());
                }
                message => side.hear(message, &mut self.output).await?,
            }
            at += size;
        }
        self.input.drain(..at);
        self.input.reserve(READ);
        Ok(())
    }
}

/// Writes some of it, or flushes if there is nothing to write.
async fn push(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<usize> {
    match bytes.is_empty() {
        true => writer.flush().await.map(|()| 0),
        false => writer.write(bytes).await,
    }
}

/// Turns the journal's wake-ups into notifications.
#[derive(Default)]
struct Told(Notify);

/// Has the link that counts look again.
#[derive(Default)]
pub(crate) struct LinkNews(Mutex<Arc<Told>>);

impl LinkNews {
    /// From now on a new link counts. The one before it looks, and ends.
    fn begin(&self) -> Arc<Told> {
        let told = Arc::new(Told::default());
        std::mem::replace(&mut *self.0.lock(), Arc::clone(&told)).wake();
        told
    }

    pub(crate) fn tell(&self) {
        let told = Arc::clone(&self.0.lock());
        told.wake();
    }
}

impl Waiter for Told {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
