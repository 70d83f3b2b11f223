//! Publishers and consumers around a server that something is done to.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Result, bail};
use nsq_auditor::Verdict;
use nsq_rig::Server;

use crate::depth::is_drained;
use crate::finding::Finding;
use crate::stage::{Manners, Phase, Stage, TOPICS};
use crate::{consumer, publisher};

/// Statistics are asked for so often while the rest is drained.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);
/// No delivery and yet not drained for so many questions: it never will be.
const DRAIN_QUESTIONS: u32 = 300;
/// Complaints of the auditor that are told.
const TOLD: usize = 3;

/// Who is there.
pub struct Load<'a> {
    pub name: &'a str,
    pub seed: u64,
    pub publishers: usize,
    pub manners: Manners,
    pub progress: fn(&str),
}

/// What the clients saw.
pub struct Tally {
    pub verdict: Verdict,
    /// REQs that were sent.
    pub requeues: u64,
    /// Messages in flight at all ends of the server.
    pub interrupted: u64,
    /// Publishes answered with an error, and those not answered by a server that was there.
    pub refused: u64,
    pub unanswered: u64,
}

/// Runs the clients of `load` while `drive` does what it does to the server.
///
/// # Errors
/// What `drive` says, or a client that was told what no server may tell it.
pub fn run<T>(load: &Load<'_>, drive: impl FnOnce(&Crowd<'_>) -> Result<T>) -> Result<(T, Tally)> {
    let stage = Stage::new(load.manners);
    let (seed, publishers) = (load.seed, load.publishers as u64);
    let driven = std::thread::scope(|scope| {
        let stage = &stage;
        let threads = clients(scope, stage, seed, 0, publishers);
        let driven = drive(&Crowd {
            load,
            stage,
            consumers: stage.consumers(),
        });
        stage.enter(Phase::Over);
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a client panicked"),
            }
        }
        driven
    })?;
    let tally = Tally::of(&stage);
    Ok((driven, tally))
}

/// Starts the clients of a server: a consumer for each channel, and publishers with these numbers.
pub fn clients<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stage: &'scope Stage,
    seed: u64,
    first: u64,
    publishers: u64,
) -> Vec<ScopedJoinHandle<'scope, Result<()>>> {
    let client = |work: Box<dyn FnOnce() -> Result<()> + Send + 'scope>| {
        scope.spawn(move || {
            let result = work();
            stage.leave(result.is_err());
            result
        })
    };
    let mut threads = Vec::new();
    for &(topic, channels) in TOPICS {
        for &channel in channels {
            threads.push(client(Box::new(move || {
                consumer::run(stage, seed, topic, channel)
            })));
        }
    }
    for number in first..first + publishers {
        threads.push(client(Box::new(move || {
            publisher::run(stage, seed, number)
        })));
    }
    threads
}

/// The clients, for whoever drives the server.
pub struct Crowd<'a> {
    load: &'a Load<'a>,
    pub stage: &'a Stage,
    consumers: usize,
}

