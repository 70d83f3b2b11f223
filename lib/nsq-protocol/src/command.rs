//! The decoder: bytes of a connection to commands, with NSQ's checks in NSQ's order, so that a
//! wrong byte is answered as the Go server answers it.

use crate::ProtocolError;
use crate::gate::{Gate, Limits, State};
use crate::parts::{
    Line, channel, decimal, int32, parse_delay, require, shown, sixteen, too_few, topic,
};

/// The longest command line; NSQ's reader has this much room and hangs up beyond it.
const MAX_LINE: usize = 16 * 1024;

/// One command. Bodies are `(offset, length)` in the buffer that was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    Identify(&'a [u8]),
    Auth(&'a [u8]),
    Sub {
        topic: &'a str,
        channel: &'a str,
    },
    Rdy(u32),
    Fin(&'a [u8; 16]),
    Req {
        id: &'a [u8; 16],
        delay_ms: u64,
    },
    Touch(&'a [u8; 16]),
    Cls,
    /// PAIR or RELOCATE: this connection becomes a link to another nsqd, and nsqd has this role in it.
    Link {
        verb: &'static str,
        role: &'a [u8],
    },
    Nop,
    Pub {
        topic: &'a str,
        body: (u32, u32),
    },
    Dpub {
        topic: &'a str,
        delay_ms: u64,
        body: (u32, u32),
    },
    /// The bodies are in [`Decoder::bodies`].
    Mpub {
        topic: &'a str,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A command, and how many bytes it took.
    Command(Command<'a>, usize),
    /// Nothing can be said before the buffer holds at least this many bytes.
    Incomplete(usize),
    /// A line without an end: hang up without a word, as NSQ does.
    HangUp,
}

/// Decodes from the front of a buffer that starts with a command. Keeps how far it got in an
/// MPUB that is still arriving, so that a large one is looked through once.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    bodies: Vec<(u32, u32)>,
    /// End of the last complete message of the MPUB at the front, 0 = none begun.
    mpub_at: usize,
    /// Where that MPUB says that it ends.
    mpub_end: usize,
}

type Result<T> = std::result::Result<T, ProtocolError>;

impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            bodies: Vec::new(),
            mpub_at: 0,
            mpub_end: 0,
        }
    }

    /// How long the buffer will be once the MPUB at its front is there as a whole, by its own word;
    /// 0 if it does not begin with one.
    pub fn expected(&self) -> usize {
        match self.mpub_at {
            0 => 0,
            _ => self.mpub_end,
        }
    }

    /// `(offset, length)` of the messages of the MPUB that was just decoded.
    pub fn bodies(&self) -> &[(u32, u32)] {
        &self.bodies
    }

    /// Decodes the command that `buffer` begins with. An `Err` is always fatal here.
    #[inline]
    pub fn decode<'a>(&mut self, gate: Gate, buffer: &'a [u8]) -> Result<Step<'a>> {
        // FIN is every second command of a consumer and has one form only.
        if gate.state != State::Init
            && !gate.tls_missing
            && let Some(line) = buffer.first_chunk::<21>()
            && line.starts_with(b"FIN ")
            && line[20] == b'\n'
            && line[19] != b'\r'
            && let Some(id) = buffer[4..20].first_chunk::<16>()
            && id.iter().all(|&byte| byte > b' ')
        {
            return Ok(Step::Command(Command::Fin(id), 21));
        }
        let Some(end) = buffer.iter().take(MAX_LINE).position(|&b| b == b'\n') else {
            return Ok(match buffer.len() >= MAX_LINE {
                true => Step::HangUp,
                false => Step::Incomplete(buffer.len() + 1),
            });
        };
        self.command(gate, buffer, end)
    }

    fn command<'a>(&mut self, gate: Gate, buffer: &'a [u8], end: usize) -> Result<Step<'a>> {
        let mut words = Line::new(&buffer[..end]);
        let verb = words.next().unwrap_or_default();
        let body_at = end + 1;
        if gate.tls_missing && verb != b"IDENTIFY" {
            let text = format!("cannot {} in current state (TLS required)", shown(verb));
            return Err(ProtocolError::invalid(text));
        }
        let command = match verb {
            b"FIN" => Command::Fin(message_id("FIN", gate, &mut words)?),
            b"RDY" => self.ready(gate, words)?,
            b"PUB" => return self.publish(buffer, body_at, words),
            b"MPUB" => return self.multi_publish(buffer, body_at, words),
            b"DPUB" => return self.deferred_publish(buffer, body_at, words),
            b"REQ" => self.requeue(gate, words)?,
            b"TOUCH" => Command::Touch(message_id("TOUCH", gate, &mut words)?),
            b"NOP" => Command::Nop,
            b"CLS" => {
                require(gate.state == State::Subscribed, "CLS")?;
                Command::Cls
            }
            b"SUB" => subscribe(gate, words)?,
            b"PAIR" => link("PAIR", gate, words)?,
            b"RELOCATE" => link("RELOCATE", gate, words)?,
            b"IDENTIFY" => {
                require(gate.state == State::Init, "IDENTIFY")?;
                return self.with_body("IDENTIFY", buffer, body_at, Command::Identify);
            }
            b"AUTH" => {
                require(gate.state == State::Init, "AUTH")?;
                if words.next().is_some() {
                    return Err(ProtocolError::invalid("AUTH invalid number of parameters"));
                }
                return self.with_body("AUTH", buffer, body_at, Command::Auth);
            }
            _ => {
                let text = format!("invalid command {}", shown(verb));
                return Err(ProtocolError::invalid(text));
            }
        };
        Ok(Step::Command(command, body_at))
    }

    fn ready<'a>(&self, gate: Gate, mut words: Line<'a>) -> Result<Command<'a>> {
        if gate.state == State::Closing {
            return Ok(Command::Nop); // after CLS a RDY is ignored
        }
        require(gate.state == State::Subscribed, "RDY")?;
        let Some(text) = words.next() else {
            return Ok(Command::Rdy(1));
        };
        let count = decimal(text).ok_or_else(|| {
            ProtocolError::invalid(format!("RDY could not parse count {}", shown(text)))
        })?;
        let max = self.limits.max_rdy_count;
        match u32::try_from(count) {
            Ok(small) if count <= max => Ok(Command::Rdy(small)),
            _ => Err(ProtocolError::invalid(format!(
                "RDY count {count} out of range 0-{max}"
            ))),
        }
    }

    fn requeue<'a>(&self, gate: Gate, mut words: Line<'a>) -> Result<Command<'a>> {
        require(gate.state != State::Init, "REQ")?;
        let (Some(id), Some(delay)) = (words.next(), words.next()) else {
            return Err(too_few("REQ", "params"));
        };
        let id = sixteen(id)?;
        let delay_ms = parse_delay("REQ", delay)?;
        Ok(Command::Req {
            id,
            delay_ms: delay_ms.min(self.limits.max_req_timeout_ms),
        })
    }

    fn publish<'a>(&self, buffer: &'a [u8], at: usize, mut words: Line<'a>) -> Result<Step<'a>> {
        let name = words.next().ok_or_else(|| too_few("PUB", "parameters"))?;
        let topic = topic("PUB", name)?;
        self.message("PUB", buffer, at, |body| Command::Pub { topic, body })
    }

    fn deferred_publish<'a>(
        &self,
        buffer: &'a [u8],
        at: usize,
        mut words: Line<'a>,
    ) -> Result<Step<'a>> {
        let (Some(name), Some(delay)) = (words.next(), words.next()) else {
            return Err(too_few("DPUB", "parameters"));
        };
        let topic = topic("DPUB", name)?;
        let delay_ms = parse_delay("DPUB", delay)?;
        let max = self.limits.max_defer_timeout_ms;
        if delay_ms > max {
            return Err(ProtocolError::invalid(format!(
                "DPUB timeout {delay_ms} out of range 0-{max}"
            )));
        }
        self.message("DPUB", buffer, at, |body| Command::Dpub {
            topic,
            delay_ms,
            body,
        })
    }

    /// The size and body of one message, whose checks PUB and DPUB share.
    fn message<'a>(
        &self,
        verb: &str,
        buffer: &'a [u8],
        at: usize,
        command: impl FnOnce((u32, u32)) -> Command<'a>,
    ) -> Result<Step<'a>> {
        let Some(size) = int32(buffer, at) else {
            return Ok(Step::Incomplete(at + 4));
        };
        let refused = |text| Err(ProtocolError::fatal("E_BAD_MESSAGE", text));
        if size <= 0 {
            return refused(format!("{verb} invalid message body size {size}"));
        }
        let max = self.limits.max_msg_size;
        if i64::from(size) > max {
            return refused(format!("{verb} message too big {size} > {max}"));
        }
        let (body, end) = (at + 4, at + 4 + size as usize);
        if buffer.len() < end {
            return Ok(Step::Incomplete(end));
        }
        Ok(Step::Command(command((body as u32, size as u32)), end))
    }

    /// NSQ reads the messages from the stream and believes their sizes, not the body's: bytes
    /// that a body has too many are the next command. What all messages take together is
    /// bounded by `max-body-size` here, where NSQ would go on reading.
    fn multi_publish<'a>(
        &mut self,
        buffer: &'a [u8],
        at: usize,
        mut words: Line<'a>,
    ) -> Result<Step<'a>> {
        let name = words.next().ok_or_else(|| too_few("MPUB", "parameters"))?;
        // NSQ says the code twice here, and clients may have learned it so.
        let topic = topic("E_BAD_TOPIC MPUB", name)?;
        let Some(body) = self.body_size("MPUB", buffer, at)? else {
            return Ok(Step::Incomplete(at + 4));
        };
        let Some(count) = int32(buffer, at + 4) else {
            return Ok(Step::Incomplete(at + 8));
        };
        let most = (self.limits.max_body_size - 4) / 5;
        if count <= 0 || i64::from(count) > most {
            let text = format!("MPUB invalid message count {count}");
            return Err(ProtocolError::fatal("E_BAD_BODY", text));
        }
        if self.mpub_at == 0 {
            self.bodies.clear();
            self.mpub_at = at + 8;
            self.mpub_end = at + 4 + body;
        }
        let bound = at + 4 + (self.limits.max_body_size as usize).max(body);
        while self.bodies.len() < count as usize {
            if let Some(needed) = self.multi_message(buffer, bound)? {
                return Ok(Step::Incomplete(needed));
            }
        }
        let end = std::mem::take(&mut self.mpub_at);
        Ok(Step::Command(Command::Mpub { topic }, end))
    }

    /// Takes one more message of an MPUB, or says how many bytes the buffer must hold for it.
    fn multi_message(&mut self, buffer: &[u8], bound: usize) -> Result<Option<usize>> {
        let at = self.mpub_at;
        let Some(size) = int32(buffer, at) else {
            return Ok(Some(at + 4));
        };
        let refused = |text| Err(ProtocolError::fatal("E_BAD_MESSAGE", text));
        if size <= 0 {
            let index = self.bodies.len();
            return refused(format!("MPUB invalid message({index}) body size {size}"));
        }
        let max = self.limits.max_msg_size;
        if i64::from(size) > max {
            return refused(format!("MPUB message too big {size} > {max}"));
        }
        let end = at + 4 + size as usize;
        if end > bound {
            let text = format!(
                "MPUB messages exceed max-body-size {}",
                self.limits.max_body_size
            );
            return Err(ProtocolError::fatal("E_BAD_BODY", text));
        }
        if buffer.len() < end {
            return Ok(Some(end));
        }
        self.bodies.push((at as u32 + 4, size as u32));
        self.mpub_at = end;
        Ok(None)
    }

    fn with_body<'a>(
        &self,
        verb: &str,
        buffer: &'a [u8],
        at: usize,
        command: impl FnOnce(&'a [u8]) -> Command<'a>,
    ) -> Result<Step<'a>> {
        let Some(size) = self.body_size(verb, buffer, at)? else {
            return Ok(Step::Incomplete(at + 4));
        };
        let end = at + 4 + size;
        Ok(match buffer.get(at + 4..end) {
            Some(body) => Step::Command(command(body), end),
            None => Step::Incomplete(end),
        })
    }

    fn body_size(&self, verb: &str, buffer: &[u8], at: usize) -> Result<Option<usize>> {
        let Some(size) = int32(buffer, at) else {
            return Ok(None);
        };
        let max = self.limits.max_body_size;
        let refused = |text| Err(ProtocolError::fatal("E_BAD_BODY", text));
        if i64::from(size) > max {
            return refused(format!("{verb} body too big {size} > {max}"));
        }
        if size <= 0 {
            return refused(format!("{verb} invalid body size {size}"));
        }
        Ok(Some(size as usize))
    }
}

fn subscribe<'a>(gate: Gate, mut words: Line<'a>) -> Result<Command<'a>> {
    require(gate.state == State::Init, "SUB")?;
    if !gate.heartbeats {
        return Err(ProtocolError::invalid(
            "cannot SUB with heartbeats disabled",
        ));
    }
    let (Some(name), Some(channel_name)) = (words.next(), words.next()) else {
        return Err(too_few("SUB", "parameters"));
    };
    Ok(Command::Sub {
        topic: topic("SUB", name)?,
        channel: channel("SUB", channel_name)?,
    })
}

fn message_id<'a>(verb: &str, gate: Gate, words: &mut Line<'a>) -> Result<&'a [u8; 16]> {
    require(gate.state != State::Init, verb)?;
    sixteen(words.next().ok_or_else(|| too_few(verb, "params"))?)
}

fn link<'a>(verb: &'static str, gate: Gate, mut words: Line<'a>) -> Result<Command<'a>> {
    require(gate.state == State::Init, verb)?;
    let role = words.next().unwrap_or_default();
    Ok(Command::Link { verb, role })
}
