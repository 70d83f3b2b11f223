use std::fmt;

/// Bits of an id that name the node it was published to (`--node-id`).
pub const NODE_BITS: u32 = 10;
/// Bits of an id that count, on that node, over all topics.
pub const SEQUENCE_BITS: u32 = 54;

/// A message's identity: node and sequence, 16 lower-case hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl MessageId {
    pub fn new(node: u16, sequence: u64) -> Self {
        Self((u64::from(node) << SEQUENCE_BITS) | (sequence & ((1 << SEQUENCE_BITS) - 1)))
    }

    pub fn node(self) -> u16 {
        (self.0 >> SEQUENCE_BITS) as u16
    }

    pub fn sequence(self) -> u64 {
        self.0 & ((1 << SEQUENCE_BITS) - 1)
    }

    /// Reads 16 lower-case hex digits. Anything else is no id of ours (`None`): to NSQ it is
    /// merely a message which is not in flight.
    #[inline]
    pub fn parse(text: &[u8; 16]) -> Option<Self> {
        let mut value = 0u64;
        let mut bad = 0u8;
        for &b in text {
            let digit = HEX_VALUE[b as usize];
            bad |= digit & 0xf0;
            value = (value << 4) | u64::from(digit & 0x0f);
        }
        (bad == 0).then_some(Self(value))
    }

    #[inline]
    pub fn to_hex(self) -> [u8; 16] {
        let mut out = [0u8; 16];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = HEX_DIGIT[usize::from(byte >> 4)];
            pair[1] = HEX_DIGIT[usize::from(byte & 15)];
        }
        out
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

const HEX_DIGIT: &[u8; 16] = b"0123456789abcdef";

const HEX_VALUE: [u8; 256] = {
    let mut table = [0xffu8; 256];
    let mut i = 0;
    while i < 16 {
        table[HEX_DIGIT[i] as usize] = i as u8;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        for value in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = MessageId(value);
            assert_eq!(MessageId::parse(&id.to_hex()), Some(id));
            assert_eq!(id.to_string().as_bytes(), id.to_hex());
        }
        assert_eq!(MessageId::parse(b"0123456789ABCDEF"), None);
        assert_eq!(MessageId::parse(b"0123456789abcdeg"), None);
        let id = MessageId::new(1023, 77);
        assert_eq!((id.node(), id.sequence()), (1023, 77));
    }
}
