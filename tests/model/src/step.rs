//! Everything that can happen next.

use crate::record::{Position, Record};
use crate::rules;
use crate::state::{State, fate, settle};
use crate::store::{Held, Store};
use crate::world::World;
use crate::{adoption, faults, link};

/// One thing that happens. Nodes are 0 and 1, A and B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    // What a node does by itself, sooner or later.
    Start(u8),
    Serve(u8),
    Sync(u8),
    Hello(u8),
    Receive(u8),
    List(u8),
    Import(u8),
    Adopted(u8),
    Release(u8),
    // What its clients do.
    Publish(u8, u8),
    Finish(u8, u8, u8),
    Empty(u8, u8),
    // What operators and time do.
    Order(u8),
    Recycle(u8),
    // What goes wrong.
    Break,
    Kill(u8),
    /// So many of the writes that were not synced are kept.
    Cut(u8, u8),
    /// This write is lost, all others are kept.
    Hole(u8, u8),
    Lose(u8),
}

impl Step {
    /// The node that does it by itself, whatever else happens; an order counts where nobody else is left.
    pub fn progress(self, state: &State) -> Option<u8> {
        match self {
            Self::Start(node) | Self::Serve(node) | Self::Sync(node) | Self::Hello(node) => {
                Some(node)
            }
            Self::Receive(node) | Self::List(node) | Self::Import(node) => Some(node),
            Self::Adopted(node) | Self::Release(node) => Some(node),
            Self::Order(node) if is_gone(state, 1 - node) => Some(node),
            _ => None,
        }
    }
}

/// The node's volume is lost, and it has not come back.
pub fn is_gone(state: &State, node: u8) -> bool {
    let node = &state.nodes[usize::from(node)];
    node.blank && !node.up
}

/// What can happen in `state`, and what comes of it.
pub fn steps(world: &World, state: &State, out: &mut Vec<(Step, State)>) {
    out.clear();
    for node in 0..2 {
        for step in [
            Step::Start(node),
            Step::Serve(node),
            Step::Sync(node),
            Step::Hello(node),
            Step::Receive(node),
            Step::List(node),
            Step::Import(node),
            Step::Adopted(node),
            Step::Release(node),
            Step::Order(node),
            Step::Recycle(node),
            Step::Kill(node),
            Step::Lose(node),
        ] {
            try_step(world, state, step, out);
        }
        for message in 0..world.message_count() {
            try_step(world, state, Step::Publish(node, message), out);
            for channel in 0..world.channels {
                try_step(world, state, Step::Finish(node, message, channel), out);
            }
        }
        for channel in 0..world.channels {
            try_step(world, state, Step::Empty(node, channel), out);
        }
        let tail = state.nodes[usize::from(node)].tail.len();
        for at in 0..=tail {
            try_step(world, state, Step::Cut(node, at), out);
            if world.holes && at + 1 < tail {
                try_step(world, state, Step::Hole(node, at), out);
            }
        }
    }
    try_step(world, state, Step::Break, out);
}

/// Leaves out what plainly cannot happen, before anything is copied.
fn may_happen(world: &World, state: &State, step: Step) -> bool {
    let at = |node: u8| &state.nodes[usize::from(node)];
    let spent = &state.spent;
    match step {
        Step::Start(node) => !at(node).up,
        Step::Serve(node) => at(node).up && !at(node).serving,
        Step::Sync(node) => !at(node).tail.is_empty(),
        Step::Hello(node) => at(node).up && !at(node).link,
        Step::Receive(node) | Step::Release(node) => at(node).link,
        Step::List(node) => at(node).listing.is_some(),
        Step::Import(node) | Step::Adopted(node) => at(node).up && at(node).live.is_importing(),
        Step::Publish(_, message) => state.published & 1 << message == 0,
        Step::Finish(node, message, channel) => {
            let own = at(node).live.own[usize::from(message)];
            world.consumed && own.pending & 1 << channel != 0
        }
        Step::Order(node) => spent.orders < world.orders || is_gone(state, 1 - node),
        Step::Empty(..) => spent.empties < world.empties,
        Step::Recycle(_) => spent.checkpoints < world.checkpoints,
        Step::Kill(_) => spent.kills < world.kills,
        Step::Cut(..) | Step::Hole(..) => spent.cuts < world.cuts,
        Step::Lose(_) => spent.volumes < world.volumes,
        Step::Break => spent.breaks < world.breaks,
    }
}

