//! What goes to the client. Answers to publishes wait here, in order, until the journal has kept
//! what they acknowledge; messages and heartbeats pass them by.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use nsq_journal::Lsn;
use nsq_protocol::{ProtocolError, push_error, push_response};
use tokio::io::AsyncWrite;

use crate::keep::NotKept;
use crate::live_topic::Kept;
use crate::nsqd::Nsqd;
use crate::options::Durability;
use crate::pair::PeerLost;

/// `OK` as a response frame.
const OK: &[u8; 10] = b"\0\0\0\x06\0\0\0\0OK";

/// A thread's buffer is not kept when it has grown beyond this.
const SHARED_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// All is sent, and some of it lies between here and the socket.
    flushing: bool,
    answers: VecDeque<Answer>,
    /// OKs among the answers.
    oks: usize,
    /// Other frames among them.
    frames: usize,
}

struct Answer {
    kept: Kept,
    what: What,
}

enum What {
    /// So many, the first of them since then.
    Oks(u32, i64),
    Frame(Vec<u8>),
}

impl Outbox {
    /// `count` OKs, once the messages are kept. `since`: when they were read. `apart`: on either side of this position
    /// they wait for different things.
    pub(super) fn oks(&mut self, kept: Kept, count: u32, since: i64, apart: Lsn) {
        self.oks += count as usize;
        if let Some(last) = self.answers.back_mut()
            && let What::Oks(waiting, _) = &mut last.what
            && last.kept.level == kept.level
            && last.kept.mirrored == kept.mirrored
            && (last.kept.at <= apart) == (kept.at <= apart)
        {
            *waiting += count;
            last.kept.at = last.kept.at.max(kept.at);
            return;
        }
        let what = What::Oks(count, since);
        self.answers.push_back(Answer { kept, what });
    }

    /// A response, after everything that waits.
    pub(super) fn response(&mut self, data: &[u8]) {
        let level = Durability::Memory;
        self.response_after(Kept::here(level, 0), data);
    }

    /// A response that waits for the journal itself.
    pub(super) fn response_after(&mut self, kept: Kept, data: &[u8]) {
        let mut frame = Vec::with_capacity(8 + data.len());
        push_response(&mut frame, data);
        self.frames += 1;
        let what = What::Frame(frame);
        self.answers.push_back(Answer { kept, what });
    }

    /// An error frame, after everything that waits.
    pub(super) fn error(&mut self, error: &ProtocolError) {
        let mut frame = Vec::new();
        push_error(&mut frame, error);
        let level = Durability::Memory;
        let kept = Kept::here(level, 0);
        self.frames += 1;
        let what = What::Frame(frame);
        self.answers.push_back(Answer { kept, what });
    }

    /// Where messages are encoded to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes that wait to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn pending(&self) -> usize {
        self.answers.len() + self.oks
    }

    /// A response other than OK to a publish waits: a SUB's, which no message may overtake.
    pub(super) fn holds_frames(&self) -> bool {
        self.frames > 0
    }

    pub(super) fn is_sent(&self) -> bool {
        self.bytes() == 0 && !self.flushing
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_sent() && self.answers.is_empty()
    }

    /// Lets go the answers whose time has come.
    ///
    /// # Errors
    /// The journal failed, or the peer is lost: the rest will not be acknowledged.
    pub(super) fn release(&mut self, nsqd: &Nsqd) -> Result<(), NotKept> {
        while let Some(answer) = self.answers.front() {
            let kept = match answer.kept.level {
                Durability::Memory => true,
                Durability::Write => nsqd.journal.written() >= answer.kept.at,
                Durability::Fsync => nsqd.journal.durable() >= answer.kept.at,
            };
            if !kept {
                return nsqd.journal.health().map_err(NotKept::Journal);
            }
            // R5, R6: kept here and by the peer.
            if answer.kept.mirrored && !nsqd.pair.passes(answer.kept.at) {
                return match nsqd.pair.refuses() {
                    true => Err(NotKept::Peer(PeerLost)),
                    false => Ok(()),
                };
            }
            match &answer.what {
                What::Frame(frame) => {
                    self.frames -= 1;
                    self.bytes.extend_from_slice(frame);
                }
                What::Oks(count, since) => {
                    let took = u64::try_from(nsqd.clock.now() - since).unwrap_or(0);
                    nsqd.times.publish.count(took, u64::from(*count));
                    self.oks -= *count as usize;
                    self.bytes.reserve(OK.len() * *count as usize);
                    (0..*count).for_each(|_| self.bytes.extend_from_slice(OK));
                }
            }
            self.answers.pop_front();
        }
        Ok(())
    }

    /// How far the journal must be written for the next answer at level `write`, if that is what it waits for.
    pub(super) fn unwritten(&self) -> Option<Lsn> {
        let kept = self.answers.front()?.kept;
        (kept.level == Durability::Write).then_some(kept.at)
    }

    /// Nothing that waits will be answered.
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
        (self.oks, self.frames) = (0, 0);
    }

    /// Sends what it can; 0 if nothing moved.
    pub(super) fn send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> io::Result<usize> {
        let before = self.sent;
        while self.sent < self.bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.sent..]) {
                Poll::Pending => return Ok(self.sent - before),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => self.sent += n,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        let sent = self.sent - before;
        self.bytes.clear();
        self.sent = 0;
        if sent == 0 && !self.flushing {
            return Ok(0);
        }
        let flushed = Pin::new(stream).poll_flush(cx)?.is_ready();
        let progress = sent + usize::from(self.flushing && flushed);
        self.flushing = !flushed;
        Ok(progress)
    }

    /// Takes the thread's buffer, unless something unsent is in its own.
    pub(super) fn borrow_buffer(&mut self, shared: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = std::mem::take(shared);
        }
    }

    /// Gives the thread's buffer back; what is unsent is kept in a small one.
    pub(super) fn return_buffer(&mut self, shared: &mut Vec<u8>) {
        let unsent = match self.bytes() == 0 {
            true => Vec::new(),
            false if shared.capacity() > 0 => return, // it is in its own buffer already
            false => self.bytes[self.sent..].to_vec(),
        };
        let mut lent = std::mem::replace(&mut self.bytes, unsent);
        self.sent = 0;
        lent.clear();
        if (shared.capacity()..=SHARED_BYTES).contains(&lent.capacity()) {
            *shared = lent;
        }
    }
}