impl Crowd<'_> {
    /// The first server: waits until it listens and all consumers have subscribed, and lets the
    /// publishers begin.
    ///
    /// # Errors
    /// When it does not listen, or a consumer cannot subscribe.
    pub fn open(&self, server: &mut Server) -> Result<()> {
        self.raise(server)?;
        if !self.stage.wait_subscribed(self.consumers) {
            bail!("no consumer could subscribe\n{}", server.log());
        }
        self.stage.enter(Phase::Publish);
        Ok(())
    }

    /// Sends the clients to a new server; how long it took from its start until it listened.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn raise(&self, server: &mut Server) -> Result<Duration> {
        let (address, took) = server.wait_ready()?;
        self.stage.raise(address);
        Ok(took)
    }

    /// The server is about to end, or has ended by itself.
    pub fn mark_end(&self) {
        self.stage.mark_kill();
    }

    /// Waits until every client has noticed that the server is gone. False if one has failed: it
    /// will say why.
    pub fn wait_parked(&self) -> bool {
        self.stage
            .wait_parked(self.load.publishers + self.consumers);
        !self.stage.has_failed()
    }

    pub fn acknowledged(&self) -> u64 {
        self.stage.ledger().auditor.counts().acknowledged
    }

    pub fn refused(&self) -> u64 {
        self.stage.ledger().refused
    }

    pub fn deliveries(&self) -> u64 {
        self.stage.ledger().auditor.counts().deliveries
    }

    /// Shows on a terminal what is being done.
    pub fn say(&self, what: &str) {
        let (name, acknowledged) = (self.load.name, self.acknowledged());
        (self.load.progress)(&format!("{name}: {what}, {acknowledged} acknowledged"));
    }

    /// Ends publishing, and waits until the server says, twice, that it has nothing left.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn drain(&self, server: &mut Server) -> Result<()> {
        self.stage.enter(Phase::Drain);
        let (mut drained, mut idle) = (0, 0);
        let mut deliveries = 0;
        while drained < 2 {
            std::thread::sleep(DRAIN_PAUSE);
            let now = self.deliveries();
            self.say(&format!("draining, {now} delivered"));
            idle = if now == deliveries { idle + 1 } else { 0 };
            deliveries = now;
            if idle > DRAIN_QUESTIONS || self.stage.has_failed() {
                // What did not come is lost, and the auditor will say so.
                break;
            }
            drained = match is_drained(&server.stats()?)? {
                true => drained + 1,
                false => 0,
            };
        }
        Ok(())
    }
}

impl Tally {
    pub fn of(stage: &Stage) -> Self {
        let ledger = stage.ledger();
        Self {
            verdict: ledger.auditor.verdict(),
            requeues: ledger.requeues,
            interrupted: ledger.interrupted,
            refused: ledger.refused,
            unanswered: ledger.unanswered,
        }
    }

    /// What every run under load must show.
    pub fn judge(&self, finding: &mut Finding) {
        self.judge_but(finding, 0);
    }

    /// As [`Tally::judge`], but so many more may be repeated.
    pub fn judge_but(&self, finding: &mut Finding, more: u64) {
        let (verdict, counts) = (&self.verdict, self.verdict.counts);
        let lost = verdict.lost.len() as u64;
        let may_be_repeated = self.requeues
            + self.interrupted
            + counts.forgotten_finishes
            + counts.late_finishes
            + more;
        finding.count("acknowledged", counts.acknowledged);
        finding.count("lost", lost);
        finding.count("lost in flight", verdict.unfinished);
        finding.count("repeated", counts.repeated);
        finding.count("of these finished before", counts.forgotten_finishes);
        if counts.late_finishes > 0 {
            finding.count("of these finished long before", counts.late_finishes);
        }
        finding.must(lost == 0, || {
            format!("{lost} acknowledged messages are lost")
        });
        finding.must(verdict.unfinished == 0, || {
            format!("{} messages are lost in flight", verdict.unfinished)
        });
        finding.must(verdict.vanished == 0, || {
            format!(
                "{} messages were delivered before they were kept",
                verdict.vanished
            )
        });
        finding.must(counts.repeated <= may_be_repeated, || {
            format!(
                "{} repeated, {may_be_repeated} of them with a reason",
                counts.repeated
            )
        });
        finding.must(verdict.complaints_in_all == 0, || {
            let told = &verdict.complaints[..verdict.complaints.len().min(TOLD)];
            format!("{} wrong: {told:?}", verdict.complaints_in_all)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Tally {
        let mut verdict = Verdict::default();
        verdict.counts.acknowledged = 10;
        verdict.counts.repeated = 3;
        verdict.counts.forgotten_finishes = 1;
        Tally {
            verdict,
            requeues: 1,
            interrupted: 1,
            refused: 0,
            unanswered: 0,
        }
    }

    #[test]
    fn each_broken_promise_is_found() {
        let broken: [fn(&mut Tally); 5] = [
            |_| (),
            |tally| tally.verdict.lost.push((1, String::new(), String::new())),
            |tally| tally.verdict.unfinished = 1,
            |tally| tally.verdict.counts.repeated = 4,
            |tally| tally.verdict.complaints_in_all = 1,
        ];
        for (number, broken) in broken.iter().enumerate() {
            let (mut tally, mut finding) = (good(), Finding::new("s"));
            broken(&mut tally);
            tally.judge(&mut finding);
            assert_eq!(finding.is_good(), number == 0, "{finding:?}");
        }
    }
}
