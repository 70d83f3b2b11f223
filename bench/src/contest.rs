//! Who is measured, and at what.

mod pair;

use serde::Serialize;

/// Bytes of every message.
pub const MESSAGE_BYTES: usize = 200;
/// Messages a second while latency is measured.
pub const LATENCY_RATE: u32 = 1000;

/// What speaks which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ours,
    /// Two that mirror each other; the first is measured.
    OursPair,
    Go,
    Nats,
    /// A cluster; where the stream's leader is, is measured.
    NatsThree,
    Redis,
}

/// A server with the flags it is started with.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    pub flags: &'static [&'static str],
}

/// Servers that take turns at the same rows.
#[derive(Debug)]
pub struct Contest {
    pub key: &'static str,
    pub about: &'static str,
    /// The last one is judged against each of the others.
    pub contestants: &'static [Contestant],
    pub rows: &'static [Row],
}

impl Contest {
    pub fn find(key: &str) -> Option<&'static Contest> {
        CONTESTS.iter().find(|contest| contest.key == key)
    }
}

/// How a publisher publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Messages in a command: PUB for 1, MPUB for more. Where there is no such command, that many are outstanding.
    pub batch: usize,
    /// Commands that may wait for their OK.
    pub window: usize,
}

/// The pattern that fills queues before they are drained.
pub const FILL: Pattern = BATCHED;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Publish(Pattern),
    Drain,
    /// Publishing, and as many connections that drain meanwhile.
    Flood(Pattern),
    Latency,
}

/// A line of the table.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub key: &'static str,
    pub name: &'static str,
    pub work: Work,
    pub connections: usize,
    pub targets: &'static [Target],
}

/// What the judged server is to reach in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Name of the other server.
    pub against: &'static str,
    /// The same as figures, for people.
    pub says: &'static str,
    /// Least rate, as a multiple of the other's.
    pub rate: f64,
    /// Most CPU per message, as a multiple of the other's.
    pub cpu: f64,
    /// Half of the messages within so many milliseconds.
    pub p50_ms: f64,
    /// Least share of the published messages that is received at the same time.
    pub received: f64,
}

/// Nothing is asked.
const ANY: Target = Target {
    against: "",
    says: "",
    rate: 0.0,
    cpu: f64::INFINITY,
    p50_ms: f64::INFINITY,
    received: 0.0,
};

const GO_MEMORY: Contestant = Contestant {
    name: "Go, 10 M in memory",
    kind: Kind::Go,
    flags: &["--mem-queue-size=10000000"],
};
const GO_DEFAULTS: Contestant = Contestant {
    name: "Go, defaults",
    kind: Kind::Go,
    flags: &[],
};
const GO_DISK: Contestant = Contestant {
    name: "Go, all on disk",
    kind: Kind::Go,
    flags: &["--mem-queue-size=0"],
};
const GO_SAFEST: Contestant = Contestant {
    name: "Go, sync every 1",
    kind: Kind::Go,
    flags: &["--mem-queue-size=0", "--sync-every=1"],
};
const NATS_SYNC: Contestant = Contestant {
    name: "NATS JetStream, sync always",
    kind: Kind::Nats,
    flags: &[],
};
const REDIS_SYNC: Contestant = Contestant {
    name: "Redis Streams, fsync always",
    kind: Kind::Redis,
    flags: &["--appendonly", "yes", "--appendfsync", "always"],
};

