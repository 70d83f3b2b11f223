//! Snappy's framing format: a stream identifier, then chunks of at most 64 KiB, each with a
//! checksum of what it holds.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// Bytes that one chunk holds at most.
const BLOCK: usize = 64 * 1024;
const IDENTIFIER: &[u8; 10] = b"\xff\x06\0\0sNaPpY";
/// Type and length, before every chunk.
const HEAD: usize = 4;
/// A checksum, before the data of a chunk.
const CHECKSUM: usize = 4;

const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;

pub(crate) struct Snappy {
    encoder: Encoder,
    begun: bool,
    /// The chunk that was decoded last, and how much of it was taken.
    block: Vec<u8>,
    taken: usize,
    /// Bytes of padding still to be passed over.
    skip: usize,
}

impl Snappy {
    pub(crate) fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            begun: false,
            block: Vec::new(),
            taken: 0,
            skip: 0,
        }
    }

    /// Appends `plain` to `out` as chunks, after the identifier the first time.
    pub(crate) fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if !self.begun {
            out.extend_from_slice(IDENTIFIER);
            self.begun = true;
        }
        for block in plain.chunks(BLOCK) {
            let head = out.len();
            let data = head + HEAD + CHECKSUM;
            out.resize(data + max_compress_len(block.len()), 0);
            let size = self
                .encoder
                .compress(block, &mut out[data..])
                .map_err(io::Error::other)?;
            // What gains less than an eighth is sent as it is.
            let kind = match size < block.len() - block.len() / 8 {
                true => {
                    out.truncate(data + size);
                    COMPRESSED
                }
                false => {
                    out.truncate(data);
                    out.extend_from_slice(block);
                    UNCOMPRESSED
                }
            };
            let length = ((out.len() - head - HEAD) as u32).to_le_bytes();
            out[head..head + HEAD].copy_from_slice(&[kind, length[0], length[1], length[2]]);
            out[head + HEAD..data].copy_from_slice(&masked(block).to_le_bytes());
        }
        Ok(())
    }

    /// Decodes from `input` to `out`: how much of either was used. (0, 0): more input is needed.
    ///
    /// # Errors
    /// The input is not in the framing format.
    pub(crate) fn decode(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let mut used = 0;
        loop {
            if self.taken < self.block.len() {
                let left = &self.block[self.taken..];
                let size = left.len().min(out.len());
                out[..size].copy_from_slice(&left[..size]);
                self.taken += size;
                if self.taken == self.block.len() {
                    self.block = Vec::new(); // an idle connection keeps none
                    self.taken = 0;
                }
                return Ok((used, size));
            }
            let skipped = self.skip.min(input.len() - used);
            self.skip -= skipped;
            used += skipped;
            let Some(&[kind, a, b, c]) = input[used..].first_chunk::<HEAD>() else {
                return Ok((used, 0));
            };
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            match kind {
                COMPRESSED | UNCOMPRESSED => {}
                0xff if length == IDENTIFIER.len() - HEAD => {}
                // Padding, and what later versions may add.
                0x80..=0xfe => {
                    self.skip = length;
                    used += HEAD;
                    continue;
                }
                _ => return Err(bad("unknown chunk")),
            }
            if length > CHECKSUM + max_compress_len(BLOCK) {
                return Err(bad("chunk too long"));
            }
            let Some(chunk) = input[used..].get(HEAD..HEAD + length) else {
                return Ok((used, 0));
            };
            used += HEAD + length;
            match kind {
                0xff if chunk == &IDENTIFIER[HEAD..] => {}
                0xff => return Err(bad("not a stream identifier")),
                _ => self.block = decode_chunk(kind, chunk)?,
            }
        }
    }
}

fn decode_chunk(kind: u8, chunk: &[u8]) -> io::Result<Vec<u8>> {
    let Some((checksum, data)) = chunk.split_first_chunk::<CHECKSUM>() else {
        return Err(bad("chunk without checksum"));
    };
    let size = match kind {
        COMPRESSED => decompress_len(data).map_err(io::Error::other)?,
        _ => data.len(),
    };
    if size > BLOCK {
        return Err(bad("chunk holds too much"));
    }
    let block = match kind {
        COMPRESSED => Decoder::new()
            .decompress_vec(data)
            .map_err(io::Error::other)?,
        _ => data.to_vec(),
    };
    match masked(&block) == u32::from_le_bytes(*checksum) {
        true => Ok(block),
        false => Err(bad("wrong checksum")),
    }
}

/// The format's own disguise of a CRC-32C.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("snappy: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"\0\0\0\x06\0\0\0\0OK";

    #[test]
    fn bytes_are_those_of_nsq() {
        let mut out = Vec::new();
        Snappy::new().encode(OK, &mut out).unwrap();
        let recorded = b"\xff\x06\0\0sNaPpY\x01\x0e\0\0\x26\x98\x2b\xcf";
        assert_eq!(out, [recorded, OK].concat());
    }

    #[test]
    fn any_cut_of_the_stream_decodes() {
        let plain: Vec<u8> = (0..200_000_u32).map(|i| (i / 7) as u8).collect();
        let mut stream = Vec::new();
        let mut encoder = Snappy::new();
        encoder.encode(&plain, &mut stream).unwrap();
        stream.extend_from_slice(b"\xfe\x03\0\0abc"); // padding
        encoder.encode(OK, &mut stream).unwrap();
        assert!(stream.len() < plain.len() / 2);
        for step in [1, 777, stream.len()] {
            let (mut decoder, mut read) = (Snappy::new(), Vec::new());
            let (mut from, mut to, mut out) = (0, 0, [0; 1000]);
            loop {
                let (used, got) = decoder.decode(&stream[from..to], &mut out).unwrap();
                from += used;
                read.extend_from_slice(&out[..got]);
                match got {
                    0 if to == stream.len() => break,
                    0 => to = (to + step).min(stream.len()),
                    _ => {}
                }
            }
            assert!(read == [&plain, OK].concat(), "{step}");
        }
    }

    #[test]
    fn what_is_no_snappy_is_refused() {
        let mut bomb = vec![COMPRESSED, 9, 0, 0, 0, 0, 0, 0];
        bomb.extend_from_slice(b"\xff\xff\xff\xff\x0f"); // says that it holds 4 GiB
        for bad in [
            b"  V2PUB a\n".as_slice(),
            b"\xff\x06\0\0sNaPpX",
            b"\x01\x05\0\0\0\0\0\0x", // checksum
            b"\x01\xff\xff\xff",      // length
            &bomb,
        ] {
            let decoded = Snappy::new().decode(bad, &mut [0; 64]);
            assert!(decoded.is_err(), "{bad:?}");
        }
    }
}
