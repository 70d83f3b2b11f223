//! The two directions of the link: HELLO, WELCOME and START as one step, and records one by one.

use crate::record::{Line, Lsn, Position, Record, Write};
use crate::rules;
use crate::state::{Copy, Listing, Node, State};
use crate::store::{Mirror, Store};
use crate::world::{Level, World};

/// What the holder makes of a HELLO.
enum Greeting {
    Adopt,
    Cut(Position),
    Wait,
    Welcome,
}

/// Where the stream begins.
struct Start {
    position: Position,
    whole: bool,
    list: bool,
}

/// R3: how far a copy that reaches `position` has what this journal has.
pub fn common(world: &World, store: &Store, position: Position) -> Lsn {
    match world.keeps(rules::R3) {
        true => store.common(position),
        false => position.lsn,
    }
}

/// The origin says HELLO. False: nothing came of it.
pub fn open(world: &World, state: &mut State, origin: usize) -> bool {
    let asks = state.nodes[origin];
    if !asks.up || !state.nodes[1 - origin].up || asks.link {
        return false;
    }
    let mut cut = false;
    loop {
        let holder = &mut state.nodes[1 - origin];
        match greet(world, &asks, &holder.live) {
            Greeting::Wait => return cut,
            Greeting::Adopt => return crate::adoption::begin(world, state, 1 - origin) || cut,
            // A cut without an end would be an error of the rules.
            Greeting::Cut(position) if !cut => {
                holder.append(world, Write::MirrorCut(position));
                cut = true;
            }
            Greeting::Cut(_) => return true,
            Greeting::Welcome => break,
        }
    }
    if world.level == Level::Fsync {
        state.nodes[1 - origin].sync(); // what it is told of is kept
    }
    welcome(world, state, origin);
    true
}

/// Rules R2, R3, R9 and R18, and what was lost in a hole.
fn greet(world: &World, asks: &Node, holding: &Store) -> Greeting {
    let Some(mirror) = holding.mirror else {
        return Greeting::Welcome;
    };
    let (origin, importing) = (&asks.live, holding.is_importing());
    let adopts = mirror.is_pending() && !holding.is_covered();
    if mirror.incarnation != origin.incarnation {
        return match () {
            () if !world.keeps(rules::R2) => Greeting::Welcome,
            () if importing => Greeting::Wait,
            () if adopts => Greeting::Adopt,
            () => Greeting::Welcome,
        };
    }
    let lost = (asks.hole > 0 && world.keeps(rules::H1)).then(|| asks.hole - 1);
    if let Some(lost) = lost.filter(|&lost| lost < mirror.end.lsn) {
        return match () {
            () if importing => Greeting::Wait,
            () if adopts => Greeting::Adopt,
            () => Greeting::Cut(Position {
                run: origin.run_at(lost).min(mirror.end.run),
                lsn: lost,
            }),
        };
    }
    if !world.keeps(rules::R3) {
        return Greeting::Welcome;
    }
    let known = origin.end_of(mirror.end.run);
    let last = known.unwrap_or(origin.end().min(mirror.end.lsn));
    if mirror.end.lsn <= last && known.is_some() {
        return Greeting::Welcome;
    }
    if importing {
        return Greeting::Wait;
    }
    // A journal that knows nothing of a run it wrote was put back from an older copy.
    let acknowledged = world.level == Level::Write && world.keeps(rules::R18) || known.is_none();
    if acknowledged && adopts {
        return Greeting::Adopt;
    }
    Greeting::Cut(Position {
        run: known.map_or(origin.run(), |_| mirror.end.run),
        lsn: last,
    })
}

