//! One record's head.

/// Bytes before the body: timestamp, attempts, id.
pub const HEAD_BYTES: usize = 8 + 2 + 16;

/// What the Go nsqd writes before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// Deliveries so far.
    pub attempts: u16,
    /// 16 lower-case hexadecimal digits.
    pub id: [u8; 16],
}

impl Head {
    /// Reads a head, if that is what the bytes can be: the time lies after 1970 and the id is one. That is all the
    /// redundancy a record has.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (timestamp, rest) = bytes.split_first_chunk::<8>()?;
        let (attempts, rest) = rest.split_first_chunk::<2>()?;
        let id = *rest.first_chunk::<16>()?;
        let timestamp = i64::from_be_bytes(*timestamp);
        let is_id = id
            .iter()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        (timestamp > 0 && is_id).then_some(Self {
            timestamp,
            attempts: u16::from_be_bytes(*attempts),
            id,
        })
    }

    /// The head as it stands in a file.
    pub fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.attempts.to_be_bytes());
        bytes[10..].copy_from_slice(&self.id);
        bytes
    }
}
