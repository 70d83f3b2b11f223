//! What a seed decides before the run begins.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::spite::Moment;
use crate::plan::Level;

/// The shape of a run.
#[derive(Debug, Clone)]
pub struct PairPlan {
    pub seed: u64,
    pub level: Level,
    /// OKs wait for the peer; without it they are refused.
    pub block: bool,
    pub publishers: usize,
    /// Of each channel, on each node.
    pub consumers: usize,
    /// Messages that each publisher sends.
    pub messages: u64,
    pub mem_queue_size: u64,
    pub memory: usize,
    pub max_body: usize,
    pub segment_bytes: u64,
    pub checkpoint_every: u64,
    pub slow_disk_us: u64,
    /// How often each disk syncs when it might.
    pub commits: [f64; 2],
    /// Crashes, power cuts and stops of a node.
    pub outages: usize,
    /// Disks lost; a further one only when the pair says that it may be.
    pub losses: usize,
    /// One of the nodes goes for good, with its disk.
    pub goes: bool,
    /// A further disk is lost at the first moment at which that may be.
    pub eager: bool,
    pub adoptions: usize,
    pub partitions: usize,
    /// Times that somebody empties a channel, on one node or on both.
    pub empties: usize,
    /// Times that somebody deletes a channel or a topic.
    pub deletes: usize,
    /// How often what is staged is written a while before it is synced.
    pub writes: f64,
    /// Publishers know of one node only, the first.
    pub lopsided: bool,
    /// Links take their time: a list is under way for a while.
    pub slow_links: bool,
    /// Bytes that may be on their way to a peer.
    pub sent_to_peer: u64,
    /// Disks sync only when somebody waits for it.
    pub lazy: bool,
    /// A moment at which something more happens.
    pub spite: Option<Moment>,
    /// Outages that take both nodes.
    pub both: bool,
    /// Everything happens within moments, and nodes come back at once: in the midst of what the last event began.
    pub stormy: bool,
    pub verbose: bool,
    /// Say what becomes of this message.
    pub traced: Option<u64>,
}

impl PairPlan {
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0xaa17);
        // At level `write` a lost disk and a power cut are promised nothing together.
        let level = match seed % 4 {
            0 => Level::Write,
            _ => Level::Fsync,
        };
        let stormy = seed % 2 == 1;
        let plan = Self {
            seed,
            level,
            stormy,
            block: random.random_bool(0.5),
            publishers: random.random_range(1..=3),
            consumers: random.random_range(1..=2),
            messages: random.random_range(50..=500),
            mem_queue_size: [0, 10, 10_000][random.random_range(0..3)],
            memory: [1 << 30, 64 << 10][random.random_range(0..2)],
            // Where all records are of one length, a position in one run is one in another too.
            max_body: match stormy && random.random_bool(0.5) {
                true => 0,
                false => [40, 300, 3000][random.random_range(0..3)],
            },
            segment_bytes: [16 << 10, 64 << 10, 512 << 10][random.random_range(0..3)],
            // The least is soon too little for a peer that was away.
            checkpoint_every: [8 << 10, 32 << 10, 256 << 10][random.random_range(0..3)],
            slow_disk_us: [50, 500, 10_000][random.random_range(0..3)],
            outages: random.random_range(if stormy { 3..=9 } else { 0..=5 }),
            losses: random.random_range(if stormy { 1..=2 } else { 0..=2 }),
            adoptions: random.random_range(0..=4),
            partitions: random.random_range(0..=3),
            both: random.random_bool(0.3),
            goes: random.random_bool(0.2),
            eager: random.random_bool(0.5),
            commits: [(); 2].map(|()| [1.0, 0.3, 0.05][random.random_range(0..3)]),
            empties: [0, 0, 1, 3][random.random_range(0..4)],
            deletes: [0, 0, 1, 3][random.random_range(0..4)],
            writes: [0.0, 0.3][random.random_range(0..2)],
            lopsided: random.random_bool(0.2),
            slow_links: random.random_bool(0.2),
            sent_to_peer: 8 << 20,
            lazy: false,
            spite: match random.random_range(0..8) {
                0 => Some(Moment::HandedOver),
                1 => Some(Moment::Listing),
                2 => Some(Moment::Acknowledged),
                3 => Some(Moment::Mirrored),
                _ => None,
            },
            verbose: false,
            traced: None,
        };
        let plan = match seed % 32 {
            3 => Self {
                spite: Some(Moment::Listing),
                block: true, // an OK that waits for the list is not given without the peer
                ..plan
            },
            9 => Self {
                spite: Some(Moment::Importing),
                ..plan
            },
            // Little compared with what the journals grow to.
            5 | 13 | 21 | 29 => Self {
                sent_to_peer: 4 << 10,
                lazy: true,
                writes: 0.0,
                ..plan
            },
            23 => Self {
                spite: Some(Moment::MidList),
                ..plan
            },
            _ => plan,
        };
        plan.ready_for_its_moment()
    }

    /// What makes the moment likely that this world waits for.
    fn ready_for_its_moment(self) -> Self {
        let (slow_first, slow_second) = ([0.05, 1.0], [1.0, 0.05]);
        match self.spite {
            Some(Moment::Listing) => Self {
                level: Level::Fsync,
                checkpoint_every: 8 << 10,
                segment_bytes: 16 << 10,
                memory: 64 << 10,
                losses: 2,
                lopsided: true,
                slow_links: true,
                commits: slow_first,
                ..self
            },
            Some(Moment::MidList) => Self {
                checkpoint_every: 8 << 10,
                segment_bytes: 16 << 10,
                memory: 64 << 10,
                losses: self.losses.max(1),
                adoptions: self.adoptions.max(3),
                lopsided: true,
                slow_links: true,
                ..self
            },
            Some(Moment::Importing) => Self {
                level: Level::Fsync,
                adoptions: self.adoptions.max(3),
                outages: self.outages.max(3),
                messages: 500,
                writes: 0.9,
                commits: [1.0, 1.0],
                slow_disk_us: 1000,
                ..self
            },
            Some(Moment::Mirrored) => Self {
                level: Level::Fsync,
                checkpoint_every: 256 << 10,
                segment_bytes: 512 << 10,
                losses: 2,
                eager: true,
                lopsided: true,
                commits: slow_second,
                ..self
            },
            Some(Moment::HandedOver) => Self {
                adoptions: self.adoptions.max(2),
                outages: self.outages.max(3),
                // What is imported reaches the other before it is synced.
                writes: 0.5,
                commits: slow_second,
                ..self
            },
            _ => self,
        }
    }
}
