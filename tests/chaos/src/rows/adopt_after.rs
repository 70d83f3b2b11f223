//! A pair that nobody orders anything: `--adopt-after`, with two nsqlookupds that say whether a node is gone.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nsq_rig::{Connection, Program, Server, Signal, push_pub};

use super::two::{Status, Two, around, judged};
use super::{Outcome, Setting};
use crate::consumer::READY;
use crate::finding::{Finding, times};
use crate::load::Tally;
use crate::stage::{Manners, Stage};

/// Publishers of each node.
const PUBLISHERS: u64 = 8;
/// `--adopt-after`, seconds.
const AFTER: f64 = 2.0;
/// A node that is not to be adopted is left alone for so many times that.
const TIMES: f64 = 3.0;
/// Seconds after which the word of an nsqlookupd counts that was started anew.
const SETTLED: f64 = 20.0;
/// Seconds after which at the earliest one is missed that is still connected: it may have said PING just before.
const PING_MISSED: f64 = 20.0;
/// As short as it may be, for one who says PING every 15 seconds.
const INACTIVE: &str = "--inactive-producer-timeout=20s";
/// A topic that nobody consumes.
const KEPT: &str = "kept";
/// What a pair may take for anything; far more than it ever takes.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn run(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let manners = Manners {
        refusals: true,
        paired: true,
        ..Manners::default()
    };
    let mut lookupds = Lookupds::start(setting)?;
    let stages = Stage::pair(manners);
    let mut driven = Driven::default();
    let data = around(setting, &stages, PUBLISHERS, |stages| {
        drive(setting, stages, &mut lookupds, rounds, &mut driven)
    })?;
    let mut finding = Finding::new("ours, fsync, peer, block");
    finding.count("rounds", rounds as u64);
    let tally = Tally::of(&stages[0]);
    // What its consumers held when it stood still is delivered by its peer, and nobody crashed.
    let held = u64::from(READY) * stages[0].consumers() as u64;
    tally.judge_but(&mut finding, held * driven.mistakes);
    finding.count("adopted", driven.adopted);
    finding.count("refused", tally.refused);
    times(
        &mut finding,
        "adopted after (--adopt-after=2s)",
        "worst",
        &driven.adoptions,
    );
    Ok(judged(setting, data, finding))
}

/// What was seen of the servers.
#[derive(Default)]
struct Driven {
    /// From the death to the end of the adoption, milliseconds.
    adoptions: Vec<f64>,
    adopted: u64,
    /// Adoptions of a node that lived.
    mistakes: u64,
}

/// Two nsqlookupds; the second is Go's if there is one.
struct Lookupds {
    programs: [Program; 2],
    running: Vec<Server>,
}

impl Lookupds {
    fn start(setting: &Setting) -> Result<Self> {
        let ours = setting.nsqlookupd.clone();
        let ours = ours.context("--nsqlookupd is needed")?;
        let second = setting.go_nsqlookupd.clone();
        let program = |path| Program {
            path,
            flags: vec![INACTIVE.to_owned()],
        };
        let mut lookupds = Self {
            programs: [program(ours.clone()), program(second.unwrap_or(ours))],
            running: Vec::new(),
        };
        lookupds.raise()?;
        // They come back where they were.
        for (program, server) in lookupds.programs.iter_mut().zip(&lookupds.running) {
            let address = server.tcp_address()?;
            program.flags.push(format!("--tcp-address={address}"));
        }
        Ok(lookupds)
    }

