//! Numbered messages through a cluster: published until acknowledged, consumed, finished and counted.
//!
//! The few words of the NSQ protocol that this takes are written out here: a demonstration is to show what any client
//! sees, and shares no code with the servers.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub const TOPIC: &str = "demo";
pub const CHANNEL: &str = "numbers";
/// An OK, or a connection, takes no longer than this, or another node is tried.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nothing is heard of an idle node for this long: nsqd says something every 30 s.
const IDLE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(20);
/// Between two messages of one publisher.
const PAUSE: Duration = Duration::from_millis(2);
const READY: &[u8] = b"RDY 100\n";
/// The largest frame of a demonstration.
const FRAME_MAX: usize = 1 << 20;

/// What is counted.
#[derive(Debug, Default)]
pub struct Counts {
    next: AtomicU64,
    /// Milliseconds of the longest wait for an OK since it was last taken.
    longest: AtomicU64,
    repeated: AtomicU64,
    duplicates: AtomicU64,
    acknowledged: Mutex<HashSet<u64>>,
    delivered: Mutex<HashSet<u64>>,
}

/// What is shown of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    pub acknowledged: usize,
    pub delivered: usize,
    pub duplicates: u64,
    /// Publishes that had to be repeated.
    pub repeated: u64,
    /// Acknowledged and not delivered yet; at the end, lost.
    pub missing: usize,
    pub longest_ms: u64,
}

impl Counts {
    /// Everything as it is now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let lock = |set: &Mutex<HashSet<u64>>| {
            let set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.clone()
        };
        let acknowledged = lock(&self.acknowledged);
        let delivered = lock(&self.delivered);
        Shown {
            missing: acknowledged.difference(&delivered).count(),
            acknowledged: acknowledged.len(),
            delivered: delivered.len(),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            repeated: self.repeated.load(Ordering::Relaxed),
            longest_ms: self.longest.load(Ordering::Relaxed),
        }
    }

    /// Forgets the longest wait so far.
    pub fn forget_longest(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }

    fn take_note(set: &Mutex<HashSet<u64>>, number: u64) -> bool {
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(number)
    }
}

/// Publishers and consumers at work.
pub struct Traffic {
    pub counts: Arc<Counts>,
    publishing: Arc<AtomicBool>,
    consuming: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Begins, with a consumer at each of these nodes.
    #[must_use]
    pub fn begin(nodes: &[SocketAddr], publishers: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let publishing = Arc::new(AtomicBool::new(true));
        let consuming = Arc::new(AtomicBool::new(true));
        let mut threads = Vec::new();
        for node in nodes {
            let (node, counts, going) = (*node, counts.clone(), consuming.clone());
            threads.push(thread::spawn(move || consume(node, &counts, &going)));
        }
        for publisher in 0..publishers {
            let (nodes, counts, going) = (nodes.to_vec(), counts.clone(), publishing.clone());
            threads.push(thread::spawn(move || {
                publish(publisher, &nodes, &counts, &going);
            }));
        }
        Self {
            counts,
            publishing,
            consuming,
            threads,
        }
    }

    /// Nothing more is published; consumers go on.
    pub fn end_publishing(&self) {
        self.publishing.store(false, Ordering::Relaxed);
    }

    /// Nothing goes on.
    pub fn end(self) -> Shown {
        self.end_publishing();
        self.consuming.store(false, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join(); // a panic shows as missing messages
        }
        self.counts.shown()
    }
}

