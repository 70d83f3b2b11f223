//! A connection: one poll function which reads, decodes, applies, delivers, releases answers and
//! writes, until nothing moves. Everything it does to topics happens in between, under their
//! locks; nothing calls back into it, others only wake it.

mod arrival;
mod attention;
mod auth;
mod buffers;
mod commands;
mod heartbeat;
mod outbox;
mod own_sync;
mod pair;
mod subscription;
mod transport;
mod upgrade;
mod written;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nsq_daemon::stream::Socket;
use nsq_protocol::{Decoder, MAGIC_V2, PairRole, ProtocolError, State};
use tokio::time::Sleep;

use crate::client::{Client, Waits};
use crate::keep::NotKept;
use crate::nsqd::Nsqd;
use arrival::Arrival;
use attention::{Attention, LINGER};
use auth::Auth;
use buffers::{Inbox, SCRATCH};
use commands::PublishRun;
use outbox::Outbox;
use own_sync::OwnSync;
use subscription::Subscription;
use transport::Transport;
use upgrade::Upgrade;

pub(crate) use attention::LastServed;
pub use transport::TlsSession;

/// Rounds before other connections get their turn.
const ROUNDS: usize = 8;
/// While there are none: a turn wakes another thread to look for work.
const ROUNDS_ALONE: usize = 64;
/// Delivery pauses while more than this waits to be sent, so that a stuck consumer does not
/// hoard messages.
const OUTBOX_BYTES: usize = 64 * 1024;
/// Reading pauses while more answers than this wait for the journal.
const PENDING_ANSWERS: usize = 64 * 1024;

pub struct Connection<S> {
    nsqd: Arc<Nsqd>,
    client: Arc<Client>,
    stream: Transport<S>,
    /// Agreed in IDENTIFY, and not done yet.
    upgrade: Option<Box<Upgrade>>,
    inbox: Inbox,
    outbox: Outbox,
    decoder: Decoder,
    magic_seen: bool,
    state: State,
    subscription: Option<Subscription>,
    run: PublishRun,
    /// `None`: nobody has to authenticate.
    auth: Option<Box<Auth>>,
    /// What waits for the own disk when an answer waits for the peer as well.
    own_sync: Option<Arc<OwnSync>>,
    /// Ids to be finished.
    finished: Vec<u64>,
    spec: subscription::Spec,
    heartbeat: i64,
    next_heartbeat: i64,
    last_input: i64,
    arrival: Arrival,
    attention: Attention,
    /// Another connection was served since this one was the last time.
    among_others: bool,
    /// What was staged is to be written in the next round.
    write_due: bool,
    last_output: i64,
    timer: Pin<Box<Sleep>>,
    /// Another consumer was woken for what this one left: it gets its turn first.
    gives_way: bool,
    /// IDENTIFY agreed that it may become a link of the pair.
    may_link: bool,
    /// It is to become one, as this end; and what was read behind that.
    link: Option<PairRole>,
    link_read: Vec<u8>,
    /// No more input: what is pending is answered, then the connection ends.
    closing: bool,
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Idle,
    Moved,
    /// Others first, then what was staged is written.
    WriteDue,
    Closed,
}

/// Serves a client until either side ends it.
pub async fn serve<S>(nsqd: Arc<Nsqd>, stream: S, remote_address: String)
where
    S: Socket,
{
    let client = nsqd.new_client(remote_address);
    if nsqd.is_exiting() {
        client.hang_up(); // it may have come too late to be told with the others
    }
    tracing::info!("TCP: new client({})", client.remote_address);
    let mut connection = Connection::new(nsqd, stream, client);
    poll_fn(|cx| connection.poll(cx)).await;
    if let Some(role) = connection.link.filter(|_| !connection.client.is_hung_up()) {
        let read = std::mem::take(&mut connection.link_read);
        let (nsqd, client) = (Arc::clone(&connection.nsqd), Arc::clone(&connection.client));
        // Of few connections, and large: the others do not carry it.
        Box::pin(crate::pair::serve(
            nsqd,
            &mut connection.stream,
            read,
            role,
            client,
        ))
        .await;
    }
    poll_fn(|cx| {
        connection.stream.close(cx);
        Poll::Ready(())
    })
    .await;
    connection.end();
}

