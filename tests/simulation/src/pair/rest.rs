//! The calm at the end: everything finished, and each node with a true copy of the other.

use nsqd::Nsqd;
use nsqd::engine::pair;

use super::world::PairWorld;

fn left(nsqd: &Nsqd) -> u64 {
    let topics = nsqd.topics();
    let left = topics.iter().map(|topic| {
        let stats = topic.read(|queue| queue.stats());
        let waiting = |channel: &nsqd::engine::ChannelStats| {
            channel.depth + channel.in_flight_count + channel.deferred_count
        };
        stats.depth + stats.channels.iter().map(waiting).sum::<u64>()
    });
    left.sum()
}

/// S4: everything has been finished, both copies agree, and both nodes say so: nothing is left that was not acknowledged.
pub fn is_at_rest(world: &PairWorld) -> bool {
    if let Some(gone) = world.gone() {
        let nsqd = world.nsqd(1 - gone);
        return nsqd.is_some_and(|nsqd| left(&nsqd) == 0 && pair::mirror_is_covered(&nsqd));
    }
    (0..2).all(|index| {
        world.nsqd(index).is_some_and(|nsqd| {
            left(&nsqd) == 0 && !pair::mirror_is_pending(&nsqd) && pair::is_level(&nsqd)
        })
    })
}

pub fn complain_of_rest(world: &PairWorld) {
    for index in (0..2).filter(|&index| world.gone() != Some(index)) {
        let complaint = match world.nsqd(index) {
            None => format!("{index} is not up at the end"),
            Some(nsqd) => {
                let mut mirrored = Vec::new();
                pair::mirrored_unfinished(&nsqd, &mut |topic, channel, body| {
                    let number = nsq_auditor::decode(body);
                    mirrored.push(format!("{topic}/{channel} {number:?}"));
                });
                mirrored.truncate(5);
                format!(
                    "{index} does not come to rest: {} left, mirrored {mirrored:?}, {}",
                    left(&nsqd),
                    pair::describe(&nsqd)
                )
            }
        };
        world.auditor.lock().complain(complaint);
    }
}
