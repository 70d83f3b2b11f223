//! What comes from outside, as bytes that a fuzzer makes up: nothing may panic, hang or take memory without bound,
//! and what is said of each target below must hold.
//!
//! `cargo xtask fuzz` searches; the tests here replay what was found worth keeping, `corpus/*.txt`, one input a line in
//! hexadecimal digits.

mod config;
mod data_path;
mod diskqueue;
mod record;
mod stream;

/// A thing to be fuzzed.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    /// What must hold, beyond no panic.
    pub about: &'static str,
    pub run: fn(&[u8]),
    /// The longest input that makes sense.
    pub input_max: usize,
}

impl Target {
    /// The target of that name.
    pub fn find(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

pub const TARGETS: &[Target] = &[
    Target {
        name: "protocol",
        about: "a client's bytes: the same commands however they are split",
        run: stream::protocol,
        input_max: 4096,
    },
    Target {
        name: "mpub",
        about: "the body of MPUB: messages lie behind each other, and are all that is taken",
        run: stream::mpub,
        input_max: 4096,
    },
    Target {
        name: "identify",
        about: "IDENTIFY: what is agreed lies within the server's limits",
        run: stream::identify,
        input_max: 2048,
    },
    Target {
        name: "lookup",
        about: "nsqlookupd's protocol: what is understood can be said again",
        run: stream::lookup,
        input_max: 2048,
    },
    Target {
        name: "query",
        about: "the query of an HTTP request",
        run: stream::query,
        input_max: 2048,
    },
    Target {
        name: "record",
        about: "a record of the journal: what is read is what is written again",
        run: record::record,
        input_max: 4096,
    },
    Target {
        name: "journal",
        about: "damaged journal, checkpoint and spill files: a server starts or says why not, and never with a message that nobody published",
        run: data_path::damaged,
        input_max: 512,
    },
    Target {
        name: "diskqueue",
        about: "the Go nsqd's files, damaged: everything in them is told of, nothing is made up, and the files stay",
        run: diskqueue::diskqueue,
        input_max: 2048,
    },
    Target {
        name: "config",
        about: "a config file and a command line: options or a reason",
        run: config::config,
        input_max: 2048,
    },
];
