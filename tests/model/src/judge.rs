//! What must be true.

use crate::state::{State, fate};
use crate::step::is_gone;
use crate::world::World;

/// What is promised, and searched for the breaking of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing acknowledged is lost, as long as not both copies were destroyed.
    Kept,
    /// Nobody waits for a message that nobody published.
    Invented,
    /// A finish that both disks have does not come back; one that a disk has is known to both at rest.
    Final,
    /// A channel finishes a message once, and once more at most for each adoption and each crash.
    Bound,
    /// A run has one writer, and at rest a message has one owner.
    Owner,
    /// At rest everything has its second copy, and no copy has more than its original.
    Copied,
    /// A healed pair comes to rest, and is mirrored then.
    Progress,
}

impl Promise {
    pub fn says(self) -> &'static str {
        match self {
            Self::Kept => "nothing acknowledged is lost",
            Self::Invented => "nothing is invented",
            Self::Final => "a finish is final",
            Self::Bound => "duplicates stay within their bound",
            Self::Owner => "a run has one writer, and at rest a message has one owner",
            Self::Copied => "at rest everything has its second copy",
            Self::Progress => "a healed pair becomes mirrored again",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: Promise,
    pub how: String,
}

fn broken(promise: Promise, how: String) -> Option<Broken> {
    Some(Broken { promise, how })
}

/// Names of the nodes.
pub const NODES: [char; 2] = ['A', 'B'];

/// Judges a state: all promises, or `only` one. `busy`: which nodes have something to do by themselves.
pub fn judge(
    world: &World,
    state: &State,
    busy: [bool; 2],
    only: Option<Promise>,
) -> Option<Broken> {
    let rests = busy == [false, false] && state.is_whole();
    let at_once = [lost, invented, came_back, too_often, two_writers];
    let at_rest = [unowned, unmirrored, unheard, two_owners, uncopied];
    let at_rest = at_rest.iter().filter(|_| rests);
    let mut checks = at_once.iter().chain(at_rest);
    let wanted = |broken: &Broken| only.is_none_or(|only| only == broken.promise);
    let alone = || (0..2).find_map(|lone| left_alone(world, state, busy, lone));
    let found = checks.find_map(|check| check(world, state).filter(wanted));
    found.or_else(|| alone().filter(wanted))
}

/// Messages on channels that somebody must be waiting for.
fn due(world: &World, state: &State) -> impl Iterator<Item = (u8, u8)> {
    let messages = state.acked & !state.excused;
    let (finishes, emptied) = (state.finishes, state.emptied);
    let channels = world.channels;
    let all = (0..world.message_count())
        .flat_map(move |message| (0..channels).map(move |channel| (message, channel)));
    all.filter(move |&(message, channel)| {
        messages & 1 << message != 0
            && finishes[usize::from(message * 2 + channel)] == 0
            && emptied & fate(message, channel) == 0
    })
}

fn owns(state: &State, node: usize, message: u8, channel: u8) -> bool {
    state.nodes[node].live.own[usize::from(message)].pending & 1 << channel != 0
}

fn copies(state: &State, node: usize, message: u8, channel: u8) -> bool {
    let mirror = state.nodes[node].live.mirror;
    mirror.is_some_and(|mirror| mirror.held[usize::from(message)].pending & 1 << channel != 0)
}

fn all(world: &World) -> impl Iterator<Item = (u8, u8)> {
    let channels = world.channels;
    let messages = 0..world.message_count();
    messages.flat_map(move |message| (0..channels).map(move |channel| (message, channel)))
}

fn owner(state: &State, message: u8, channel: u8) -> Option<usize> {
    (0..2).find(|&node| owns(state, node, message, channel))
}

fn lost(world: &World, state: &State) -> Option<Broken> {
    due(world, state).find_map(|(message, channel)| {
        let has =
            |node| owns(state, node, message, channel) || copies(state, node, message, channel);
        let how = format!("m{message} was acknowledged, and no disk has it for channel {channel}");
        (!(0..2).any(has)).then_some(Broken {
            promise: Promise::Kept,
            how,
        })
    })
}

fn invented(world: &World, state: &State) -> Option<Broken> {
    let unknown = all(world).find(|&(message, channel)| {
        state.published & 1 << message == 0 && owner(state, message, channel).is_some()
    });
    let (message, _) = unknown?;
    broken(Promise::Invented, format!("m{message} was never published"))
}

fn came_back(world: &World, state: &State) -> Option<Broken> {
    // What is forgotten too early comes back, once for each adoption: the bound tells.
    if world.memory < world.message_count() * world.channels {
        return None;
    }
    all(world).find_map(|(message, channel)| {
        let settled = state.settled & fate(message, channel) != 0;
        let node = owner(state, message, channel).filter(|_| settled)?;
        let at = NODES[node];
        let how = format!("m{message} is unfinished again at {at} on channel {channel}");
        broken(Promise::Final, how)
    })
}

fn too_often(world: &World, state: &State) -> Option<Broken> {
    let spent = &state.spent;
    let bound = 1 + spent.adoptions + spent.kills + spent.cuts;
    let (message, channel) =
        all(world).find(|&(message, channel)| finishes(state, message, channel) > bound)?;
    let times = finishes(state, message, channel);
    let how =
        format!("m{message} was finished {times} times on channel {channel}, {bound} are allowed");
    broken(Promise::Bound, how)
}

fn finishes(state: &State, message: u8, channel: u8) -> u8 {
    state.finishes[usize::from(message * 2 + channel)]
}

fn two_writers(_: &World, state: &State) -> Option<Broken> {
    let how = || "a run was written by two lives of a node".to_owned();
    state
        .two_writers
        .then(how)
        .and_then(|how| broken(Promise::Owner, how))
}

fn unowned(world: &World, state: &State) -> Option<Broken> {
    let (message, channel) =
        due(world, state).find(|&(message, channel)| owner(state, message, channel).is_none())?;
    let how = format!("m{message} was acknowledged, and nobody delivers it on channel {channel}");
    broken(Promise::Kept, how)
}

fn unmirrored(world: &World, state: &State) -> Option<Broken> {
    let how = || "both nodes rest and are not mirrored".to_owned();
    let bad = !state.is_mirrored(world);
    bad.then(how).and_then(|how| broken(Promise::Progress, how))
}

/// A finish that one disk has is known to both when they rest.
fn unheard(world: &World, state: &State) -> Option<Broken> {
    if world.memory < world.message_count() * world.channels {
        return None;
    }
    all(world).find_map(|(message, channel)| {
        let knows = |node: usize| state.known[node] & fate(message, channel) != 0;
        let node = (0..2).find(|&node| knows(1 - node) && owns(state, node, message, channel))?;
        let (at, other) = (NODES[node], NODES[1 - node]);
        let how = format!(
            "{other} has finished m{message} on channel {channel}, and at rest {at} delivers it"
        );
        broken(Promise::Final, how)
    })
}

fn two_owners(world: &World, state: &State) -> Option<Broken> {
    let both = |message, channel| (0..2).all(|node| owns(state, node, message, channel));
    // What is adopted of records that their origin loses then, both keep.
    let owned_once = state.spent.cuts == 0 && !state.listed;
    let mut all = all(world).filter(|_| owned_once);
    let (message, channel) = all.find(|&(message, channel)| both(message, channel))?;
    let how = format!("m{message} has two owners for channel {channel} at rest");
    broken(Promise::Owner, how)
}

fn uncopied(world: &World, state: &State) -> Option<Broken> {
    let pairs = all(world).flat_map(|one| (0..2).map(move |node| (one, node)));
    pairs.into_iter().find_map(|((message, channel), node)| {
        let own = owns(state, node, message, channel);
        let copied = copies(state, 1 - node, message, channel);
        // A copy may know of a finish that its origin lost.
        let needed =
            finishes(state, message, channel) == 0 && state.emptied & fate(message, channel) == 0;
        let has = |has: bool| if has { "has" } else { "has not" };
        let how = format!(
            "at rest {} {} m{message} for channel {channel}, its copy {}",
            NODES[node],
            has(own),
            has(copied)
        );
        let bad = copied && !own || own && !copied && needed;
        bad.then_some(how)
            .and_then(|how| broken(Promise::Copied, how))
    })
}

/// The other node is gone for good, and this one has done what it can.
fn left_alone(world: &World, state: &State, busy: [bool; 2], lone: u8) -> Option<Broken> {
    let node = &state.nodes[usize::from(lone)];
    if !is_gone(state, 1 - lone) || is_gone(state, lone) || busy[usize::from(lone)] || !node.up {
        return None;
    }
    due(world, state).find_map(|(message, channel)| {
        let delivers = node.serving && owns(state, usize::from(lone), message, channel);
        let how = format!(
            "m{message} was acknowledged, {} is gone for good, and {} does not deliver it on channel {channel}",
            NODES[usize::from(1 - lone)],
            NODES[usize::from(lone)],
        );
        (!delivers).then_some(Broken { promise: Promise::Kept, how })
    })
}