    fn raise(&mut self) -> Result<()> {
        for program in &self.programs {
            let mut server = Server::start_stateless(program)?;
            server.wait_ready()?;
            self.running.push(server);
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.running.drain(..).try_for_each(Server::kill)
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>> {
        self.running.iter().map(Server::tcp_address).collect()
    }
}

fn drive(
    setting: &Setting,
    stages: &[Stage; 2],
    lookupds: &mut Lookupds,
    rounds: usize,
    driven: &mut Driven,
) -> Result<[tempfile::TempDir; 2]> {
    let asked = lookupds.addresses()?;
    let asked = asked.iter().map(|at| format!("--lookupd-tcp-address={at}"));
    let flags: Vec<String> = [format!("--adopt-after={AFTER}s")]
        .into_iter()
        .chain(asked)
        .collect();
    let pair = Two::paired(setting, &flags)?;
    let mut alone = Unwatched {
        pair,
        stages,
        lookupds,
        driven,
    };
    alone.wait_mirrored()?;
    alone.pair.open(stages)?;
    let steps: [(&str, Step<'_>); 4] = [
        ("a node is gone", Unwatched::gone),
        ("both live", Unwatched::parted),
        ("nobody to ask", Unwatched::blind),
        ("a node is silent", Unwatched::silent),
    ];
    for round in 0..rounds {
        // The last one takes long.
        let most = if round == 0 { 3 } else { 4 };
        for (what, step) in steps.into_iter().take(most) {
            (setting.progress)(&format!("round {} of {rounds}: {what}", round + 1));
            let done = alone.keep_some().and_then(|()| step(&mut alone, round % 2));
            done.with_context(|| format!("round {}, {what}", round + 1))?;
            if stages.iter().any(Stage::has_failed) {
                return Ok(alone.pair.end()); // the client says what it is
            }
        }
    }
    alone.pair.delete_topic(KEPT)?;
    alone.pair.drain(stages, PATIENCE)?;
    Ok(alone.pair.end())
}

/// What is done to a pair; the number is the node's that suffers.
type Step<'a> = fn(&mut Unwatched<'a>, usize) -> Result<()>;

/// A pair that nobody watches but the nsqlookupds.
struct Unwatched<'a> {
    pair: Two,
    stages: &'a [Stage; 2],
    lookupds: &'a mut Lookupds,
    driven: &'a mut Driven,
}

impl Unwatched<'_> {
    /// Something to adopt, however fast the consumers are.
    fn keep_some(&mut self) -> Result<()> {
        for at in 0..2 {
            let mut connection = Connection::open(self.pair.address(at)?)?;
            let mut command = Vec::new();
            push_pub(&mut command, KEPT, b"kept");
            let began = Instant::now();
            loop {
                connection.send(&command)?;
                match connection.ok() {
                    Ok(()) => break,
                    // A slow machine: the peer was taken for lost, and nothing is accepted until it catches up.
                    Err(error) if error.kind() == ErrorKind::InvalidData => {
                        ensure!(began.elapsed() < PATIENCE, "{error}");
                        std::thread::sleep(super::two::LOOK);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Its peer adopts, and delivers what it had; then both merge.
    fn gone(&mut self, victim: usize) -> Result<()> {
        let survivor = 1 - victim;
        self.settled(survivor)?;
        let before = self.pair.status(survivor)?;
        let killed = Instant::now();
        self.kill(victim)?;
        self.adopts(survivor, &before)?;
        let took = killed.elapsed().as_secs_f64();
        self.driven.adoptions.push(took * 1000.0);
        ensure!(took >= AFTER, "adopted after {took} seconds already");
        self.come_back(victim)
    }

    /// Both nsqlookupds are worth asking.
    fn settled(&mut self, at: usize) -> Result<()> {
        let is_settled = |status: &Status| {
            let witnesses = &status.adopt_after.witnesses;
            let mut connected = witnesses.iter().map(|witness| witness.connected_seconds);
            witnesses.len() == 2 && connected.all(|seconds| seconds >= Some(SETTLED))
        };
        self.pair
            .wait_one(at, "connected for long enough", PATIENCE, is_settled)
    }

    /// The links end, and the nsqlookupds hear of both: nobody adopts.
    fn parted(&mut self, _: usize) -> Result<()> {
        self.pair.part();
        for at in 0..2 {
            self.stays(at, &["has heard of the peer"])?;
        }
        self.pair.join()?;
        self.wait_mirrored()
    }

    /// The nsqlookupds are gone as well: nobody adopts until they are back, and have had time to hear of the node.
    fn blind(&mut self, victim: usize) -> Result<()> {
        let survivor = 1 - victim;
        let before = self.pair.status(survivor)?;
        self.lookupds.kill()?;
        self.kill(victim)?;
        let few = ["0 of 2 nsqlookupds", "unanswered"];
        self.stays(survivor, &few)?;
        self.lookupds.raise()?;
        self.stays(survivor, &["0 of 2 nsqlookupds", "young"])?;
        self.adopts(survivor, &before)?;
        self.come_back(victim)
    }

    /// It stands still, and all its connections with it; then it goes on, and has been adopted by mistake.
    fn silent(&mut self, victim: usize) -> Result<()> {
        let survivor = 1 - victim;
        self.settled(survivor)?;
        let before = self.pair.status(survivor)?;
        let stopped = Instant::now();
        self.pair.signal(victim, Signal::STOP)?;
        self.adopts(survivor, &before)?;
        let took = stopped.elapsed().as_secs_f64();
        self.driven.mistakes += 1;
        ensure!(took >= PING_MISSED, "adopted after {took} seconds already");
        self.pair.signal(victim, Signal::CONT)?;
        self.wait_mirrored()
    }

    fn kill(&mut self, victim: usize) -> Result<()> {
        self.pair.kill_under(victim, self.stages, PUBLISHERS)
    }

    fn adopts(&mut self, survivor: usize, before: &Status) -> Result<()> {
        let wanted = before.adopt_after.adoptions + 1;
        let is_done = |status: &Status| {
            let adoption = status.adoption.as_ref();
            status.adopt_after.adoptions == wanted && adoption.is_some_and(|it| it.done)
        };
        self.pair.wait_one(survivor, "adopted", PATIENCE, is_done)?;
        let imported = self.pair.status(survivor)?.imported;
        self.driven.adopted += imported - before.imported;
        Ok(())
    }

    /// Waits, well beyond the time, until it has these words for not adopting, or for all its witnesses.
    fn stays(&mut self, at: usize, words: &[&str]) -> Result<()> {
        let began = Instant::now();
        let adoptions = self.pair.status(at)?.adopt_after.adoptions;
        loop {
            let alone = self.pair.status(at)?.adopt_after;
            ensure!(alone.adoptions == adoptions, "it has adopted: {alone:?}");
            let is_said = |word: &&str| {
                let mut witnesses = alone.witnesses.iter();
                alone.waits_for.contains(word) || witnesses.all(|witness| witness.says == *word)
            };
            if alone.silent_seconds >= TIMES * AFTER && words.iter().all(is_said) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("does not say {words:?}: {alone:?}");
            }
            std::thread::sleep(super::two::LOOK);
        }
    }

    fn come_back(&mut self, victim: usize) -> Result<()> {
        self.pair.raise(victim)?;
        self.stages[victim].raise(self.pair.address(victim)?);
        self.wait_mirrored()
    }

    fn wait_mirrored(&mut self) -> Result<()> {
        self.pair.wait_mirrored("mirrored", PATIENCE)
    }
}