const fn ours(name: &'static str, flags: &'static [&'static str]) -> Contestant {
    Contestant {
        name,
        kind: Kind::Ours,
        flags,
    }
}
const OURS_MEMORY: Contestant = ours(
    "ours, memory",
    &["--mem-queue-size=10000000", "--durability=memory"],
);
const OURS_WRITE: Contestant = ours(
    "ours, write",
    &["--mem-queue-size=10000000", "--durability=write"],
);
const OURS_FSYNC: Contestant = ours(
    "ours, fsync",
    &["--mem-queue-size=10000000", "--durability=fsync"],
);

pub const CONTESTS: &[Contest] = &[
    Contest {
        key: "speed",
        about: "nothing but memory, ours and Go's",
        contestants: &[GO_MEMORY, OURS_MEMORY],
        rows: &[
            row("pub-1", 1, PUB, &[NOT_BEHIND]),
            row("pub-8", 8, PUB, &[NOT_BEHIND]),
            row("window64-1", 1, WINDOW, &[FAST]),
            row("window64-8", 8, WINDOW, &[FAST]),
            row("mpub200-8", 8, MPUB, &[FAST]),
            row("sub-1", 1, DRAIN, &[FAST]),
            row("sub-8", 8, DRAIN, &[FAST]),
            row("latency", 1, LATENCY, &[PROMPT]),
        ],
    },
    Contest {
        key: "levels",
        about: "what level `write` costs, and how it stands beside what people run today",
        contestants: &[OURS_MEMORY, GO_DEFAULTS, OURS_WRITE],
        rows: &[
            row("pub-1", 1, PUB, &[within("15 %", 0.85), AHEAD_OF_GO]),
            row("pub-8", 8, PUB, &[within("15 %", 0.85), AHEAD_OF_GO]),
            row(
                "window64-1",
                1,
                WINDOW,
                &[within("25 %", 0.75), AHEAD_OF_GO],
            ),
            row(
                "window64-8",
                8,
                WINDOW,
                &[within("25 %", 0.75), AHEAD_OF_GO],
            ),
            row("mpub200-8", 8, MPUB, &[within("25 %", 0.75), AHEAD_OF_GO]),
            row("sub-1", 1, DRAIN, &[within("15 %", 0.85), AHEAD_OF_GO]),
            row("sub-8", 8, DRAIN, &[within("15 %", 0.85), AHEAD_OF_GO]),
        ],
    },
    Contest {
        key: "durable",
        about: "on the disk before the answer: ours, Go at its safest, NATS JetStream, Redis Streams",
        contestants: &[GO_SAFEST, NATS_SYNC, REDIS_SYNC, OURS_FSYNC],
        rows: &[
            row("pub-1", 1, PUB, &[times_go("1.8x rate", 1.8)]),
            row(
                "pub-64",
                64,
                PUB,
                &[times_go("60x rate", 60.0), NATS, REDIS],
            ),
            row(
                "window64-1",
                1,
                WINDOW,
                &[times_go("100x rate", 100.0), NATS, REDIS],
            ),
            row("window64-8", 8, WINDOW, &[NATS, REDIS]),
            row(
                "mpub200-8",
                8,
                MPUB,
                &[times_go("500x rate", 500.0), NATS, REDIS],
            ),
        ],
    },
    Contest {
        key: "flood",
        about: "whether readers keep up while writers flood the disk",
        contestants: &[GO_DISK, GO_DEFAULTS, OURS_WRITE],
        rows: &[row("flood-8", 8, FLOOD, &[KEEPS_UP])],
    },
    pair::PAIR,
];

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
const PUB: (&str, Work) = ("PUB, one at a time", Work::Publish(ONE));
const WINDOW: (&str, Work) = ("PUB, 64 outstanding", Work::Publish(PIPELINED));
const MPUB: (&str, Work) = ("MPUB of 200", Work::Publish(BATCHED));
const DRAIN: (&str, Work) = ("SUB and FIN", Work::Drain);
const FLOOD: (&str, Work) = ("MPUB of 200 while as many SUB", Work::Flood(BATCHED));
const LATENCY: (&str, Work) = ("publish to receive, 1,000 a second", Work::Latency);

const FAST: Target = Target {
    against: GO_MEMORY.name,
    says: "3x rate, 0.25x CPU",
    rate: 3.0,
    cpu: 0.25,
    ..ANY
};
const NOT_BEHIND: Target = Target {
    against: GO_MEMORY.name,
    says: "1x CPU",
    cpu: 1.0,
    ..ANY
};
const PROMPT: Target = Target {
    against: GO_MEMORY.name,
    says: "p50 0.2 ms",
    p50_ms: 0.2,
    ..ANY
};
const AHEAD_OF_GO: Target = Target {
    against: GO_DEFAULTS.name,
    says: "1x rate",
    rate: 1.0,
    ..ANY
};
const NATS: Target = Target {
    against: NATS_SYNC.name,
    says: "1x rate, 1x CPU",
    rate: 1.0,
    cpu: 1.0,
    ..ANY
};
const REDIS: Target = Target {
    against: REDIS_SYNC.name,
    ..NATS
};
const KEEPS_UP: Target = Target {
    against: GO_DISK.name,
    says: "receives 90 %",
    received: 0.9,
    ..ANY
};

const fn within(says: &'static str, rate: f64) -> Target {
    Target {
        against: OURS_MEMORY.name,
        says,
        rate,
        ..ANY
    }
}

const fn times_go(says: &'static str, rate: f64) -> Target {
    Target {
        against: GO_SAFEST.name,
        says,
        rate,
        ..ANY
    }
}

const fn row(
    key: &'static str,
    connections: usize,
    (name, work): (&'static str, Work),
    targets: &'static [Target],
) -> Row {
    Row {
        key,
        name,
        work,
        connections,
        targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_about_somebody_who_takes_part() {
        for contest in CONTESTS {
            let others = &contest.contestants[..contest.contestants.len() - 1];
            for target in contest.rows.iter().flat_map(|row| row.targets) {
                let found = others.iter().any(|other| other.name == target.against);
                assert!(found, "{}: {target:?}", contest.key);
            }
        }
    }
}