impl<S: Socket> Connection<S> {
    fn new(nsqd: Arc<Nsqd>, stream: S, client: Arc<Client>) -> Self {
        let now = nsqd.clock.now();
        let heartbeat = nsqd.options.client_timeout().as_nanos() as i64 / 2;
        Self {
            decoder: Decoder::new(nsqd.options.limits()),
            spec: subscription::Spec::new(nsqd.options.msg_timeout.as_nanos() as i64),
            client,
            stream: Transport::new(stream),
            upgrade: None,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            magic_seen: false,
            state: State::Init,
            subscription: None,
            run: PublishRun::default(),
            auth: (!nsqd.options.auth_http_addresses.is_empty()).then(Box::default),
            own_sync: None,
            finished: Vec::new(),
            heartbeat,
            next_heartbeat: now + heartbeat,
            last_input: now,
            arrival: Arrival::new(now),
            attention: Attention::default(),
            among_others: false,
            write_due: false,
            last_output: now,
            timer: Box::pin(tokio::time::sleep(Duration::from_nanos(heartbeat as u64))),
            gives_way: false,
            may_link: false,
            link: None,
            link_read: Vec::new(),
            closing: false,
            nsqd,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.listen(cx.waker());
        self.among_others = !self.nsqd.last_served.is_still(self.client.id);
        if self.among_others {
            self.attention.disturbed();
        }
        SCRATCH.with_borrow_mut(|scratch| {
            self.outbox.borrow_buffer(&mut scratch.output);
            let result = self.rounds(cx, &mut scratch.input);
            self.client.note_waits(Waits {
                output_bytes: self.outbox.bytes(),
                answers: self.outbox.pending(),
                input_bytes: self.inbox.kept(),
            });
            self.outbox.return_buffer(&mut scratch.output);
            result
        })
    }

    fn rounds(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Poll<()> {
        let rounds = match self.attention.is_full() {
            true => ROUNDS_ALONE,
            false => ROUNDS,
        };
        for _ in 0..rounds {
            if self.client.is_hung_up() {
                return Poll::Ready(());
            }
            match self.round(cx, scratch) {
                Round::Closed => return Poll::Ready(()),
                Round::Moved if std::mem::take(&mut self.gives_way) => break,
                Round::Moved => {}
                Round::WriteDue => {
                    // Whoever polls it wakes it again when all others that are ready were polled.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                Round::Idle => {
                    ready!(self.timer.as_mut().poll(cx));
                    if !self.time_passed() {
                        return Poll::Ready(());
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn round(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Round {
        let woken = self.client.take_woken();
        if std::mem::take(&mut self.write_due) {
            self.write_staged();
        }
        let mut moved = self.go_on_asking(cx, scratch);
        if self.wants_input() {
            let lingers = self.lingers();
            match self.inbox.fill(&mut self.stream, cx, scratch) {
                Poll::Pending if lingers => self.attention.in_vain(),
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => self.input_ended(),
                Poll::Ready(Ok(_)) => {
                    moved = true;
                    self.note_input(lingers);
                    self.take_input(scratch);
                }
                Poll::Ready(Err(_)) => return Round::Closed,
            }
            self.stream.linger(Duration::ZERO);
        }
        match self.release_answers(woken) {
            Ok(()) => {}
            // Nothing may be acknowledged any more.
            Err(NotKept::Journal(_)) => return Round::Closed,
            Err(NotKept::Peer(_)) => {
                self.outbox.forget_answers();
                self.peer_lost("PUB");
            }
        }
        moved |= self.deliver(woken);
        match self.outbox.send(&mut self.stream, cx) {
            Ok(0) => {}
            Ok(_) => {
                moved = true;
                self.last_output = self.nsqd.clock.now();
            }
            Err(_) => return Round::Closed,
        }
        match self.go_on_upgrading(cx) {
            Ok(done) => moved |= done,
            Err(error) => {
                let client = &self.client.remote_address;
                tracing::info!("client({client}): no TLS handshake - {error}");
                return Round::Closed;
            }
        }
        match moved {
            _ if self.closing && self.outbox.is_empty() => Round::Closed,
            _ if self.link.is_some() && self.outbox.is_empty() => Round::Closed,
            _ if self.write_due => Round::WriteDue,
            true => Round::Moved,
            false => Round::Idle,
        }
    }

    /// Whether the next read may look for input for a moment: everything else is done.
    fn lingers(&mut self) -> bool {
        let done = self.outbox.is_empty() && self.inbox.kept() == 0 && self.subscription.is_none();
        let lingers = done && self.attention.is_full();
        if lingers {
            self.stream.linger(LINGER);
        }
        lingers
    }

    fn note_input(&mut self, lingered: bool) {
        let now = self.nsqd.clock.now();
        self.attention.input(now - self.last_input);
        if lingered {
            self.attention.rewarded();
        }
        self.last_input = now;
    }

    fn release_answers(&mut self, woken: bool) -> Result<(), NotKept> {
        self.outbox.release(&self.nsqd)?;
        if let Some(at) = self.outbox.unwritten().filter(|_| woken)
            && self.write_or_wait(at)
        {
            self.outbox.release(&self.nsqd)?;
        }
        Ok(())
    }

    fn wants_input(&mut self) -> bool {
        let room =
            self.outbox.pending() < PENDING_ANSWERS && self.outbox.bytes() < 16 * OUTBOX_BYTES;
        let publisher = self.subscription.is_none() && self.run.published;
        !self.closing
            && self.link.is_none()
            && self.upgrade.is_none()
            && !self.auth.as_ref().is_some_and(|auth| auth.is_asking())
            && room
            && !(publisher && self.nsqd.pager.stalls(&self.client))
            && self.has_room_for_command()
    }

    /// The client sends no more: what it published is answered, what it consumed goes back.
    fn input_ended(&mut self) {
        self.closing = true;
        self.unsubscribe();
    }

    /// Decodes and applies what was read.
    fn take_input(&mut self, scratch: &mut Vec<u8>) {
        let (buffer, filled) = self.inbox.take(scratch);
        let input = &buffer[..filled];
        let mut at = 0;
        if !self.magic_seen {
            match input.first_chunk::<4>() {
                None => return self.inbox.keep(scratch, buffer, 0, 4),
                Some(MAGIC_V2) => at = 4,
                Some(_) => {
                    self.fail(ProtocolError::fatal("E_BAD_PROTOCOL", ""));
                    return self.inbox.keep(scratch, buffer, usize::MAX, 0);
                }
            }
            self.magic_seen = true;
        }
        let needed = self.apply_all(input, &mut at);
        self.finish_publishes(input);
        if at > 0 {
            self.command_arrived();
        }
        self.inbox.keep(scratch, buffer, at, needed);
        self.watch_arrival();
    }

    /// Answers with an error; a fatal one ends the connection once it is sent.
    fn fail(&mut self, error: ProtocolError) {
        let level = if error.fatal { "closing" } else { "going on" };
        tracing::debug!("client({}): {error}, {level}", self.client.remote_address);
        self.outbox.error(&error);
        if error.fatal {
            self.closing = true;
            self.unsubscribe();
        }
    }

    fn end(&mut self) {
        self.write_staged();
        self.unsubscribe();
        self.command_arrived();
        tracing::info!(
            "PROTOCOL(V2): [{}] exiting ioloop",
            self.client.remote_address
        );
        self.nsqd.client_gone(&self.client);
    }
}
