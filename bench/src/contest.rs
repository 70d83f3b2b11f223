//! Who is measured, and at what.

use serde::Serialize;

/// Bytes of every message.
pub const MESSAGE_BYTES: usize = 200;
/// Messages a second while latency is measured.
pub const LATENCY_RATE: u32 = 1000;

/// A server with the flags it is started with.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Contestant {
    pub name: &'static str,
    pub ours: bool,
    pub flags: &'static [&'static str],
}

/// A durability level of ours beside what the Go nsqd has nearest to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Pairing {
    pub level: &'static str,
    pub theirs: Contestant,
    pub ours: Contestant,
}

pub const PAIRINGS: &[Pairing] = &[
    Pairing {
        level: "memory",
        theirs: Contestant {
            name: "Go, 10 M in memory",
            ours: false,
            flags: &["--mem-queue-size=10000000"],
        },
        ours: Contestant {
            name: "ours, memory",
            ours: true,
            flags: &["--mem-queue-size=10000000", "--durability=memory"],
        },
    },
    Pairing {
        level: "write",
        theirs: Contestant {
            name: "Go, defaults",
            ours: false,
            flags: &[],
        },
        ours: Contestant {
            name: "ours, write",
            ours: true,
            flags: &["--mem-queue-size=10000000", "--durability=write"],
        },
    },
    Pairing {
        level: "fsync",
        theirs: Contestant {
            name: "Go, sync every 1",
            ours: false,
            flags: &["--mem-queue-size=0", "--sync-every=1"],
        },
        ours: Contestant {
            name: "ours, fsync",
            ours: true,
            flags: &["--mem-queue-size=10000000", "--durability=fsync"],
        },
    },
];

/// How a publisher publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Messages in a command: PUB for 1, MPUB for more.
    pub batch: usize,
    /// Commands that may wait for their OK.
    pub window: usize,
}

/// The pattern that fills queues before they are drained.
pub const FILL: Pattern = Pattern {
    batch: 200,
    window: 1,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Publish(Pattern),
    Drain,
    Latency,
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub key: &'static str,
    pub name: &'static str,
    pub work: Work,
    pub connections: usize,
    /// What ours at level `memory` is to reach.
    pub target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// At least 3 times Go's rate with at most a quarter of its CPU per message.
    Fast,
    /// No more CPU per message than Go.
    NotBehind,
    /// Half of the messages within 0.2 ms.
    Prompt,
}

const ONE: Pattern = Pattern {
    batch: 1,
    window: 1,
};
const PIPELINED: Pattern = Pattern {
    batch: 1,
    window: 64,
};
const BATCHED: Pattern = Pattern {
    batch: 200,
    window: 1,
};

pub const ROWS: &[Row] = &[
    row(
        "pub-1",
        "PUB, one at a time, 1 connection",
        Work::Publish(ONE),
        1,
        Target::NotBehind,
    ),
    row(
        "pub-8",
        "PUB, one at a time, 8 connections",
        Work::Publish(ONE),
        8,
        Target::NotBehind,
    ),
    row(
        "window64-1",
        "PUB, 64 outstanding, 1 connection",
        Work::Publish(PIPELINED),
        1,
        Target::Fast,
    ),
    row(
        "window64-8",
        "PUB, 64 outstanding, 8 connections",
        Work::Publish(PIPELINED),
        8,
        Target::Fast,
    ),
    row(
        "mpub200-8",
        "MPUB of 200, 8 connections",
        Work::Publish(BATCHED),
        8,
        Target::Fast,
    ),
    row(
        "sub-1",
        "SUB and FIN, 1 connection",
        Work::Drain,
        1,
        Target::Fast,
    ),
    row(
        "sub-8",
        "SUB and FIN, 8 connections",
        Work::Drain,
        8,
        Target::Fast,
    ),
    row(
        "latency",
        "publish to receive, 1,000 a second",
        Work::Latency,
        1,
        Target::Prompt,
    ),
];

const fn row(
    key: &'static str,
    name: &'static str,
    work: Work,
    connections: usize,
    target: Target,
) -> Row {
    Row {
        key,
        name,
        work,
        connections,
        target,
    }
}