/// WELCOME and START.
fn welcome(world: &World, state: &mut State, origin: usize) {
    let holder = state.nodes[1 - origin].live;
    let node = &mut state.nodes[origin];
    let mirror = holder
        .mirror
        .filter(|mirror| mirror.incarnation == node.live.incarnation);
    let start = start(world, &node.live, mirror);
    let before = node.copy;
    node.copy = Copy {
        holder: holder.incarnation,
        acked: mirror.map_or(0, |mirror| common(world, &node.live, mirror.end)),
        whole: start.whole || !world.keeps(rules::L3),
        whole_at: 0,
    };
    if !world.keeps(rules::R7) && before.whole {
        node.copy.acked = node.copy.acked.max(before.acked);
        node.copy.whole = true;
    }
    let end = node.live.end();
    node.level_at = end;
    node.unlisted = if start.list { end } else { 0 };
    node.acks = Line::default();
    (node.link, node.serving) = (true, true);
    let incarnation = node.live.incarnation;
    if start.list {
        node.hole = 0; // the list makes up for it
        node.listing = Some(Listing {
            from: end,
            next: None,
        });
    }
    let whole = start.whole || !world.keeps(rules::L3);
    let goes_on =
        mirror.is_some_and(|mirror| mirror.end == start.position && (whole || !mirror.whole));
    if !goes_on {
        state.nodes[1 - origin].append(
            world,
            Write::MirrorFrom {
                incarnation,
                position: start.position,
                whole,
            },
        );
    }
}

fn start(world: &World, origin: &Store, mirror: Option<Mirror>) -> Start {
    let oldest = origin.readable();
    let at = |lsn: Lsn, whole: bool| Start {
        position: Position {
            run: origin.run_at(lsn),
            lsn,
        },
        whole,
        list: !whole,
    };
    match mirror {
        Some(mirror) => {
            let common = common(world, origin, mirror.end);
            match common == mirror.end.lsn && common >= oldest {
                true => Start {
                    position: mirror.end,
                    ..at(common, mirror.whole)
                },
                false => at(origin.end(), false),
            }
        }
        None if oldest == 0 => at(0, true),
        None => at(origin.end(), false),
    }
}

/// The holder takes the next record. False: there is none for it.
pub fn receive(world: &World, state: &mut State, origin: usize) -> bool {
    let sends = &state.nodes[origin];
    let (live, synced) = (&sends.live, sends.kept.end());
    let takes = &state.nodes[1 - origin];
    let mirror = takes
        .live
        .mirror
        .filter(|mirror| mirror.incarnation == live.incarnation);
    let (true, Some(mirror)) = (sends.link, mirror) else {
        return false;
    };
    let lsn = mirror.end.lsn;
    let Some(record) = live.journal.get(lsn) else {
        return false;
    };
    if lsn < live.readable() || (record.is_final() && lsn >= synced && world.keeps(rules::F1)) {
        return false;
    }
    let run = live.run_at(lsn);
    let before = takes.live.own;
    let holder = &mut state.nodes[1 - origin];
    holder.append(world, Write::Copied(run, lsn, record));
    if let Record::Finish(message, channel) = record
        && world.keeps(rules::R15)
        && before[usize::from(message)].pending & 1 << channel != 0
    {
        // An owner that learns of a finish writes it into its own journal.
        holder.append_own(world, record);
    }
    true
}

/// The next piece of a list. False: there is no list.
pub fn list(world: &World, state: &mut State, origin: usize) -> bool {
    let node = &mut state.nodes[origin];
    let Some(listing) = node.listing else {
        return false;
    };
    let own = node.live.own;
    if listing.next.is_none() && world.keeps(rules::L2) {
        // What was finished is told again: the peer may own some of it, and is not sent what told of it.
        for message in 0..world.message_count() {
            for channel in 0..world.channels {
                if node.live.finished(usize::from(message)) & 1 << channel != 0 {
                    node.append_own(world, Record::Finish(message, channel));
                }
            }
        }
    }
    let mut rest = listing.next.unwrap_or(0)..world.message_count();
    if let Some(message) = rest.find(|&message| own[usize::from(message)].pending != 0) {
        let finished = world.all_channels() & !own[usize::from(message)].pending;
        node.append_own(world, Record::Import(message, finished));
        node.listing = Some(Listing {
            next: Some(message + 1),
            ..listing
        });
        return true;
    }
    node.append_own(world, Record::Listed(listing.from));
    node.copy.whole_at = node.live.end();
    node.listing = None;
    state.listed = true;
    true
}