fn try_step(world: &World, state: &State, step: Step, out: &mut Vec<(Step, State)>) {
    if !may_happen(world, state, step) {
        return;
    }
    out.extend(after(world, state, step).map(|after| (step, after)));
}

/// The state after a step; `None`: it cannot happen.
pub fn after(world: &World, before: &State, step: Step) -> Option<State> {
    let mut state = *before;
    let happened = match step {
        Step::Start(node) => start(world, &mut state, usize::from(node)),
        Step::Serve(node) => serve(world, &mut state, usize::from(node)),
        Step::Sync(node) => sync(&mut state, usize::from(node)),
        Step::Hello(node) => link::open(world, &mut state, usize::from(node)),
        Step::Receive(node) => link::receive(world, &mut state, usize::from(node)),
        Step::List(node) => link::list(world, &mut state, usize::from(node)),
        Step::Import(node) => adoption::import(world, &mut state, usize::from(node)),
        Step::Adopted(node) => adoption::done(world, &mut state, usize::from(node)),
        Step::Release(node) => adoption::release(world, &mut state, usize::from(node)),
        Step::Publish(node, message) => publish(world, &mut state, usize::from(node), message),
        Step::Finish(node, message, channel) => {
            finish(world, &mut state, usize::from(node), message, channel)
        }
        Step::Empty(node, channel) => empty(world, &mut state, usize::from(node), channel),
        Step::Order(node) => order(world, &mut state, node),
        Step::Recycle(node) => recycle(world, &mut state, usize::from(node)),
        Step::Break => faults::sever(world, &mut state),
        Step::Kill(node) => faults::kill(world, &mut state, usize::from(node)),
        Step::Cut(node, kept) => faults::cut(world, &mut state, usize::from(node), kept),
        Step::Hole(node, lost) => faults::hole(world, &mut state, usize::from(node), lost),
        Step::Lose(node) => faults::lose(world, &mut state, usize::from(node)),
    };
    if happened {
        settle(world, &mut state);
    }
    happened.then_some(state)
}

fn start(world: &World, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    if node.up {
        return false;
    }
    if node.blank {
        state.spent.incarnations += 1;
        let incarnation = match world.keeps(rules::R1) {
            true => state.spent.incarnations,
            false => index as u8 + 1,
        };
        node.kept = Store::blank(incarnation);
        node.live = node.kept;
        node.blank = false;
    }
    node.append_own(world, Record::Boot);
    if world.keeps(rules::R4) {
        node.sync();
    }
    if let (Some(adoption), false) = (&mut node.live.adoption, world.keeps(rules::R9))
        && !adoption.complete
    {
        let end = node.live.journal.len();
        adoption.done = Some(Position {
            run: node.live.runs.len(),
            lsn: end,
        });
        adoption.complete = true;
        node.kept.adoption = node.live.adoption;
    }
    let node = &mut state.nodes[index];
    // What was heard of finishes may not have been journalled since.
    for message in 0..world.message_count() {
        for channel in 0..world.channels {
            if node.live.heard & fate(message, channel) != 0 {
                node.append_own(world, Record::Finish(message, channel));
            }
        }
    }
    node.up = true;
    node.imports = 0;
    node.hole = node.live.lost.0;
    node.serving = node.live.own.iter().all(|held| held.pending == 0);
    // A run has one writer: nobody may have records of this one already.
    let (incarnation, run) = (node.live.incarnation, node.live.run());
    let copied = state.nodes[1 - index].live.mirror;
    state.two_writers |=
        copied.is_some_and(|copy| copy.incarnation == incarnation && copy.end.run >= run);
    true
}

