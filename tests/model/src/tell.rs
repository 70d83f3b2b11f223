//! A history as a table that a person can read.

use comfy_table::{ContentArrangement, Table, presets};

use crate::judge::NODES;
use crate::record::{MESSAGES_MAX, Record, Write};
use crate::search::history;
use crate::state::{Node, State};
use crate::step::Step;
use crate::store::Held;
use crate::world::World;

/// Widest table, columns.
const WIDTH: u16 = 200;

/// The steps, and what each node has after each.
pub fn table(world: &World, steps: &[Step]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_BORDERS_ONLY_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header([
        "",
        "what happens",
        "A's journal",
        "A owns / copies",
        "B's journal",
        "B owns / copies",
        "told",
    ]);
    let states = history(world, steps);
    for (number, state) in states.iter().enumerate() {
        let step = number.checked_sub(1).and_then(|before| steps.get(before));
        let what = step.map_or("the beginning".to_owned(), |step| said(*step));
        let [a, b] = &state.nodes;
        table.add_row([
            number.to_string(),
            what,
            journal(a),
            holdings(world, a),
            journal(b),
            holdings(world, b),
            told(world, state),
        ]);
    }
    format!(
        "{table}\nm0 ..: messages; pN: published, iN: imported, fN: finished; | ends what is synced; @: the base; ~: not serving; =: linked to its holder\n"
    )
}

/// A step in words.
pub fn said(step: Step) -> String {
    let name = |node: u8| NODES[usize::from(node)];
    let other = |node: u8| name(1 - node);
    match step {
        Step::Start(n) => format!("{} starts", name(n)),
        Step::Serve(n) => format!("{} is not answered in time and serves", name(n)),
        Step::Sync(n) => format!("{} syncs its disk", name(n)),
        Step::Hello(n) => format!("{} says HELLO to {}", name(n), other(n)),
        Step::Receive(n) => format!("{} gets a record of {}", other(n), name(n)),
        Step::List(n) => format!("{} lists what it has", name(n)),
        Step::Import(n) => format!("{} imports a message of {}", name(n), other(n)),
        Step::Adopted(n) => format!("{} has ADOPTED {}", name(n), other(n)),
        Step::Release(n) => format!("{} lets go of what {} adopted", name(n), other(n)),
        Step::Publish(n, message) => format!("m{message} is published to {}", name(n)),
        Step::Finish(n, message, channel) => {
            format!(
                "a consumer finishes m{message} at {}, channel {channel}",
                name(n)
            )
        }
        Step::Empty(n, channel) => format!("{} is told to empty channel {channel}", name(n)),
        Step::Order(n) => format!("ORDER: {} adopts {}", name(n), other(n)),
        Step::Recycle(n) => format!("{} recycles its journal", name(n)),
        Step::Break => "the links break".to_owned(),
        Step::Kill(n) => format!("kill -9 of {}", name(n)),
        Step::Cut(n, kept) => format!("POWER CUT at {}, {kept} unsynced writes are kept", name(n)),
        Step::Hole(n, lost) => format!(
            "POWER CUT at {}, unsynced write {lost} is lost, the others are kept",
            name(n)
        ),
        Step::Lose(n) => format!("{}'s VOLUME IS LOST", name(n)),
    }
}

fn journal(node: &Node) -> String {
    if node.blank {
        return "-".to_owned();
    }
    let records = node
        .kept
        .journal
        .items()
        .iter()
        .map(|record| shown(*record));
    let kept: Vec<String> = records.collect();
    let tail = node.tail.items().iter().filter_map(|write| match write {
        Write::Own(record) => Some(shown(*record)),
        Write::Copied(_, lsn, record) => Some(format!("<{lsn}:{}>", shown(*record))),
        Write::MirrorFrom { position, .. } => Some(format!("<from {}>", position.lsn)),
        Write::MirrorCut(position) => Some(format!("<cut {}>", position.lsn)),
        Write::Adopt { .. } => Some("ADOPT".to_owned()),
        Write::Adopted(_) | Write::AdoptedEarly(_) => Some("ADOPTED".to_owned()),
        Write::Nothing => None,
    });
    let tail: Vec<String> = tail.collect();
    format!(
        "{}#{} {} | {}",
        if node.up { "" } else { "(down) " },
        node.live.incarnation,
        kept.join(" "),
        tail.join(" ")
    )
}

fn shown(record: Record) -> String {
    match record {
        Record::Gone => ".".to_owned(),
        Record::Boot => "BOOT".to_owned(),
        Record::Publish(message) => format!("p{message}"),
        Record::Finish(message, channel) => format!("f{message}/{channel}"),
        Record::Import(message, _) => format!("i{message}"),
        Record::Release(through) => format!("RELEASE({through})"),
        Record::Listed(from) => format!("LISTED({from})"),
        Record::Empty(channel) => format!("EMPTY({channel})"),
    }
}

fn holdings(world: &World, node: &Node) -> String {
    let own = messages(world, &node.live.own);
    let copied = node.live.mirror.map(|mirror| {
        let whole = if mirror.whole { "" } else { " not whole" };
        let end = format!(
            "#{} {}.{}",
            mirror.incarnation, mirror.end.run, mirror.end.lsn
        );
        format!("{} to {end}{whole}", messages(world, &mirror.held))
    });
    let serving = if node.serving { "" } else { "~" };
    let linked = if node.link { "=" } else { "" };
    format!(
        "{serving}{linked}{own} / {}",
        copied.unwrap_or("-".to_owned())
    )
}

fn messages(world: &World, held: &[Held; MESSAGES_MAX]) -> String {
    let waiting = held
        .iter()
        .enumerate()
        .filter(|(_, held)| held.pending != 0);
    let named = waiting.map(|(message, held)| {
        let channels = match world.channels {
            1 => String::new(),
            _ => format!("/{:b}", held.pending),
        };
        format!("m{message}@{}{channels}", held.base)
    });
    let named: Vec<String> = named.collect();
    match named.is_empty() {
        true => "nothing".to_owned(),
        false => named.join(" "),
    }
}

fn told(world: &World, state: &State) -> String {
    let named = |what: &str, bits: u8| {
        let messages = (0..world.message_count()).filter(|message| bits & 1 << message != 0);
        let messages: Vec<String> = messages
            .map(|message| format!("{what} m{message}"))
            .collect();
        messages.join(" ")
    };
    let told = [named("OK", state.acked), named("alone", state.excused)];
    let told: Vec<String> = told.into_iter().filter(|told| !told.is_empty()).collect();
    told.join(" ")
}
