//! What goes wrong: links break, processes end, power is cut, volumes are lost.

use crate::record::{Record, Write};
use crate::rules;
use crate::state::{Node, State};
use crate::world::{Level, World};

pub fn sever(world: &World, state: &mut State) -> bool {
    let linked = state.nodes.iter().any(|node| node.link);
    if !linked || state.spent.breaks >= world.breaks {
        return false;
    }
    state.spent.breaks += 1;
    state.nodes.iter_mut().for_each(|node| node.unlink(world));
    true
}

/// What a node forgets when it ends, and both links with it.
fn end(world: &World, state: &mut State, index: usize) {
    for message in world.messages_of(index) {
        state.waits[usize::from(message)] = 0; // its publisher is told nothing
    }
    state.nodes.iter_mut().for_each(|node| node.unlink(world));
    let node = &mut state.nodes[index];
    (node.up, node.serving, node.alone) = (false, false, false);
    node.hole = 0;
    node.copy.acked = node.copy.acked.min(node.kept.end());
    node.copy.whole_at = 0;
}

pub fn kill(world: &World, state: &mut State, index: usize) -> bool {
    if !state.nodes[index].up || state.spent.kills >= world.kills {
        return false;
    }
    state.spent.kills += 1;
    state.nodes[index].sync(); // the kernel has it, and writes it
    state.nodes[index].live = state.nodes[index].kept;
    end(world, state, index);
    true
}

/// So many of the unsynced writes are kept.
pub fn cut(world: &World, state: &mut State, index: usize, kept: u8) -> bool {
    lose_power(world, state, index, |at, write| {
        (at < usize::from(kept)).then_some(write)
    })
}

/// One of the unsynced writes is lost, and leaves a hole if later ones are kept.
pub fn hole(world: &World, state: &mut State, index: usize, lost: u8) -> bool {
    lose_power(world, state, index, |at, write| match write {
        write if at != usize::from(lost) => Some(write),
        Write::Own(_) => Some(Write::Own(Record::Gone)),
        _ => Some(Write::Nothing),
    })
}

/// `left` says what is left of an unsynced write, by its place among them.
fn lose_power(
    world: &World,
    state: &mut State,
    index: usize,
    left: impl Fn(usize, Write) -> Option<Write>,
) -> bool {
    if !may_cut(world, state, index) {
        return false;
    }
    state.spent.cuts += 1;
    let node = &mut state.nodes[index];
    let writes = node.tail;
    for (at, &write) in writes.items().iter().enumerate() {
        if let Some(write) = left(at, write) {
            node.kept.apply(world, write);
        }
    }
    node.live = node.kept;
    node.tail.clear();
    end(world, state, index);
    true
}

/// At level write a power cut and a lost volume together are promised nothing, and so are two power cuts.
fn may_cut(world: &World, state: &State, index: usize) -> bool {
    let spent = &state.spent;
    let promised = world.level == Level::Fsync || spent.volumes == 0;
    state.nodes[index].up && spent.cuts < world.cuts && promised
}

/// The volume is lost: the first, or one of which both nodes say that it may be.
pub fn lose(world: &World, state: &mut State, index: usize) -> bool {
    let first = state.spent.volumes == 0 || state.is_mirrored(world);
    if !first || state.spent.volumes >= world.volumes || state.nodes[index].blank {
        return false;
    }
    state.spent.volumes += 1;
    if world.degrade {
        excuse(world, state, index);
    }
    end(world, state, index);
    state.settled = 0; // one disk has them now
    state.known[index] = 0;
    state.nodes[index] = Node {
        blank: true,
        ..Node::default()
    };
    true
}

/// `degrade`: what the node reports as its own alone may be lost with it.
fn excuse(world: &World, state: &mut State, index: usize) {
    let (node, peer) = (&state.nodes[index], &state.nodes[1 - index]);
    let reports = world.keeps(rules::R17) || !node.link;
    for message in 0..world.message_count() {
        let at = usize::from(message);
        let own = node.live.own[at];
        let there = peer
            .kept
            .mirror
            .is_some_and(|mirror| mirror.held[at].pending != 0);
        let there = there || peer.kept.own[at].pending != 0;
        if reports && own.pending != 0 && own.base > node.mirrored() && !there {
            state.excused |= 1 << message;
        }
    }
}
