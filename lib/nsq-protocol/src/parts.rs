//! The small readers that the decoder is made of.

use crate::ProtocolError;

/// A command line without its end, cut at single spaces. NSQ ignores parameters too many.
pub(crate) struct Line<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self {
            rest: Some(line.strip_suffix(b"\r").unwrap_or(line)),
        }
    }
}

impl<'a> Iterator for Line<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match rest.iter().position(|&b| b == b' ') {
            Some(space) => {
                self.rest = Some(&rest[space + 1..]);
                Some(&rest[..space])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// NSQ's number: decimal digits only, where none at all is 0.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The big-endian signed number at `at`, if it has arrived.
pub(crate) fn int32(buffer: &[u8], at: usize) -> Option<i32> {
    let bytes = buffer.get(at..at + 4)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn topic<'a>(verb: &str, name: &'a [u8]) -> Result<&'a str, ProtocolError> {
    valid(name).ok_or_else(|| {
        let text = format!("{verb} topic name \"{}\" is not valid", shown(name));
        ProtocolError::fatal("E_BAD_TOPIC", text)
    })
}

pub(crate) fn channel<'a>(verb: &str, name: &'a [u8]) -> Result<&'a str, ProtocolError> {
    valid(name).ok_or_else(|| {
        let text = format!("{verb} channel name \"{}\" is not valid", shown(name));
        ProtocolError::fatal("E_BAD_CHANNEL", text)
    })
}

fn valid(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    crate::is_valid_name(name).then_some(name)
}

pub(crate) fn sixteen(text: &[u8]) -> Result<&[u8; 16], ProtocolError> {
    text.try_into()
        .map_err(|_| ProtocolError::invalid("invalid message ID"))
}

pub(crate) fn parse_delay(verb: &str, text: &[u8]) -> Result<u64, ProtocolError> {
    decimal(text).ok_or_else(|| {
        ProtocolError::invalid(format!("{verb} could not parse timeout {}", shown(text)))
    })
}

pub(crate) fn require(allowed: bool, verb: &str) -> Result<(), ProtocolError> {
    match allowed {
        true => Ok(()),
        false => Err(ProtocolError::invalid(format!(
            "cannot {verb} in current state"
        ))),
    }
}

pub(crate) fn too_few(verb: &str, noun: &str) -> ProtocolError {
    ProtocolError::invalid(format!("{verb} insufficient number of {noun}"))
}