/// R14: the peer did not answer in time.
fn serve(world: &World, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let waits = node.up && !node.serving && world.keeps(rules::R14);
    node.serving |= waits;
    waits
}

fn sync(state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let some = node.up && !node.tail.is_empty();
    if some {
        node.sync();
    }
    some
}

/// Messages of a node are published in order.
fn publish(world: &World, state: &mut State, index: usize, message: u8) -> bool {
    let node = &mut state.nodes[index];
    let mut mine = world.messages_of(index);
    let next = mine.find(|message| state.published & 1 << message == 0);
    if !node.up || next != Some(message) {
        return false;
    }
    node.append_own(world, Record::Publish(message));
    state.published |= 1 << message;
    state.waits[usize::from(message)] = node.live.end();
    true
}

/// A consumer gets the message and finishes it.
fn finish(world: &World, state: &mut State, index: usize, message: u8, channel: u8) -> bool {
    let told = adoption::told(world, state, index);
    let node = &mut state.nodes[index];
    let held = node.live.own[usize::from(message)];
    let kept = held.base <= node.assured(world).end();
    let waits = held.pending & 1 << channel != 0;
    if !node.up || !node.serving || !waits || !kept || adoption::is_held_back(told, held.base) {
        return false;
    }
    node.append_own(world, Record::Finish(message, channel));
    state.finishes[usize::from(message * 2 + channel)] += 1;
    true
}

fn empty(world: &World, state: &mut State, index: usize, channel: u8) -> bool {
    let node = &mut state.nodes[index];
    let owned = |message: &u8| node.live.own[usize::from(*message)].pending & 1 << channel != 0;
    let gone: Vec<u8> = (0..world.message_count()).filter(owned).collect();
    if !node.up || state.spent.empties >= world.empties || gone.is_empty() {
        return false;
    }
    node.append_own(world, Record::Empty(channel));
    state.spent.empties += 1;
    // What the peer has taken over stays, and is not excused: once that is on both disks.
    let (peer, copy) = (&state.nodes[1 - index], state.nodes[index].kept.mirror);
    let (live, kept) = (peer.live.own, peer.kept.own);
    let first = world.messages_of(index);
    for message in gone {
        let waits = |held: Held| held.pending & 1 << channel != 0;
        let at = usize::from(message);
        let owned = first.contains(&message) && waits(kept[at]) && waits(live[at]);
        if !owned || !copy.is_some_and(|copy| waits(copy.held[at])) {
            state.emptied |= fate(message, channel);
        }
    }
    true
}

fn order(world: &World, state: &mut State, node: u8) -> bool {
    let free = is_gone(state, 1 - node);
    let may = free || state.spent.orders < world.orders;
    let begun = state.nodes[usize::from(node)].up
        && may
        && adoption::begin(world, state, usize::from(node));
    state.spent.orders += u8::from(begun && !free);
    begun
}

/// The journal is recycled up to its end; a checkpoint has what lies before.
fn recycle(world: &World, state: &mut State, index: usize) -> bool {
    let copied = state.nodes[1 - index].live.mirror;
    let node = &mut state.nodes[index];
    let synced = node.up && node.tail.is_empty() && node.live.oldest < node.live.end();
    if !synced || state.spent.checkpoints >= world.checkpoints {
        return false;
    }
    state.spent.checkpoints += 1;
    node.live.recycle();
    node.kept = node.live;
    let mine = copied.filter(|copy| copy.incarnation == node.live.incarnation);
    if mine.is_none_or(|copy| copy.end.lsn < node.live.oldest) {
        node.unlink(world); // it cannot go on reading
    }
    true
}
