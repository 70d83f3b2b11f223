//! Bodies that say which message they are and whether they are whole.

/// Number, checksum, and then padding that both follow from.
const HEADER: usize = 12;

/// The body of message `number`, `len` bytes long or as long as it must be.
pub fn encode(number: u64, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len.max(HEADER));
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    let mut state = number | 1;
    while body.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        body.push((state >> 56) as u8);
    }
    let sum = checksum(&body);
    body[8..HEADER].copy_from_slice(&sum.to_le_bytes());
    body
}

/// The number of a body that [`encode`] made and nobody changed.
pub fn decode(body: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*body.first_chunk()?);
    let sum = u32::from_le_bytes(body.get(8..HEADER)?.try_into().ok()?);
    (sum == checksum(body)).then_some(number)
}

fn checksum(body: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&body[..8]);
    crc32c::crc32c_append(sum, &body[HEADER..])
}
