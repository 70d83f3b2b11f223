//! The fault matrix: each row is a fault, and a run under it.

mod adopt_after;
mod backlog;
mod clock;
mod connections;
mod damage;
mod failing_disk;
mod failover;
mod full_disk;
mod in_flight;
mod kill;
mod power;
mod relocate;
mod simple;
mod stop;
mod two;

use std::path::PathBuf;

use anyhow::{Context, Result};
use nsq_rig::Program;
use tempfile::TempDir;

use crate::finding::Finding;
use crate::machine::Need;
use crate::volume;

/// Publishers under load.
const PUBLISHERS: usize = 64;

/// What the command line says.
pub struct Setting {
    pub nsqd: PathBuf,
    /// Carries journals from one nsqd to another.
    pub nsq_to_nsq: Option<PathBuf>,
    /// Witnesses of rows with two nodes.
    pub nsqlookupd: Option<PathBuf>,
    /// The Go nsqlookupd, for one of them.
    pub go_nsqlookupd: Option<PathBuf>,
    /// Ours once more, loading libraries as most programs do.
    pub dynamic_nsqd: Option<PathBuf>,
    /// The Go nsqd as control, if asked for.
    pub go_nsqd: Option<PathBuf>,
    pub seed: u64,
    /// Data of failed runs is kept.
    pub keep: bool,
    pub progress: fn(&str),
}

pub struct Row {
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    /// What is counted, and how often it is done in the slice and in the long run.
    pub rounds: &'static str,
    pub slice: usize,
    pub long: usize,
    pub needs: &'static [Need],
    /// The Go nsqd must break a promise here, else the run proves nothing.
    pub control_must_break: bool,
    pub run: fn(&Setting, usize) -> Result<Outcome>,
}

pub struct Outcome {
    pub ours: Vec<Finding>,
    pub control: Option<Finding>,
}

