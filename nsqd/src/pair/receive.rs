//! The holder's side: what arrives goes into the own journal first, then into the mirror.

use std::sync::Arc;

use nsq_journal::{JournalError, Lsn, Position, Record, check_slice};
use nsq_protocol::{PairAdoption, PairMessage, PairMirror};

use super::handover::release;
use super::holder::{Greeting, Holding, greet};
use super::mirror::{Heard, Mirror, News};
use super::origin::word;
use super::runs::Runs;
use super::state::mirror_from;
use super::{Pair, Shared, adoption};
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// What a record of the peer's journal came to.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot be taken now; the peer comes back.
    Journal(JournalError),
    /// It makes no sense.
    Nonsense(&'static str),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Nonsense(what) => f.write_str(what),
        }
    }
}

/// The holder's link that says so does not count any more: what it still brings is of a run that may be over.
const OUTDATED: Refusal = Refusal::Nonsense("there is a newer link");

/// Bytes of a mirror record's payload before its slice.
const SLICE_AT: u32 = 24;

impl Pair {
    /// The origin says HELLO; what to answer.
    pub(super) fn greeted(
        &self,
        nsqd: &Arc<Nsqd>,
        incarnation: u64,
        runs: &Runs,
        lost: Option<Lsn>,
    ) -> Result<Greeting, JournalError> {
        let mut shared = self.shared.lock();
        shared.heard = nsqd.clock.now();
        shared.heard_run = runs.runs.last().map(|run| run.run);
        loop {
            let greeting = greet(incarnation, runs, lost, &self.holding(&shared));
            match greeting {
                Greeting::Adopt(_) => {
                    adoption::begin(self, nsqd, &mut shared)?;
                    return Ok(greeting);
                }
                Greeting::Cut(position) => self.cut(nsqd, &mut shared, position)?,
                Greeting::Wait(_) | Greeting::Welcome => return Ok(greeting),
            }
        }
    }

    pub(super) fn holding(&self, shared: &Shared) -> Holding {
        let mirror = shared.mirror.as_ref();
        Holding {
            mirror: mirror.map(|mirror| (mirror.incarnation, mirror.end)),
            pending: mirror.is_some_and(Mirror::is_pending),
            adoption: shared.adoption,
            level_write: self.level == Durability::Write,
        }
    }

    fn cut(
        &self,
        nsqd: &Arc<Nsqd>,
        shared: &mut Shared,
        position: Position,
    ) -> Result<(), JournalError> {
        tracing::info!(
            "PAIR: {} lost what came after {}, cutting it off",
            self.peer,
            position.lsn
        );
        nsqd.journal.append(&Record::MirrorCut { position })?;
        let mut news = News::default();
        if let Some(mirror) = &mut shared.mirror {
            mirror.cut(position, shared.adoption.as_mut(), &mut news);
        }
        shared.unkept.clear();
        shared.kept = None;
        self.spread(nsqd, news);
        Ok(())
    }

    /// What WELCOME says, once everything mirrored is kept.
    pub(super) fn welcome(
        &self,
        nsqd: &Nsqd,
        link: u64,
        incarnation: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let mut shared = self.shared.lock();
        if shared.holder_link != link {
            return Err(OUTDATED);
        }
        let of_it = |other: u64| other == incarnation;
        let mirror = shared
            .mirror
            .as_ref()
            .filter(|mirror| of_it(mirror.incarnation));
        let told = mirror.map(|mirror| PairMirror {
            end: word(mirror.end),
            whole: mirror.whole,
        });
        let end = mirror.map(|mirror| mirror.end);
        let adoption = shared
            .adoption
            .filter(|adoption| of_it(adoption.incarnation));
        PairMessage::Welcome {
            node: &self.node,
            incarnation: nsqd.journal.incarnation(),
            mirror: told,
            adoption: adoption.map(|adoption| told_adoption(&adoption)),
        }
        .encode(out);
        shared.kept = end;
        shared.unkept.clear();
        Ok(())
    }

    /// START: where the stream begins.
    pub(super) fn started(
        &self,
        nsqd: &Arc<Nsqd>,
        link: u64,
        incarnation: u64,
        (position, whole): (Position, bool),
    ) -> Result<(), Refusal> {
        let mut shared = self.shared.lock();
        if shared.holder_link != link {
            return Err(OUTDATED);
        }
        let goes_on = shared.mirror.as_ref().is_some_and(|mirror| {
            mirror.incarnation == incarnation && mirror.end == position && (whole || !mirror.whole)
        });
        if !goes_on {
            let began = nsqd.journal.append(&Record::MirrorFrom {
                incarnation,
                position,
                whole,
                node: &self.peer,
            });
            began.map_err(Refusal::Journal)?;
            let start = (position, whole);
            let old = mirror_from(
                &mut shared.mirror,
                incarnation,
                &self.peer,
                start,
                self.level,
            );
            for topic in old.iter().flat_map(Mirror::topics) {
                topic.live.mark_deleted();
                nsqd.spill.delete_topic(topic.live.number);
            }
        }
        shared.holder_up = true;
        Ok(())
    }

