//! A moment of the whole: two nodes, what clients were told, and what has gone wrong so far.

use std::hash::{Hash, Hasher};

use crate::record::{Line, Lsn, MESSAGES_MAX, Position, Record, TAIL_MAX, Write};
use crate::rules;
use crate::store::Store;
use crate::world::{Level, World};

/// Bit of a message on a channel.
pub fn fate(message: u8, channel: u8) -> u8 {
    1 << (message * 2 + channel)
}

/// Acknowledgements on their way back, at most: (own journal, the peer's journal when it said so).
const ACKS_MAX: usize = 2;

/// What the origin knows of its copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Copy {
    /// Whose.
    pub holder: u8,
    pub acked: Lsn,
    pub whole: bool,
    /// The copy is whole once this is acknowledged; 0: nothing is waited for.
    pub whole_at: Lsn,
}

/// A list on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listing {
    pub from: Lsn,
    /// The message that is next; before the first, finishes.
    pub next: Option<u8>,
}

/// A node: its disk, and what it forgets when it ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Node {
    pub up: bool,
    /// The volume is lost: it begins with a blank one.
    pub blank: bool,
    /// It does not wait for its peer's answer any more.
    pub serving: bool,
    /// What is synced.
    pub kept: Store,
    /// What is not.
    pub tail: Line<Write, TAIL_MAX>,
    /// Both together.
    pub live: Store,
    /// The peer reads this journal.
    pub link: bool,
    pub copy: Copy,
    /// What lies before is in a list that the peer has not whole.
    pub unlisted: Lsn,
    /// `mirrored` needs everything before.
    pub level_at: Lsn,
    pub listing: Option<Listing>,
    /// Something was acknowledged without the peer.
    pub alone: bool,
    /// First lost record + 1, until the peer gets a list.
    pub hole: Lsn,
    pub acks: Line<(Lsn, Lsn), ACKS_MAX>,
    /// Of an adoption: messages before this were looked at.
    pub imports: u8,
}

/// How often things have happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    pub kills: u8,
    pub cuts: u8,
    pub volumes: u8,
    pub orders: u8,
    pub breaks: u8,
    pub checkpoints: u8,
    pub empties: u8,
    /// Adoptions that were begun.
    pub adoptions: u8,
    /// Incarnations that were given.
    pub incarnations: u8,
}

/// A moment. Messages are bits of `published`, `acked` and `excused`; `emptied` and `settled` have bits of [`fate`].
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    pub nodes: [Node; 2],
    pub published: u8,
    /// Their publishers got OK.
    pub acked: u8,
    /// `degrade`: their node had said that only it had them.
    pub excused: u8,
    /// Ends of records whose publishers still wait, 0: nobody does.
    pub waits: [Lsn; MESSAGES_MAX],
    /// A node that owned them was told to empty their channel.
    pub emptied: u8,
    /// Finishes that both disks have.
    pub settled: u8,
    /// Finishes that a node's own journal has, on disk.
    pub known: [u8; 2],
    /// How often each was finished by a consumer.
    pub finishes: [u8; MESSAGES_MAX * 2],
    pub spent: Spent,
    /// A list was sent: what it names again stays with its origin, also if the peer has adopted it.
    pub listed: bool,
    /// Two lives of a node have written the same run.
    pub two_writers: bool,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // `live` follows from the others, but for finishes that were forgotten.
        let flags = [self.up, self.blank, self.serving, self.link, self.alone];
        let flags = flags
            .iter()
            .fold(0u8, |all, flag| all << 1 | u8::from(*flag));
        state.write_u8(flags);
        (self.kept, self.tail, self.live.finishes, self.copy).hash(state);
        (
            self.unlisted,
            self.level_at,
            self.listing,
            self.hole,
            self.acks,
            self.imports,
        )
            .hash(state);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nodes.hash(state);
        (self.published, self.acked, self.excused, self.emptied).hash(state);
        (
            self.waits,
            (self.settled, self.known),
            self.finishes,
            self.spent,
            (self.two_writers, self.listed),
        )
            .hash(state);
    }
}

impl Node {
    /// Appends to the journal; not synced yet.
    pub fn append(&mut self, world: &World, write: Write) {
        self.tail.push(write);
        self.live.apply(world, write);
    }

    pub fn append_own(&mut self, world: &World, record: Record) {
        self.append(world, Write::Own(record));
    }

    pub fn sync(&mut self) {
        let told = self.kept.finishes;
        self.kept = self.live;
        self.kept.remember(&told);
        self.tail.clear();
    }

    /// What counts as kept at the level.
    pub fn assured(&self, world: &World) -> &Store {
        match world.level {
            Level::Fsync => &self.kept,
            Level::Write => &self.live,
        }
    }

    pub fn position(&self) -> Position {
        Position {
            run: self.live.run(),
            lsn: self.live.end(),
        }
    }

    /// The link to the holder is gone.
    pub fn unlink(&mut self, world: &World) {
        self.link = false;
        self.listing = None;
        self.unlisted = 0;
        self.level_at = 0;
        self.acks.clear();
        // What it was is of use to those who report it, and to who has forgotten to forget it.
        if !world.degrade && world.keeps(rules::R7) {
            self.copy = Copy::default();
        }
    }

    /// Own messages above this are not mirrored.
    pub fn mirrored(&self) -> Lsn {
        match self.copy.whole {
            true => self.copy.acked,
            false => 0,
        }
    }

    pub fn is_overfull(&self) -> bool {
        self.live.journal.is_overfull() || self.tail.is_overfull() || self.live.runs.is_overfull()
    }
}

