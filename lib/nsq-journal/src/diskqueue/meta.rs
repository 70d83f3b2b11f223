//! `NAME.diskqueue.meta.dat`: how many messages there are, and where reading and writing go on.

use std::fmt;

/// A file's number and a place in it.
type Place = (u64, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Messages between the two places. Written every now and then only, and not to be relied on.
    pub depth: i64,
    pub read: Place,
    pub write: Place,
}

impl Meta {
    /// Reads the text; `None` if it is none. Whoever has none reads all files.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let depth = lines.next()?.trim().parse().ok()?;
        let mut place = || -> Option<Place> {
            let (file, pos) = lines.next()?.trim().split_once(',')?;
            Some((file.parse().ok()?, pos.parse().ok()?))
        };
        let (read, write) = (place()?, place()?);
        Some(Self { depth, read, write })
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, write) = (self.read, self.write);
        writeln!(f, "{}", self.depth)?;
        writeln!(f, "{},{}", read.0, read.1)?;
        writeln!(f, "{},{}", write.0, write.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read_and_written() {
        let meta = Meta::parse("24\n0,117\n2,279\n").unwrap();
        assert_eq!(
            meta,
            Meta {
                depth: 24,
                read: (0, 117),
                write: (2, 279)
            }
        );
        assert_eq!(meta.to_string(), "24\n0,117\n2,279\n");
        assert_eq!(Meta::parse("-1\n0,0\n0,0\n").unwrap().depth, -1);
        for damaged in [
            "",
            "24",
            "24\n0,117\n",
            "24\n0\n2\n",
            "\0\0\0\0",
            "x\n0,0\n0,0\n",
        ] {
            assert_eq!(Meta::parse(damaged), None, "{damaged:?}");
        }
    }
}