    /// RECORD: returns where its end is in the own journal.
    pub(super) fn received(
        &self,
        nsqd: &Arc<Nsqd>,
        link: u64,
        incarnation: u64,
        (run, from, to): (u64, Lsn, Lsn),
        slice: &[u8],
    ) -> Result<Lsn, Refusal> {
        let mut shared = self.shared.lock();
        if shared.holder_link != link {
            return Err(OUTDATED);
        }
        let shared = &mut *shared;
        let mirror = shared.mirror.as_mut();
        let mirror = mirror.filter(|mirror| mirror.incarnation == incarnation);
        let mirror = mirror.ok_or(Refusal::Nonsense("records of a journal without a mirror"))?;
        if from != mirror.end.lsn || run < mirror.end.run || to < from {
            return Err(Refusal::Nonsense("records out of order"));
        }
        if !check_slice(incarnation, run, from, to, slice) {
            return Err(Refusal::Nonsense("damaged records"));
        }
        let placed = nsqd.journal.place(&Record::Mirror {
            run,
            from,
            to,
            slice,
            at: 0,
        });
        let placed = placed.map_err(Refusal::Journal)?;
        let end = Position { run, lsn: to };
        let at = placed.bodies_at + SLICE_AT;
        let kept = placed.chunk.bytes(at, slice.len() as u32);
        let options = |name: &str| super::topic_options(&nsqd.options, name);
        let mut news = News::default();
        mirror.apply(end, kept, at, &placed.chunk, &options, &mut news);
        shared.unkept.push_back((placed.end, end));
        self.spread(nsqd, news);
        Ok(placed.end)
    }

    /// What the own topics have to know of what the peer said. The pair's lock is held.
    fn spread(&self, nsqd: &Arc<Nsqd>, news: News) {
        for topic in news.touched {
            match news.released {
                Some(through) => release(nsqd, &topic, through),
                None => topic.change_now(nsqd, |_, _| ()),
            }
            if topic.read(|queue| queue.is_crowded()) {
                nsqd.page_soon(&topic);
            }
        }
        for number in news.dropped {
            nsqd.spill.delete_topic(number);
        }
        for (topic, channel) in news.names {
            ensure(nsqd, &topic, channel.as_deref());
        }
        for heard in news.finished {
            heard_of(nsqd, &heard);
        }
    }

    /// The latest position that is kept at the level and was not acknowledged yet.
    pub(super) fn to_acknowledge(&self, nsqd: &Nsqd) -> Option<Position> {
        let kept = match self.level {
            Durability::Fsync => nsqd.journal.durable(),
            _ => nsqd.journal.written(),
        };
        let mut shared = self.shared.lock();
        let mut last = None;
        while let Some(&(end, position)) = shared.unkept.front()
            && end <= kept
        {
            shared.unkept.pop_front();
            last = Some(position);
        }
        if let Some(position) = last {
            shared.kept = Some(position);
            let whole = shared.mirror.as_ref().is_some_and(|mirror| mirror.whole);
            drop(shared);
            self.finishes.lock().mirrored(position.lsn, whole);
            self.watch.notify_one(); // perhaps the own mirror covers a hand-over now
        }
        last
    }

    /// After a start, when spill files can be read: what was let go of is let go of there too.
    pub(crate) fn finish_releases(&self, nsqd: &Arc<Nsqd>, own: Lsn) {
        let shared = self.shared.lock();
        for topic in nsqd.topics().iter().filter(|_| own > 0) {
            release(nsqd, topic, own);
        }
        if let Some(mirror) = shared.mirror.as_ref().filter(|mirror| mirror.released > 0) {
            for topic in mirror.topics() {
                release(nsqd, &topic.live, mirror.released);
            }
        }
    }

    /// After a start: whatever the mirror has exists here.
    pub(crate) fn ensure_names(&self, nsqd: &Arc<Nsqd>) {
        let shared = self.shared.lock();
        for topic in shared.mirror.iter().flat_map(Mirror::topics) {
            ensure(nsqd, &topic.live.name, None);
            let names = topic.live.read(|queue| {
                let names = queue.channels().map(|channel| channel.name.clone());
                names.collect::<Vec<_>>()
            });
            for name in names {
                ensure(nsqd, &topic.live.name, Some(&name));
            }
        }
    }
}

/// An adoption, as the link words it.
pub(super) fn told_adoption(adoption: &super::Adoption) -> PairAdoption {
    PairAdoption {
        through: word(adoption.through),
        done: adoption.done.map(word),
    }
}

/// A topic or channel that the peer has exists here too, so that consumers are here before they are needed.
pub(super) fn ensure(nsqd: &Arc<Nsqd>, topic: &str, channel: Option<&str>) {
    let made = nsqd.topic(topic).and_then(|topic| match channel {
        Some(channel) => topic.create_channel(nsqd, channel).map(|_| ()),
        None => Ok(()),
    });
    if let Err(error) = made {
        tracing::error!(
            "PAIR: cannot create {topic} {} - {error}",
            channel.unwrap_or("")
        );
    }
}

/// R15: FINs merge by id, both ways. An owner that learns one writes it into its own journal.
fn heard_of(nsqd: &Arc<Nsqd>, heard: &Heard) {
    let Some(topic) = nsqd.find_topic(&heard.topic) else {
        return;
    };
    let finished = topic.change_now(nsqd, |queue, effects| {
        let mut finished = 0;
        for &(first_id, count) in &heard.ranges {
            finished += queue.finish_known(&heard.channel, first_id, count, effects);
        }
        // At once, and what was finished here a moment ago too: the peer forgets its own once it has heard of these (R16).
        let first = heard.ranges.iter().map(|range| range.0).min().unwrap_or(0);
        let end = heard.ranges.iter().map(|range| range.0 + range.1).max();
        let is_told = |end| queue.has_unlogged_finish(&heard.channel, first, end);
        match finished > 0 || end.is_some_and(is_told) {
            true => crate::journal_log::log_queue(nsqd, queue),
            false => Ok(()),
        }
    });
    if let Err(error) = finished {
        tracing::error!("TOPIC({}): {error}", heard.topic);
    }
}
