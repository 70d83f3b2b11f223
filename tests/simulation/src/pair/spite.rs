//! The moments at which one more fault does the most harm. Some worlds wait for them.

use nsq_journal::Lsn;
use nsqd::engine::pair;

use super::world::PairWorld;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A node has just let go of what its peer adopted: the peer loses power, or its disk.
    HandedOver,
    /// A node sends its blank peer a list, and the peer acknowledges what comes behind its beginning: the node loses its
    /// disk too. Of what was sent since the peer is blank, and acknowledged, nothing may be lost.
    Listing,
    /// Both nodes say that they can do without either disk, one of which is blank: the other goes.
    Mirrored,
    /// The peer has acknowledged, perhaps a moment too soon: it loses power, and the node its disk.
    Acknowledged,
    /// A node takes over what its peer has, while its disk is stuck, and the peer lets go of it all the same: the node
    /// loses power.
    Importing,
    /// A node sends a list: the peer is told to adopt what it has of it.
    MidList,
}

/// What was seen at the last look, of each node.
#[derive(Debug, Default)]
pub struct Seen {
    handovers: [(u64, u64); 2],
    acknowledged: [Lsn; 2],
}

impl Seen {
    /// The node at which the moment has come, if it has.
    pub fn strikes(&mut self, world: &PairWorld, moment: Moment) -> Option<usize> {
        let mut struck = None;
        for index in 0..2 {
            let Some(nsqd) = world.nsqd(index) else {
                continue;
            };
            let handovers = (world.life(index), pair::handovers(&nsqd));
            let acknowledged = pair::acknowledged(&nsqd).unwrap_or(0);
            let before = self.handovers[index];
            let has_come = match moment {
                Moment::HandedOver => before.0 == handovers.0 && before.1 < handovers.1,
                Moment::Listing | Moment::MidList => pair::is_list_awaited(&nsqd),
                Moment::Importing => {
                    let peer = world.nsqd(1 - index);
                    before.0 == handovers.0
                        && before.1 < handovers.1
                        && peer.is_some_and(|peer| pair::is_import_unsynced(&peer))
                }
                Moment::Mirrored => false, // see `PairPlan::eager`
                Moment::Acknowledged => acknowledged > self.acknowledged[index],
            };
            self.handovers[index] = handovers;
            self.acknowledged[index] = acknowledged;
            if has_come {
                struck = Some(index);
            }
        }
        struck
    }
}
