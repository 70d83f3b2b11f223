//! Somebody empties or deletes a channel, or deletes a topic, on one node or on both, parted or not. What those who
//! were told own need not be delivered any more, and must not come back once both copies have heard of it. What only
//! the other owns stays, and must be delivered. Channels are made again by whoever consumes.

use std::collections::BTreeSet;
use std::sync::Arc;

use nsqd::engine::pair;
use nsqd::{Kept, Nsqd};

use super::finishes::{Emptied, Fate};
use super::world::PairWorld;
use crate::plan::TOPICS;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    EmptyChannel,
    DeleteChannel,
    DeleteTopic,
}

/// A channel of a topic.
type Place = (&'static str, &'static str);

/// Channels that are not there, on one of the nodes.
#[derive(Debug, Default)]
pub struct Absent {
    /// Something was deleted in this world: before, all channels are always there.
    watched: bool,
    places: BTreeSet<Place>,
    /// What must be delivered on them all the same: the node that was not told owns it.
    spared: BTreeSet<Fate>,
}

/// Removes what is at the `places` of one topic from the nodes that are `told` and up.
pub fn remove(world: &PairWorld, removal: Removal, places: &[Place], told: [bool; 2]) {
    let before = [0, 1].map(|index| owned(world, index, places));
    let importing = (0..2).any(|index| {
        let nsqd = world.nsqd(index);
        nsqd.is_some_and(|nsqd| pair::is_importing(&nsqd))
    });
    let mut by = [None, None];
    for index in (0..2).filter(|&index| told[index]) {
        if let Some(nsqd) = world.nsqd(index)
            && let Some(kept) = carry_out(&nsqd, removal, places)
        {
            by[index] = Some((
                world.life(index),
                nsqd.journal.tail(),
                pair::adoptions(&nsqd),
            ));
            world
                .course
                .note(&format!("{removal:?} {places:?} at {index}"));
            if world.plan.lazy {
                // Whoever did it waits for the answer.
                tokio::spawn(async move { nsqd.keep(kept).await });
            }
        }
    }
    let only = match by {
        [None, None] => return,
        [Some(_), Some(_)] => None,
        [Some(_), None] => Some(0),
        [None, Some(_)] => Some(1),
    };
    let spared: BTreeSet<Fate> = match (only, &before) {
        // What is being taken over may be gone from one and not yet here.
        (Some(told), [Some(a), Some(b)]) if !importing => match told {
            0 => b - a,
            _ => a - b,
        },
        _ => BTreeSet::new(),
    };
    let excused = excuse(world, places, &spared);
    let mut absent = world.absent.lock();
    absent
        .spared
        .retain(|fate| !places.contains(&(fate.0, fate.1)));
    absent.spared.extend(spared);
    if removal != Removal::EmptyChannel {
        world.finishes.lock().forget(places);
        absent.watched = true;
        absent.places.extend(places);
    }
    drop(absent);
    if importing {
        return;
    }
    let fates = match (only, before) {
        (None, _) => excused,
        (Some(0), [Some(a), Some(b)]) => (&a - &b).into_iter().collect(),
        (Some(_), [Some(a), Some(b)]) => (&b - &a).into_iter().collect(),
        _ => return, // nobody knows what the other one owns
    };
    // Of whoever was not told nothing need be known, but that it goes on.
    let by = [0, 1].map(|index| by[index].or_else(|| lives_on(world, index)));
    if let [Some(a), Some(b)] = by {
        let by = [a, b];
        world.finishes.lock().emptied(Emptied { fates, by });
    }
}

/// False: there was nothing to remove.
fn carry_out(nsqd: &Arc<Nsqd>, removal: Removal, places: &[Place]) -> Option<Kept> {
    let topic = nsqd.find_topic(places[0].0)?;
    let channel = places[0].1;
    // A disk that fails is its own story.
    match removal {
        Removal::EmptyChannel => topic.empty_channel(nsqd, channel).ok()?.ok(),
        Removal::DeleteChannel => topic.delete_channel(nsqd, channel).ok()?.ok(),
        Removal::DeleteTopic => nsqd.delete_topic(places[0].0).ok()?,
    }
}

fn lives_on(world: &PairWorld, index: usize) -> Option<(u64, u64, u64)> {
    let nsqd = world.nsqd(index)?;
    Some((world.life(index), 0, pair::adoptions(&nsqd)))
}

/// What a node's own topics have not finished there; `None` of one that is not up.
fn owned(world: &PairWorld, index: usize, places: &[Place]) -> Option<BTreeSet<Fate>> {
    let nsqd = world.nsqd(index)?;
    let mut found = BTreeSet::new();
    pair::unfinished(&nsqd, &mut |topic, channel, body| {
        let mut places = places.iter();
        let place = places.find(|place| **place == (topic, channel));
        if let (Some(&(topic, channel)), Some(number)) = (place, nsq_auditor::decode(body)) {
            found.insert((topic, channel, number));
        }
    });
    Some(found)
}

/// What was sent so far need not be delivered there, but for what is spared. What had been acknowledged of it.
fn excuse(world: &PairWorld, places: &[Place], spared: &BTreeSet<Fate>) -> Vec<Fate> {
    let mut auditor = world.auditor.lock();
    let mut fates = Vec::new();
    for &(topic, channel) in places {
        let is_spared = |number| spared.contains(&(topic, channel, number));
        let numbers = auditor.emptied(topic, channel, &is_spared);
        fates.extend(numbers.into_iter().map(|number| (topic, channel, number)));
    }
    fates
}

/// What is published where a channel is not there does not get to it.
pub fn look(world: &PairWorld) {
    let mut absent = world.absent.lock();
    if !absent.watched {
        return;
    }
    let up: Vec<_> = (0..2).filter_map(|index| world.nsqd(index)).collect();
    let all = TOPICS
        .iter()
        .flat_map(|&(topic, channels)| channels.iter().map(move |&channel| (topic, channel)));
    let is_missing = |&(topic, channel): &Place| {
        up.iter().any(|nsqd| {
            let topic = nsqd.find_topic(topic);
            !topic.is_some_and(|topic| topic.read(|queue| queue.channel(channel).is_some()))
        })
    };
    let missing: BTreeSet<Place> = all.filter(is_missing).collect();
    // It may have been made again since the last look, and what was sent before that did not get there.
    let places: Vec<Place> = missing.union(&absent.places).copied().collect();
    excuse(world, &places, &absent.spared);
    absent.places = missing;
}
