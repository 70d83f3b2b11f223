//! `--adopt-after`, carried out: asks the nsqlookupds, and adopts when the rule says so.

use std::sync::Arc;
use std::time::Duration;

use nsq_http_api::{AdoptAfterStatus, WitnessStatus};
use tokio::time::MissedTickBehavior;

use super::adopt_after::{Left, Own, Reason, Says, Verdict, Witnesses, judge, pace};
use super::{AdoptError, Order, Pair, Shared};
use crate::lookup::LookupLinks;
use crate::nsqd::Nsqd;

/// Looks, at this node and not at others, for each time the nsqlookupds are asked.
const LOOKS: i64 = 4;

/// What is known of a peer that may be gone.
pub(super) struct Alone {
    /// Nanoseconds.
    after: i64,
    witnesses: Witnesses,
    reason: Reason,
    /// A link was up at the last look.
    linked: bool,
    /// Adoptions that nobody ordered, since the start.
    adoptions: u64,
}

impl Alone {
    /// `None`: only when told to.
    pub(super) fn new(after: Duration) -> Option<Self> {
        (!after.is_zero()).then(|| Self {
            after: i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            witnesses: Witnesses::default(),
            reason: Reason::Starting,
            linked: false,
            adoptions: 0,
        })
    }

    /// Each change is worth a line in the log.
    fn waits(&mut self, peer: &str, reason: Reason) {
        if self.reason != reason {
            tracing::info!("PAIR: not adopting {peer}: {reason}");
            self.reason = reason;
        }
    }

    fn status(&self, silent: i64, now: i64) -> AdoptAfterStatus {
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let witnesses = self.witnesses.iter().map(|(address, witness)| {
            let says = witness.says(self.after, now);
            WitnessStatus {
                address: address.to_owned(),
                says: says.name().to_owned(),
                heard_seconds: witness.heard().map(|heard| seconds(now - heard)),
                connected_seconds: witness.connected().map(|since| seconds(now - since)),
                error: match says {
                    Says::NoAnswer(why) => why,
                    _ => String::new(),
                },
            }
        });
        AdoptAfterStatus {
            seconds: seconds(self.after),
            silent_seconds: seconds(silent),
            waits_for: self.reason.to_string(),
            adoptions: self.adoptions,
            witnesses: witnesses.collect(),
        }
    }
}

impl Pair {
    fn own(&self, nsqd: &Nsqd) -> Own {
        let mut shared = self.shared.lock();
        // Not before: a link may end while the lock is waited for.
        let now = nsqd.clock.now();
        let linked = shared.is_linked();
        let mut was_linked = false;
        self.note_alone(|alone| was_linked = std::mem::replace(&mut alone.linked, linked));
        // It may have been up until now.
        if linked || was_linked {
            shared.heard = now;
        }
        Own {
            linked,
            heard: shared.heard,
            incarnation: shared.mirror.as_ref().map(|mirror| mirror.incarnation),
            run: shared.heard_run.unwrap_or(0),
            left: match linked {
                true => Left::Messages, // nobody asks
                false => self.left(&shared),
            },
            stopping: nsqd.is_exiting(),
        }
    }

    fn left(&self, shared: &Shared) -> Left {
        let holding = self.holding(shared);
        let mirror = shared.mirror.as_ref();
        match mirror.is_some_and(|mirror| mirror.node == self.peer) && holding.pending {
            _ if shared.is_importing() => Left::Importing,
            false => Left::Nothing,
            true if holding.is_covered() => Left::Adopted,
            true => Left::Messages,
        }
    }

    /// As anybody's order, naming the run that was decided about: a peer that comes back at this moment is not adopted.
    fn adopt_alone(&self, nsqd: &Arc<Nsqd>, own: &Own) -> Result<(), AdoptError> {
        let order = Order {
            node: &self.peer,
            incarnation: own.incarnation,
            // Of the last HELLO: of a peer that died right behind it the mirror has nothing.
            run: Some(own.run),
        };
        self.order(nsqd, &order).map(drop)
    }

    /// `None`: only when told to.
    pub(super) fn adopt_after_status(&self, now: i64) -> Option<AdoptAfterStatus> {
        let silent = {
            let shared = self.shared.lock();
            match shared.is_linked() {
                true => 0,
                false => now - shared.heard,
            }
        };
        let alone = self.alone.lock();
        alone.as_ref().map(|alone| alone.status(silent, now))
    }

    fn note_alone(&self, note: impl FnOnce(&mut Alone)) {
        if let Some(alone) = self.alone.lock().as_mut() {
            note(alone);
        }
    }
}

impl Shared {
    /// The peer is heard of over one link at least.
    fn is_linked(&self) -> bool {
        self.origin_up || self.holder_up
    }
}

/// Looks after a peer that may be gone, if that was asked for. Runs until its task is ended.
pub async fn run(nsqd: Arc<Nsqd>, links: Arc<LookupLinks>) {
    let pair = &nsqd.pair;
    let Some(after) = pair.alone.lock().as_ref().map(|alone| alone.after) else {
        return;
    };
    let mut look = tokio::time::interval(Duration::from_nanos((pace(after) / LOOKS) as u64));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let own = pair.own(&nsqd);
        let now = nsqd.clock.now();
        let verdict = match pair.alone.lock().as_ref() {
            Some(alone) => judge(after, &own, &alone.witnesses, now),
            None => return,
        };
        match verdict {
            Verdict::Wait(reason) => pair.note_alone(|alone| alone.waits(&pair.peer, reason)),
            Verdict::Ask => {
                let said = links.testimonies(&pair.peer).await;
                let times = (now, nsqd.clock.now());
                pair.note_alone(|alone| alone.witnesses.take(own.linked, said, times));
                look.reset_immediately();
            }
            Verdict::Adopt => match pair.adopt_alone(&nsqd, &own) {
                Ok(()) => {
                    tracing::warn!("PAIR: {} is gone: no nsqlookupd has heard of it", pair.peer);
                    pair.note_alone(|alone| alone.adoptions += 1);
                }
                Err(error) => {
                    let reason = Reason::Refused(error.to_string());
                    pair.note_alone(|alone| alone.waits(&pair.peer, reason));
                    tokio::time::sleep(Duration::from_nanos(pace(after) as u64)).await;
                }
            },
        }
    }
}
