//! Somebody empties a channel, on one node or on both, parted or not. What was there need not be delivered; what comes
//! later must be, and what both have emptied and told each other of must not come back.

use nsqd::engine::pair;

use super::finishes::{Emptied, Fate};
use super::world::PairWorld;

/// Empties a channel on the nodes that are `told` and up.
pub fn empty(world: &PairWorld, topic: &'static str, channel: &'static str, told: [bool; 2]) {
    let mut by = [None, None];
    for index in (0..2).filter(|&index| told[index]) {
        let Some(nsqd) = world.nsqd(index) else {
            continue;
        };
        let emptied = nsqd.topic(topic).and_then(|own| {
            let emptied = own.empty_channel(&nsqd, channel);
            emptied.map(|_| nsqd.journal.tail())
        });
        match emptied {
            Ok(tail) => by[index] = Some((world.life(index), tail, pair::adoptions(&nsqd))),
            // Before the channel was made on a blank node there is nothing to empty; a disk that fails is its own story.
            Err(_) => continue,
        }
        world.note(&format!("{channel} of {topic} is emptied at {index}"));
    }
    if by == [None, None] {
        return;
    }
    let numbers = world.auditor.lock().emptied(topic, channel);
    if let [Some(a), Some(b)] = by {
        let fate = |number| -> Fate { (topic, channel, number) };
        let fates = numbers.into_iter().map(fate).collect();
        let by = [a, b];
        world.finishes.lock().emptied(Emptied { fates, by });
    }
}
