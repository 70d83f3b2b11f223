//! What a second copy costs: an nsqd alone, one that is mirrored, one that waits for its mirror.

use super::{ANY, Contest, Contestant, Kind, MPUB, OURS_FSYNC, PUB, Target, WINDOW, row};

const NATS_THREE: Contestant = Contestant {
    name: "NATS JetStream, 3 replicas, sync always",
    kind: Kind::NatsThree,
    flags: &[],
};
const COPIED: Contestant = Contestant {
    name: "ours, fsync, mirrored",
    kind: Kind::OursPair,
    flags: &[
        "--mem-queue-size=10000000",
        "--durability=fsync",
        "--mirror-ack=none",
    ],
};
const AWAITED: Contestant = Contestant {
    name: "ours, fsync, peer",
    kind: Kind::OursPair,
    flags: &[
        "--mem-queue-size=10000000",
        "--durability=fsync",
        "--mirror-ack=peer",
        "--on-peer-loss=block",
    ],
};

pub const PAIR: Contest = Contest {
    key: "pair",
    about: "what a mirror costs, beside NATS JetStream with three replicas: all on the disk before the answer",
    contestants: &[NATS_THREE, OURS_FSYNC, COPIED, AWAITED],
    rows: &[
        row("pub-1", 1, PUB, &[LATENCY_OF_TWO, AHEAD]),
        row("pub-64", 64, PUB, &[AHEAD]),
        row("window64-1", 1, WINDOW, &[ALONE, AHEAD]),
        row("window64-8", 8, WINDOW, &[ALONE, AHEAD]),
        row("mpub200-8", 8, MPUB, &[AHEAD]),
    ],
};

/// The own sync and the peer's run beside each other.
const LATENCY_OF_TWO: Target = Target {
    against: OURS_FSYNC.name,
    says: "2x latency",
    rate: 0.5,
    ..ANY
};
const ALONE: Target = Target {
    against: OURS_FSYNC.name,
    says: "0.6x rate, 1.3x CPU",
    rate: 0.6,
    cpu: 1.3,
    ..ANY
};
const AHEAD: Target = Target {
    against: NATS_THREE.name,
    says: "1x rate",
    rate: 1.0,
    ..ANY
};