/// As publishers behind a load balancer do: a message that is not acknowledged is sent to the next node.
fn publish(publisher: usize, nodes: &[SocketAddr], counts: &Counts, going: &AtomicBool) {
    let (mut at, mut connection) = (publisher, None);
    while going.load(Ordering::Relaxed) {
        let number = counts.next.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        while publish_one(&mut connection, nodes[at % nodes.len()], number).is_err() {
            connection = None;
            at += 1;
            counts.repeated.fetch_add(1, Ordering::Relaxed);
            thread::sleep(AGAIN);
            if !going.load(Ordering::Relaxed) {
                return; // not acknowledged, so not promised either
            }
        }
        Counts::take_note(&counts.acknowledged, number);
        let waited = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        counts.longest.fetch_max(waited, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
}

fn publish_one(
    connection: &mut Option<TcpStream>,
    node: SocketAddr,
    number: u64,
) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(connect(node, PATIENCE)?),
    };
    let body = number.to_string();
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut command = format!("PUB {TOPIC}\n").into_bytes();
    command.extend(length.to_be_bytes());
    command.extend(body.as_bytes());
    stream.write_all(&command)?;
    loop {
        let frame = read_frame(stream)?;
        match (frame.kind, frame.data.as_slice()) {
            (0, b"OK") => return Ok(()),
            (0, _) => stream.write_all(b"NOP\n")?, // a heartbeat
            _ => return Err(io::Error::other("refused")),
        }
    }
}

/// Keeps a connection to one node, anew whenever it is lost.
fn consume(node: SocketAddr, counts: &Counts, going: &AtomicBool) {
    while going.load(Ordering::Relaxed) {
        let _ = consume_from(node, counts, going);
        thread::sleep(AGAIN);
    }
}

fn consume_from(node: SocketAddr, counts: &Counts, going: &AtomicBool) -> io::Result<()> {
    let mut stream = connect(node, IDLE)?;
    stream.write_all(format!("SUB {TOPIC} {CHANNEL}\n").as_bytes())?;
    stream.write_all(READY)?;
    while going.load(Ordering::Relaxed) {
        let mut first = [0; 1];
        match stream.peek(&mut first) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        }
        let frame = read_frame(&mut stream)?;
        match frame.kind {
            2 => finish(&mut stream, &frame.data, counts)?,
            1 => return Err(io::Error::other("refused")),
            _ if frame.data == b"_heartbeat_" => stream.write_all(b"NOP\n")?,
            _ => {}
        }
    }
    Ok(())
}

/// A message: timestamp (8 bytes), attempts (2), id (16), body.
fn finish(stream: &mut TcpStream, message: &[u8], counts: &Counts) -> io::Result<()> {
    let malformed = || io::Error::other("not a message");
    let id = message.get(10..26).ok_or_else(malformed)?;
    let body = std::str::from_utf8(&message[26..]).map_err(io::Error::other)?;
    let number = body.parse().map_err(io::Error::other)?;
    stream.write_all(&[b"FIN ", id, b"\n"].concat())?;
    if !Counts::take_note(&counts.delivered, number) {
        counts.duplicates.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn connect(node: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&node, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"  V2")?;
    Ok(stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Kinds: 0 a response, 1 an error, 2 a message.
struct Frame {
    kind: u32,
    data: Vec<u8>,
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut word = [0; 4];
    stream.read_exact(&mut word)?;
    let size = usize::try_from(u32::from_be_bytes(word)).map_err(io::Error::other)?;
    stream.read_exact(&mut word)?;
    let kind = u32::from_be_bytes(word);
    let length = size.checked_sub(4).filter(|length| *length <= FRAME_MAX);
    let mut data = vec![0; length.ok_or_else(|| io::Error::other("not a frame"))?];
    stream.read_exact(&mut data)?;
    Ok(Frame { kind, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_and_not_delivered_is_missing() {
        let counts = Counts::default();
        for number in 0..5 {
            Counts::take_note(&counts.acknowledged, number);
        }
        for number in [0, 1, 1, 9] {
            if !Counts::take_note(&counts.delivered, number) {
                counts.duplicates.fetch_add(1, Ordering::Relaxed);
            }
        }
        let shown = counts.shown();
        assert_eq!((shown.missing, shown.duplicates), (3, 1));
        assert_eq!((shown.acknowledged, shown.delivered), (5, 3));
    }
}
