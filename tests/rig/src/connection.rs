//! A blocking connection of a client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Room for input; a frame larger than this is an error, our own messages are far smaller.
const INPUT_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What an unmodified client sends that leaves every setting to the server.
const IDENTIFY: &[u8] =
    br#"{"client_id":"rig","hostname":"rig","user_agent":"nsq-rig/1","feature_negotiation":true}"#;

/// What a server sends. Heartbeats are answered and not shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Response(&'a [u8]),
    Error(&'a [u8]),
    Message {
        attempts: u16,
        id: &'a [u8; 16],
        body: &'a [u8],
    },
}

pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    from: usize,
    to: usize,
}

impl Connection {
    /// Connects and identifies, with every setting at its default.
    ///
    /// # Errors
    /// The socket's, or the server's answer if it is not what a server answers.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_as(address, IDENTIFY)
    }

    /// As [`Connection::open`], with settings in JSON.
    ///
    /// # Errors
    /// As of [`Connection::open`].
    pub fn open_as(address: SocketAddr, identify: &[u8]) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        Self::identified(stream, identify)
    }

    /// As [`Connection::open`], bounded: connecting, and each answer.
    ///
    /// # Errors
    /// As of [`Connection::open`].
    pub fn open_within(
        address: SocketAddr,
        connecting: Duration,
        answer: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, connecting)?;
        stream.set_read_timeout(Some(answer))?;
        stream.set_write_timeout(Some(answer))?;
        Self::identified(stream, IDENTIFY)
    }

    fn identified(stream: TcpStream, identify: &[u8]) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            input: vec![0; INPUT_BYTES],
            from: 0,
            to: 0,
        };
        let mut hello = b"  V2IDENTIFY\n".to_vec();
        hello.extend_from_slice(&(identify.len() as u32).to_be_bytes());
        hello.extend_from_slice(identify);
        connection.send(&hello)?;
        connection.expect(|answer| answer.starts_with(b"{"))?;
        Ok(connection)
    }

    /// Subscribes; nothing comes before [`Connection::ready`].
    ///
    /// # Errors
    /// The socket's, or the server's refusal.
    pub fn subscribe(&mut self, topic: &str, channel: &str) -> io::Result<()> {
        self.send(format!("SUB {topic} {channel}\n").as_bytes())?;
        self.ok()
    }

    /// Says how many messages may be in flight.
    ///
    /// # Errors
    /// The socket's.
    pub fn ready(&mut self, count: u32) -> io::Result<()> {
        self.send(format!("RDY {count}\n").as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A second handle, with which another thread can send or [`shut`] the connection.
    ///
    /// # Errors
    /// The socket's.
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// How long [`Connection::fill`] waits before it says [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// The socket's.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(patience)
    }

    /// Waits for input and reads once.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::UnexpectedEof`] when the server has hung up.
    pub fn fill(&mut self) -> io::Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.input.len() {
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        match self.stream.read(&mut self.input[self.to..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.to += read;
                Ok(())
            }
        }
    }

    /// The next frame of what was read, if it is complete.
    ///
    /// # Errors
    /// Bytes that are no frame; the socket's, when a heartbeat is answered.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        loop {
            let buffer = &self.input[self.from..self.to];
            let Some(&size) = buffer.first_chunk::<4>() else {
                return Ok(None);
            };
            let size = u32::from_be_bytes(size) as usize;
            if !(4..=INPUT_BYTES - 4).contains(&size) {
                return Err(broken(format!("a frame of {size} bytes")));
            }
            if buffer.len() < 4 + size {
                return Ok(None);
            }
            let at = self.from + 4;
            self.from = at + size;
            if &self.input[at..at + size] == b"\0\0\0\0_heartbeat_" {
                self.stream.write_all(b"NOP\n")?;
                continue;
            }
            return parse(&self.input[at..at + size]).map(Some);
        }
    }

    /// Waits for an OK.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::InvalidData`] for any other frame.
    pub fn ok(&mut self) -> io::Result<()> {
        self.expect(|answer| answer == b"OK")
    }

    /// The next frame, waited for, must be a response that pleases.
    fn expect(&mut self, pleases: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        loop {
            match self.next_frame()? {
                Some(Frame::Response(answer)) if pleases(answer) => return Ok(()),
                Some(other) => return Err(broken(format!("unexpected answer: {other:?}"))),
                None => {}
            }
            self.fill()?;
        }
    }

    /// Ends the connection in both directions.
    pub fn shut(&self) {
        // An error means that it has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn parse(frame: &[u8]) -> io::Result<Frame<'_>> {
    let (kind, data) = frame.split_at(4);
    match kind {
        [0, 0, 0, 0] => Ok(Frame::Response(data)),
        [0, 0, 0, 1] => Ok(Frame::Error(data)),
        [0, 0, 0, 2] => {
            let attempts = data.get(8..10).and_then(|bytes| bytes.first_chunk::<2>());
            let id = data.get(10..26).and_then(|bytes| bytes.first_chunk::<16>());
            match (attempts, id, data.get(26..)) {
                (Some(&attempts), Some(id), Some(body)) => Ok(Frame::Message {
                    attempts: u16::from_be_bytes(attempts),
                    id,
                    body,
                }),
                _ => Err(broken("a message without its header".to_owned())),
            }
        }
        kind => Err(broken(format!("a frame of type {kind:?}"))),
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Plays a server that answers IDENTIFY and then says `script` in pieces of three bytes.
    fn served(script: &'static [u8]) -> (Connection, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"\0\0\0\x06\0\0\0\0{}").unwrap();
            for piece in script.chunks(3) {
                stream.write_all(piece).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        });
        (Connection::open(address).unwrap(), server)
    }

    #[test]
    fn frames_are_put_together_and_heartbeats_answered() {
        let script = b"\0\0\0\x0f\0\0\0\0_heartbeat_\0\0\0\x06\0\0\0\0OK\0\0\0\x06\0\0\0\x01no\
            \0\0\0\x20\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x03000000000000000axy";
        let (mut connection, server) = served(script);
        let mut seen = Vec::new();
        let ended = loop {
            while let Some(frame) = connection.next_frame().unwrap() {
                seen.push(format!("{frame:?}"));
            }
            if let Err(error) = connection.fill() {
                break error;
            }
        };
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
        let message = Frame::Message {
            attempts: 3,
            id: b"000000000000000a",
            body: b"xy",
        };
        let wanted = [Frame::Response(b"OK"), Frame::Error(b"no"), message];
        let wanted: Vec<String> = wanted.iter().map(|frame| format!("{frame:?}")).collect();
        assert_eq!(seen, wanted);
        drop(connection);
        assert!(server.join().unwrap().ends_with(b"NOP\n"));
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        let (mut connection, _server) = served(b"\xff\xff\xff\xff\0\0\0\0");
        while connection.to - connection.from < 4 {
            connection.fill().unwrap();
        }
        let error = connection.next_frame().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
