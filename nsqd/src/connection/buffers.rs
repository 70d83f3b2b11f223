//! Where input is read to. An idle connection owns no buffer: it borrows the thread's, and keeps
//! only an incomplete command.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// One read takes at most this much.
const SCRATCH_BYTES: usize = 256 * 1024;

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers of this thread, lent to the connection that is polled.
#[derive(Default)]
pub(super) struct Scratch {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
}

/// The incomplete command of a connection.
#[derive(Default)]
pub(super) struct Inbox {
    kept: Vec<u8>,
    /// How long the kept command is known to become.
    needed: usize,
    /// The read went into `kept` itself.
    own: bool,
    filled: usize,
}

impl Inbox {
    /// Bytes that the incomplete command will have; 0 without one.
    pub(super) fn needed(&self) -> usize {
        match self.kept.is_empty() {
            true => 0,
            false => self.needed.max(self.kept.len()),
        }
    }

    /// Bytes of it that are there.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Reads once. `Ok(0)` is the end of the stream.
    pub(super) fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        scratch: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0); // the first time on this thread only
        }
        self.own = self.needed > SCRATCH_BYTES / 2;
        let have = self.kept.len();
        let buffer = match self.own {
            // A large command is read into its own buffer, not copied at each read.
            true => {
                self.kept.resize(self.needed.max(have + 1), 0);
                &mut self.kept[have..]
            }
            false => {
                scratch[..have].copy_from_slice(&self.kept);
                &mut scratch[have..]
            }
        };
        let mut buffer = ReadBuf::new(buffer);
        let polled = Pin::new(stream).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        if self.own {
            self.kept.truncate(have + read);
        }
        self.filled = have + read;
        ready!(polled)?;
        Poll::Ready(Ok(read))
    }

    /// As [`Inbox::fill`], with what was kept and nothing new. False if there is nothing.
    pub(super) fn again(&mut self, scratch: &mut Vec<u8>) -> bool {
        let have = self.kept.len();
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0);
        }
        self.own = have > SCRATCH_BYTES / 2;
        if !self.own {
            scratch[..have].copy_from_slice(&self.kept);
        }
        self.filled = have;
        have > 0
    }

    /// All input that is there, and how long it is; give it back with [`Inbox::keep`].
    pub(super) fn take(&mut self, scratch: &mut Vec<u8>) -> (Vec<u8>, usize) {
        match self.own {
            true => (std::mem::take(&mut self.kept), self.filled),
            false => (std::mem::take(scratch), self.filled),
        }
    }

    /// Keeps what lies behind `used` until more comes; `needed`: how long it will be at least.
    pub(super) fn keep(
        &mut self,
        scratch: &mut Vec<u8>,
        input: Vec<u8>,
        used: usize,
        needed: usize,
    ) {
        let used = used.min(self.filled);
        self.needed = needed;
        if self.own && used == 0 {
            self.kept = input;
            return;
        }
        self.kept = match used == self.filled {
            true => Vec::new(),
            false => input[used..self.filled].to_vec(),
        };
        if !self.own {
            *scratch = input;
        }
    }
}
