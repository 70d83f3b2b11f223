//! Taking over what the mirror has, and letting go of what the peer took over.

use crate::record::{Lsn, Position, Record, Write};
use crate::rules;
use crate::state::{Node, State};
use crate::store::Adoption;
use crate::world::{Level, World};

/// Begins an adoption. False: one is under way, or there is nothing new.
pub fn begin(world: &World, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let Some(mirror) = node.live.mirror else {
        return false;
    };
    let last = node
        .live
        .adoption
        .filter(|last| last.incarnation == mirror.incarnation);
    if last.is_some_and(|last| !last.complete || mirror.end <= last.through) {
        return false;
    }
    let write = Write::Adopt {
        incarnation: mirror.incarnation,
        from: last.map_or(Position::default(), |last| last.through),
        through: mirror.end,
    };
    match world.keeps(rules::R8) {
        // In one journal it follows what it names, which is durable when it is.
        true => node.append(world, write),
        false => {
            node.live.apply(world, write);
            node.kept.adoption = node.live.adoption;
        }
    }
    node.imports = 0;
    if !world.keeps(rules::R10) {
        let position = node.position();
        node.append(world, Write::AdoptedEarly(position));
    }
    state.spent.adoptions += 1;
    true
}

/// Imports the next message. False: there is none.
pub fn import(world: &World, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let next = next_import(world, node);
    if let Some((message, record)) = next {
        node.append_own(world, record);
        node.imports = message + 1;
    }
    next.is_some()
}

fn next_import(world: &World, node: &Node) -> Option<(u8, Record)> {
    let (adoption, mirror) = (under_way(node)?, node.live.mirror?);
    (node.imports..world.message_count()).find_map(|message| {
        let at = usize::from(message);
        let (copied, own) = (mirror.held[at], node.live.own[at]);
        let meant = copied.base <= adoption.through.lsn && copied.base > adoption.from.lsn;
        let imported = own.base > adoption.began;
        let skipped = own.pending != 0 && !world.keeps(rules::R13);
        // R16: what was finished here does not come back.
        let finished = match world.keeps(rules::R16) {
            true => node.live.finished(at),
            false => 0,
        };
        let waiting = copied.pending & !finished;
        let record = Record::Import(message, world.all_channels() & !waiting);
        (meant && !imported && !skipped && waiting != 0).then_some((message, record))
    })
}

fn under_way(node: &Node) -> Option<Adoption> {
    let adoption = node.live.adoption.filter(|adoption| !adoption.complete)?;
    let mirror = node.live.mirror?;
    (mirror.incarnation == adoption.incarnation).then_some(adoption)
}

/// ADOPTED, behind the last import and when that is durable. False: not yet.
pub fn done(world: &World, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    if !node.live.is_importing() || next_import(world, node).is_some() {
        return false;
    }
    let import = |write: &Write| matches!(write, Write::Own(Record::Import(..)));
    let unsynced = node.tail.items().iter().any(import);
    if unsynced && world.level == Level::Fsync && world.keeps(rules::R11) {
        return false;
    }
    let position = node.position();
    node.append(world, Write::Adopted(position));
    node.level_at = node.level_at.max(node.live.end());
    true
}

/// What the peer has adopted of this node's messages, as far as the node was told: up to where in its own journal, and
/// where in the peer's the imports end.
pub fn told(world: &World, state: &State, index: usize) -> Option<(Lsn, Position)> {
    let (node, peer) = (&state.nodes[index], &state.nodes[1 - index]);
    // A copy that is not whole reaches beyond messages that it does not have.
    let listed = node.copy.whole || !world.keeps(rules::L4);
    let adoption = peer
        .live
        .adoption
        .filter(|_| node.link && peer.up && listed)?;
    let through = crate::link::common(world, &node.live, adoption.through);
    let mine = adoption.incarnation == node.live.incarnation;
    Some((through, adoption.done?)).filter(|_| mine)
}

/// Whether delivery waits for a hand-over.
pub fn is_held_back(told: Option<(Lsn, Position)>, base: Lsn) -> bool {
    told.is_some_and(|(through, _)| base <= through)
}

/// Lets go of what the peer owns. False: nothing to let go of, or not yet.
pub fn release(world: &World, state: &mut State, index: usize) -> bool {
    let Some((through, imports_end)) = told(world, state, index) else {
        return false;
    };
    let node = &mut state.nodes[index];
    let mut own = node.live.own.iter();
    if !own.any(|held| held.pending != 0 && held.base <= through) {
        return false;
    }
    let mirror = node.assured(world).mirror;
    let covered = mirror.is_some_and(|mirror| {
        mirror.whole && mirror.incarnation == node.copy.holder && mirror.end >= imports_end
    });
    if !covered && world.keeps(rules::R12) {
        return false;
    }
    node.append_own(world, Record::Release(through));
    true
}