impl Outcome {
    fn of(ours: Finding, control: Option<Finding>) -> Self {
        Self {
            ours: vec![ours],
            control,
        }
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "kill",
        about: "kill -9 at random moments under 64 publishers, restart on the same data",
        rounds: "kills",
        slice: 10,
        long: 200,
        needs: &[],
        control_must_break: true,
        run: kill::run,
    },
    Row {
        name: "failover",
        about: "a pair at level fsync with --mirror-ack=peer and --on-peer-loss=block under 16 publishers: kill -9 of \
                either node, its peer adopts, it comes back (and is killed doing so), both mirror again",
        rounds: "failovers",
        slice: 3,
        long: 100,
        needs: &[],
        control_must_break: false,
        run: failover::run,
    },
    Row {
        name: "adopt-after",
        about: "a pair with --adopt-after and two nsqlookupds, under 16 publishers: kill -9 of a node, its peer adopts by \
                itself; then both live and only their links end; then a node and both nsqlookupds die, which come back; from \
                the second round on one stands still (SIGSTOP) until it is adopted, and goes on",
        rounds: "rounds",
        slice: 1,
        long: 20,
        needs: &[],
        control_must_break: false,
        run: adopt_after::run,
    },
    Row {
        name: "relocate",
        about: "nsq_to_nsq --relocate between two nodes under 16 publishers, in either direction: it, the source or the \
                target dies (kill -9) in three of four runs",
        rounds: "relocations",
        slice: 6,
        long: 100,
        needs: &[],
        control_must_break: false,
        run: relocate::run,
    },
    Row {
        name: "power",
        about: "power cut (ext4 shut down without a flush) under 64 publishers at level fsync",
        rounds: "cuts",
        slice: 4,
        long: 100,
        needs: &[
            Need::Root,
            Need::Program("mkfs.ext4"),
            Need::Program("python3"),
        ],
        control_must_break: true,
        run: power::run,
    },
    Row {
        name: "fsync-error",
        about: "one fdatasync fails with EIO (strace), at a random time; when the server has ended, the power is cut",
        rounds: "failures",
        slice: 2,
        long: 30,
        needs: &[
            Need::Root,
            Need::Program("strace"),
            Need::Program("python3"),
        ],
        control_must_break: false,
        run: failing_disk::sync,
    },
    Row {
        name: "write-error",
        about: "in turn: one write fails with EIO, one is short and the next fails (a limit on file sizes), \
                every seventh is interrupted (EINTR)",
        rounds: "failures",
        slice: 3,
        long: 30,
        needs: &[Need::Root, Need::Program("strace")],
        control_must_break: false,
        run: failing_disk::write,
    },
    Row {
        name: "full-disk",
        about: "16 publishers fill a volume of 64 MiB while all channels are paused, then consumers go on; \
                kill -9 in every second round",
        rounds: "times",
        slice: 2,
        long: 10,
        needs: &[Need::Root],
        control_must_break: true,
        run: full_disk::run,
    },
    Row {
        name: "torn-tail",
        about: "the last segment is cut at every byte of its last records; recovered, published to, crashed, recovered",
        rounds: "records",
        slice: 2,
        long: 6,
        needs: &[],
        control_must_break: false,
        run: damage::torn_tail,
    },
    Row {
        name: "bit-flips",
        about: "one random bit of a segment, spill file, checkpoint or the identity is flipped",
        rounds: "bits",
        slice: 300,
        long: 10_000,
        needs: &[],
        control_must_break: false,
        run: damage::bit_flips,
    },
    Row {
        name: "segments",
        about: "each segment in turn is deleted, zeroed, emptied, swapped, copied over another, replaced by \
                another node's",
        rounds: "times",
        slice: 1,
        long: 5,
        needs: &[],
        control_must_break: false,
        run: damage::segments,
    },
    Row {
        name: "in-flight",
        about: "kill -9 while a consumer holds 2,500 messages",
        rounds: "kills",
        slice: 1,
        long: 10,
        needs: &[],
        control_must_break: true,
        run: in_flight::run,
    },
    Row {
        name: "stop",
        about: "SIGSTOP for one to five seconds under 64 publishers",
        rounds: "stops",
        slice: 1,
        long: 10,
        needs: &[],
        control_must_break: false,
        run: stop::run,
    },
    Row {
        name: "slow-disk",
        about: "each fdatasync takes 50 ms longer (strace), 64 publishers at level fsync",
        rounds: "times 3 s",
        slice: 1,
        long: 10,
        needs: &[Need::Program("strace")],
        control_must_break: false,
        run: stop::slow_disk,
    },
    Row {
        name: "slow-writes",
        about: "each write begins 10 ms late (strace), kill -9 at random moments under 64 publishers",
        rounds: "kills",
        slice: 3,
        long: 30,
        needs: &[Need::Program("strace")],
        control_must_break: false,
        run: kill::slow_writes,
    },
    Row {
        name: "open-files",
        about: "200 connections at a server that may have 64 files, publishing goes on; kill -9",
        rounds: "times",
        slice: 1,
        long: 5,
        needs: &[Need::Program("prlimit")],
        control_must_break: false,
        run: connections::open_files,
    },
    Row {
        name: "clock",
        about: "the wall clock jumps by +-1 h and +-10 years (libfaketime) under 64 publishers, kill -9, and back",
        rounds: "jumps there and back",
        slice: 4,
        long: 20,
        needs: &[Need::FakeTime],
        control_must_break: false,
        run: clock::run,
    },
    Row {
        name: "storm",
        about: "2,000 consumers close and come back at once, a bystander publishes",
        rounds: "storms",
        slice: 1,
        long: 20,
        needs: &[],
        control_must_break: false,
        run: connections::storm,
    },
    Row {
        name: "stuck-consumers",
        about: "8 consumers that never read and one that does, 40,000 messages of 1 kB",
        rounds: "times",
        slice: 1,
        long: 5,
        needs: &[],
        control_must_break: false,
        run: connections::stuck,
    },
    Row {
        name: "half-open",
        about: "200 consumers hold a message each and do not answer heartbeats any more",
        rounds: "times",
        slice: 1,
        long: 10,
        needs: &[],
        control_must_break: false,
        run: connections::half_open,
    },
    Row {
        name: "recovery",
        about: "a start that reads a journal of 256 MiB",
        rounds: "starts",
        slice: 2,
        long: 10,
        needs: &[],
        control_must_break: false,
        run: backlog::recovery,
    },
    Row {
        name: "backlog",
        about: "a backlog of bodies of 4 kB is built, recovered after kill -9, drained",
        rounds: "GiB",
        slice: 1,
        long: 10,
        needs: &[],
        control_must_break: false,
        run: backlog::run,
    },
];

impl Setting {
    fn ours(&self, durability: &str) -> Program {
        Program {
            path: self.nsqd.clone(),
            flags: vec![format!("--durability={durability}")],
        }
    }

    fn nsq_to_nsq(&self) -> Result<PathBuf> {
        self.nsq_to_nsq.clone().context("--nsq-to-nsq is needed")
    }

    fn go(&self, flags: &[&str]) -> Option<Program> {
        self.go_nsqd.as_ref().map(|path| Program {
            path: path.clone(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        })
    }

    /// A data path.
    fn data(&self) -> Result<TempDir> {
        volume::temporary(&std::env::temp_dir())
    }

    fn keep_if_bad(&self, data: TempDir, finding: &Finding) {
        if self.keep && !finding.is_good() {
            let path = data.keep();
            eprintln!(
                "the data of {} is kept in {}",
                finding.server,
                path.display()
            );
        }
    }
}
