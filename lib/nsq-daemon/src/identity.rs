//! Who this machine is.

use md5::{Digest, Md5};

/// Node ids are this many; an id has ten bits in every message id.
pub const NODE_IDS: u16 = 1024;

/// The OS hostname, the default broadcast address of every daemon.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The default node id of a host: CRC-32 of the MD5 of its name, in `0..1024`, as NSQ computes it, so
/// that a host keeps its id when it changes from one implementation to the other.
#[must_use]
pub fn default_node_id(hostname: &str) -> u16 {
    let sum = crc32fast::hash(&Md5::digest(hostname.as_bytes()));
    u16::try_from(sum % u32::from(NODE_IDS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::default_node_id;

    #[test]
    fn node_id_is_nsqs() {
        // Recorded from NSQ 1.3.0 on a host of this name.
        assert_eq!(default_node_id("vm"), 617);
    }
}