impl State {
    /// Two fresh nodes, with their links if the world has them.
    pub fn first(world: &World) -> Self {
        let mut state = Self::default();
        for (index, node) in state.nodes.iter_mut().enumerate() {
            node.kept = Store::blank(index as u8 + 1);
            node.live = node.kept;
            node.append_own(world, Record::Boot);
            node.sync();
            (node.up, node.serving) = (true, true);
        }
        state.spent.incarnations = 2;
        if world.linked {
            for origin in 0..2 {
                crate::link::open(world, &mut state, origin);
            }
            for origin in 0..2 {
                while crate::link::receive(world, &mut state, origin) {}
                state.nodes[1 - origin].sync();
            }
            settle(world, &mut state);
        }
        state
    }

    /// Both nodes are there, and have lost nothing or begun anew.
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.up)
    }

    /// What both nodes say of themselves: either disk may be lost now.
    pub fn is_mirrored(&self, world: &World) -> bool {
        self.nodes.iter().all(|node| {
            let told = node.copy.whole && node.copy.acked >= node.level_at && !node.alone;
            let whole = node.live.mirror.is_none_or(|mirror| mirror.whole);
            let told = told || !world.keeps(rules::R17);
            node.up && node.link && told && whole && !node.live.is_importing()
        })
    }
}

/// What follows at once from everything that happened: acknowledgements and OKs.
pub fn settle(world: &World, state: &mut State) {
    for origin in 0..2 {
        if state.nodes[origin].link {
            acknowledge(world, state, origin);
        }
    }
    for index in 0..2 {
        forget(world, state, index);
    }
    for node in 0..2 {
        for message in world.messages_of(node) {
            answer(world, state, node, message);
        }
        note_settled(world, state, node);
    }
}

/// R16: finishes that the peer has acknowledged are forgotten, when the own mirror has passed the end that the peer's
/// journal had then.
fn forget(world: &World, state: &mut State, index: usize) {
    let peer = &state.nodes[1 - index];
    let (linked, incarnation) = (peer.link, peer.live.incarnation);
    let node = &mut state.nodes[index];
    let of_it = |mirror: &crate::store::Mirror| linked && mirror.incarnation == incarnation;
    let knows = |mirror: &crate::store::Mirror| mirror.whole || !world.keeps(rules::L5);
    let mirror = node.assured(world).mirror.filter(of_it);
    let Some(mirror) = mirror.filter(knows) else {
        return; // what the peer had before says nothing
    };
    while let Some((acked, peer_end)) = node.acks.get(0)
        && peer_end <= mirror.end.lsn
    {
        let rest = node.acks.get(1);
        node.acks.clear();
        rest.into_iter().for_each(|ack| node.acks.push(ack));
        node.live.forget_finishes(acked);
    }
}

/// ACK: what the holder has kept.
fn acknowledge(world: &World, state: &mut State, origin: usize) {
    let holder = &state.nodes[1 - origin];
    let (peer_end, mirror) = match world.keeps(rules::R6) {
        true => (holder.live.end(), holder.assured(world).mirror),
        false => (holder.live.end(), holder.live.mirror),
    };
    let node = &mut state.nodes[origin];
    let of_it = mirror.filter(|mirror| mirror.incarnation == node.live.incarnation);
    let acked = of_it.map_or(0, |mirror| {
        crate::link::common(world, &node.live, mirror.end)
    });
    if acked > node.copy.acked {
        node.copy.acked = acked;
        if node.copy.whole_at > 0 && acked >= node.copy.whole_at {
            (node.copy.whole, node.copy.whole_at) = (true, 0);
        }
        // Until a list has told of finishes again, the peer may have been skipped over some.
        if node.listing.is_none() {
            match node.acks.get(1) {
                // The later of two stands for both.
                Some(_) => node.acks.set(1, (acked, peer_end)),
                None => node.acks.push((acked, peer_end)),
            }
        }
    }
    if node.copy.whole {
        node.unlisted = 0;
    }
    if node.alone && node.copy.acked >= node.live.end() {
        node.alone = false;
        node.level_at = node.live.end();
    }
}

/// OK, if it may leave.
fn answer(world: &World, state: &mut State, index: usize, message: u8) {
    let end = state.waits[usize::from(message)];
    let node = &mut state.nodes[index];
    let here = node.assured(world).end() >= end || !world.keeps(rules::R5);
    if end == 0 || !node.up || !here {
        return;
    }
    let listed = end > node.unlisted || !world.keeps(rules::L1);
    let there = node.link && node.copy.acked >= end && listed;
    let without = world.degrade && (!node.link || node.alone);
    if there || without {
        node.alone |= without && !there;
        state.acked |= 1 << message;
        state.waits[usize::from(message)] = 0;
    }
}

/// Finishes that a disk has, and those that both have.
fn note_settled(world: &World, state: &mut State, index: usize) {
    let (node, peer) = (&state.nodes[index], &state.nodes[1 - index]);
    let of_it = |mirror: &crate::store::Mirror| mirror.incarnation == node.live.incarnation;
    let mirror = peer.kept.mirror.filter(|mirror| node.link && of_it(mirror));
    let both = mirror.map(|mirror| {
        let end = crate::link::common(world, &node.kept, mirror.end);
        // What the copy was not sent it does not know.
        mirror.gap_end..end
    });
    for (lsn, record) in (0..).zip(node.kept.journal.items()) {
        if let Record::Finish(message, channel) = *record {
            state.known[index] |= fate(message, channel);
            if both.as_ref().is_some_and(|both| both.contains(&lsn)) {
                state.settled |= fate(message, channel);
            }
        }
    }
}
