//! One conversation with a server, over TCP, and what was said in it.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// An answer that has not come after this does not come: only wrong expectations wait so long.
const SILENCE: Duration = Duration::from_secs(5);
/// Answers of interest are far shorter.
const ANSWER_BYTES: u64 = 1 << 20;

/// What a script does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes at once.
    Say(Vec<u8>),
    /// Waits until so many frames have come in all.
    Frames(usize),
    /// Sends a line in which `$1` is the id of the first message that came, `$2` of the second.
    Line(String),
}

/// How frames look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Length, type, data.
    Nsqd,
    /// Length, data.
    Lookupd,
    /// Everything until the end is one.
    None,
}

/// The frames that came, as text; ends with how the connection ended.
///
/// # Errors
/// When the server cannot be reached.
pub fn talk(address: SocketAddr, framing: Framing, steps: &[Step]) -> io::Result<Vec<String>> {
    talk_after(address, framing, b"", || (), steps)
}

/// [`talk`], after something was said and something else was done.
///
/// # Errors
/// When the server cannot be reached.
pub fn talk_after(
    address: SocketAddr,
    framing: Framing,
    first: &[u8],
    meanwhile: impl FnOnce(),
    steps: &[Step],
) -> io::Result<Vec<String>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut talk = Talk {
        stream,
        framing,
        heard: Vec::new(),
        frames: Vec::new(),
        ids: Vec::new(),
    };
    // An error here is one of the next as well.
    let _ = talk.stream.write_all(first);
    meanwhile();
    for step in steps {
        // The server may have hung up by now: the rest of the script is then said to nobody.
        let done = match step {
            Step::Say(bytes) => talk.stream.write_all(bytes),
            Step::Line(line) => {
                let line = talk.with_ids(line);
                talk.stream.write_all(line.as_bytes())
            }
            Step::Frames(count) => talk.listen(*count),
        };
        if done.is_err() {
            break;
        }
    }
    // What was said is answered before the end of our half is noticed.
    let _ = talk.stream.shutdown(Shutdown::Write);
    let end = match talk.listen(usize::MAX) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => "stays open",
        Err(error) if error.kind() == io::ErrorKind::TimedOut => "stays open",
        _ => "ends",
    };
    if !talk.heard.is_empty() {
        let rest = shown(&talk.heard);
        talk.frames.push(rest);
    }
    talk.frames.push(end.to_owned());
    Ok(talk.frames)
}

struct Talk {
    stream: TcpStream,
    framing: Framing,
    heard: Vec<u8>,
    frames: Vec<String>,
    ids: Vec<String>,
}

impl Talk {
    fn with_ids(&self, line: &str) -> String {
        let numbered = self.ids.iter().enumerate();
        numbered.fold(line.to_owned(), |line, (at, id)| {
            line.replace(&format!("${}", at + 1), id)
        })
    }

    /// Reads until so many frames have come.
    fn listen(&mut self, count: usize) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        while self.frames.len() < count {
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.heard.extend_from_slice(&buffer[..read]),
            }
            while self.take_frame() {}
        }
        Ok(())
    }

    fn take_frame(&mut self) -> bool {
        let Some(size) = self
            .heard
            .first_chunk::<4>()
            .filter(|_| self.framing != Framing::None)
        else {
            return false;
        };
        let end = 4 + u32::from_be_bytes(*size) as usize;
        let Some(frame) = self.heard.get(4..end).map(<[u8]>::to_vec) else {
            return false;
        };
        self.heard.drain(..end);
        let text = match self.framing {
            Framing::Nsqd => self.nsqd_frame(&frame),
            _ => Some(shown(&frame)),
        };
        self.frames.extend(text);
        true
    }

    /// Without what differs by its nature: times and ids. Heartbeats are answered.
    fn nsqd_frame(&mut self, frame: &[u8]) -> Option<String> {
        match frame.split_at_checked(4)? {
            ([0, 0, 0, 0], b"_heartbeat_") => {
                // A server that is gone wants no answer.
                let _ = self.stream.write_all(b"NOP\n");
                None
            }
            ([0, 0, 0, 0], data) => Some(format!("response {}", shown(data))),
            ([0, 0, 0, 1], data) => Some(format!("error {}", self.without_ids(&shown(data)))),
            ([0, 0, 0, 2], data) if data.len() >= 26 => {
                let attempts = u16::from_be_bytes([data[8], data[9]]);
                self.ids.push(shown(&data[10..26]));
                Some(format!("message {attempts} {}", shown(&data[26..])))
            }
            (kind, data) => Some(format!("frame {kind:?} {}", shown(data))),
        }
    }

    fn without_ids(&self, text: &str) -> String {
        self.ids
            .iter()
            .fold(text.to_owned(), |text, id| text.replace(id, "ID"))
    }
}

/// Bytes as text that can be compared and read.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text
}

/// One HTTP request: status line, the headers that mean something, body.
///
/// # Errors
/// When the server cannot be reached.
pub fn request(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: nsq\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A server may refuse a large body without reading it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let read = Read::by_ref(&mut stream)
        .take(ANSWER_BYTES)
        .read_to_end(&mut answer);
    if read.is_err() && answer.is_empty() {
        return Ok("no answer".to_owned());
    }
    let text = shown(&answer).replace("\\x0d\\x0a", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    let status: Vec<&str> = status.split(' ').skip(1).take(1).collect();
    let telling = ["content-type", "x-nsq-content-type", "allow", "location"];
    let headers = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let name = name.to_ascii_lowercase();
        telling
            .contains(&name.as_str())
            .then(|| format!("{name}: {value}"))
    });
    let mut headers: Vec<String> = headers.collect();
    headers.sort();
    Ok(format!(
        "{} [{}] {body}",
        status.concat(),
        headers.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_conversation_is_heard_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let message = b"\0\0\0\x20\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x03000000000000000axy";
            stream.write_all(message).unwrap();
            let mut said = Vec::new();
            let mut byte = [0];
            while !said.ends_with(b"\n") {
                stream.read_exact(&mut byte).unwrap();
                said.push(byte[0]);
            }
            stream
                .write_all(b"\0\0\0\x17\0\0\0\x01no 000000000000000a")
                .unwrap();
            said
        });
        let steps = [Step::Frames(1), Step::Line("FIN $1\n".to_owned())];
        let heard = talk(address, Framing::Nsqd, &steps).unwrap();
        assert_eq!(heard, ["message 3 xy", "error no ID", "ends"]);
        assert_eq!(server.join().unwrap(), b"FIN 000000000000000a\n");
    }
}
