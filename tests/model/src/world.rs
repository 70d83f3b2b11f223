//! The bounds of a search: what there is, and how much may go wrong.

use crate::record::Channels;
use crate::rules::Rule;

/// When a publisher's OK may leave, as in nsqd's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Write,
    Fsync,
}

/// A small world, and the number of times each thing may happen in it.
#[derive(Debug, Clone)]
pub struct World {
    pub name: &'static str,
    /// Published to A, and to B.
    pub messages: [u8; 2],
    pub channels: u8,
    pub level: Level,
    /// `--on-peer-loss=degrade`.
    pub degrade: bool,
    /// Consumers finish messages.
    pub consumed: bool,
    /// Both nodes have links at the beginning.
    pub linked: bool,
    /// kill -9.
    pub kills: u8,
    /// Power cuts; any prefix of what was not synced is kept.
    pub cuts: u8,
    /// A power cut may keep a write and lose one before it.
    pub holes: bool,
    /// Volumes lost; from the second on only while the pair says `mirrored`.
    pub volumes: u8,
    /// Orders to adopt. Free where the peer's volume is lost.
    pub orders: u8,
    /// Times that both links break.
    pub breaks: u8,
    /// Times that a journal is recycled up to its end.
    pub checkpoints: u8,
    /// Times that a channel is emptied on a node.
    pub empties: u8,
    /// Finishes that are remembered.
    pub memory: u8,
    /// Rules that are not kept.
    pub dropped: u32,
    /// States, at most.
    pub states_max: usize,
}

/// Where all worlds begin: one message, one channel, fsync, nothing goes wrong.
const QUIET: World = World {
    name: "quiet",
    messages: [1, 0],
    channels: 1,
    level: Level::Fsync,
    degrade: false,
    consumed: true,
    linked: true,
    kills: 0,
    cuts: 0,
    holes: false,
    volumes: 0,
    orders: 0,
    breaks: 0,
    checkpoints: 0,
    empties: 0,
    memory: u8::MAX,
    dropped: 0,
    states_max: 10_000_000,
};

/// Searched whole by the tests.
#[rustfmt::skip] // a table
pub const SMALL: &[World] = &[
    World { name: "quiet", messages: [2, 1], ..QUIET },
    World { name: "cold", linked: false, orders: 1, breaks: 1, ..QUIET },
    World { name: "orders", orders: 2, ..QUIET },
    World { name: "break", orders: 1, breaks: 1, ..QUIET },
    World { name: "cut", cuts: 1, orders: 1, ..QUIET },
    World { name: "disk", volumes: 1, ..QUIET },
    World { name: "second-disk", volumes: 2, ..QUIET },
    World { name: "degrade", degrade: true, volumes: 1, breaks: 1, ..QUIET },
    World { name: "write", level: Level::Write, kills: 1, cuts: 1, ..QUIET },
    World { name: "hole", level: Level::Write, cuts: 1, holes: true, ..QUIET },
    World { name: "list", checkpoints: 1, orders: 1, ..QUIET },
    World { name: "list-disk", checkpoints: 1, volumes: 1, ..QUIET },
    World { name: "forgets", memory: 0, orders: 2, ..QUIET },
    World { name: "empty", empties: 1, orders: 1, breaks: 1, ..QUIET },
];

/// Searched by the command.
#[rustfmt::skip] // a table
pub const LARGE: &[World] = &[
    World { name: "disk-order", volumes: 1, orders: 1, ..QUIET },
    World { name: "cut-disk", cuts: 1, volumes: 1, ..QUIET },
    World { name: "cut-disk-order", cuts: 1, volumes: 1, orders: 1, ..QUIET },
    World { name: "three-messages", messages: [3, 0], consumed: false, cuts: 1, orders: 1, ..QUIET },
    World { name: "two-cuts", messages: [2, 0], consumed: false, cuts: 2, orders: 1, ..QUIET },
    World { name: "both", messages: [1, 1], orders: 2, ..QUIET },
    World { name: "channels", channels: 2, cuts: 1, orders: 1, ..QUIET },
    World { name: "orders-cut", cuts: 1, orders: 2, ..QUIET },
    World { name: "three-orders", orders: 3, breaks: 1, ..QUIET },
    World { name: "degrade-order", degrade: true, volumes: 1, orders: 1, breaks: 1, ..QUIET },
    World { name: "write-order", level: Level::Write, kills: 1, cuts: 1, orders: 1, ..QUIET },
    World { name: "holes", level: Level::Write, cuts: 1, holes: true, messages: [2, 0], ..QUIET },
    World { name: "list-cut", checkpoints: 1, cuts: 1, orders: 1, ..QUIET },
    World { name: "list-break", checkpoints: 1, breaks: 1, orders: 1, ..QUIET },
    World { name: "lists", checkpoints: 2, breaks: 1, orders: 1, ..QUIET },
    World { name: "list-disks", checkpoints: 1, volumes: 2, ..QUIET },
    World { name: "empty-cut", empties: 2, cuts: 1, orders: 1, ..QUIET },
];

impl World {
    /// The world of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = SMALL.iter().chain(LARGE);
        all.find(|world| world.name == name).cloned()
    }

    /// Without a rule.
    pub fn without(&self, rule: Rule) -> Self {
        Self {
            dropped: self.dropped | rule.bit(),
            ..self.clone()
        }
    }

    pub fn keeps(&self, rule: Rule) -> bool {
        self.dropped & rule.bit() == 0
    }

    pub fn all_channels(&self) -> Channels {
        (1 << self.channels) - 1
    }

    /// Messages of both nodes.
    pub fn message_count(&self) -> u8 {
        self.messages[0] + self.messages[1]
    }

    /// The messages that are published to a node.
    pub fn messages_of(&self, node: usize) -> std::ops::Range<u8> {
        match node {
            0 => 0..self.messages[0],
            _ => self.messages[0]..self.message_count(),
        }
    }
}
