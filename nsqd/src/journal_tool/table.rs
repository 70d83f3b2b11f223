//! The report for people.

use comfy_table::{CellAlignment, Table, presets};

use super::report::Report;

/// Everything.
pub fn whole(report: &Report) -> String {
    let mut text = format!(
        "journal {}, next run {}, records end at {}\n",
        report.incarnation, report.next_run, report.end
    );
    let rows = report.files.iter().map(|file| {
        let name = file.name.clone();
        [name, file.bytes.to_string(), file.content.clone()]
    });
    section(&mut text, "FILE BYTES CONTENT", &[1], rows);
    let rows = report.records.iter().map(|(name, kind)| {
        let name = (*name).to_owned();
        [name, kind.count.to_string(), kind.bytes.to_string()]
    });
    section(&mut text, "RECORD COUNT BYTES", &[1, 2], rows);
    let rows = report.topics.iter().flat_map(|topic| {
        let paused = |paused: bool| if paused { "paused" } else { "" }.to_owned();
        let spilled = topic.spilled_bytes.to_string();
        let own = [
            topic.name.clone(),
            String::new(),
            topic.depth.to_string(),
            String::new(),
            spilled,
            paused(topic.paused),
        ];
        let channels = topic.channels.iter().map(move |channel| {
            [
                String::new(),
                channel.name.clone(),
                channel.depth.to_string(),
                channel.deferred.to_string(),
                String::new(),
                paused(channel.paused),
            ]
        });
        std::iter::once(own).chain(channels)
    });
    section(
        &mut text,
        "TOPIC CHANNEL DEPTH DEFERRED SPILLED STATE",
        &[2, 3, 4],
        rows,
    );
    for line in &report.listed {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&verdict(report));
    text
}

/// What is wrong, or that nothing is.
pub fn verdict(report: &Report) -> String {
    let mut text = String::new();
    let mut tell = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if report.in_use {
        tell(
            "a server is running here: what it has not written yet looks like a torn end"
                .to_owned(),
        );
    }
    if report.torn_tail_bytes > 0 {
        tell(format!(
            "{} bytes of an unfinished record at the end: nobody was told that it was kept",
            report.torn_tail_bytes
        ));
    }
    for file in report.files.iter().filter(|file| !file.readable) {
        tell(format!("journal/{}: {}", file.name, file.content));
    }
    for hole in &report.holes {
        tell(format!("DAMAGED {}..{}: {}", hole.from, hole.to, hole.why));
    }
    for topic in &report.topics {
        if let Some(why) = &topic.unreadable_why {
            let (name, count) = (&topic.name, topic.unreadable_blocks);
            tell(format!(
                "DAMAGED topic {name}: {count} spilled blocks, the first: {why}"
            ));
        }
        if topic.lost > 0 {
            let (name, lost) = (&topic.name, topic.lost);
            tell(format!(
                "LOST topic {name}: {lost} messages in spill files that are gone"
            ));
        }
    }
    tell(match report.is_damaged() {
        true => "damaged: a server starts with what is whole and sets the rest aside in journal/quarantine".to_owned(),
        false => "whole: everything that was kept can be read".to_owned(),
    });
    text
}

fn section<const N: usize>(
    text: &mut String,
    head: &str,
    right: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.split(' '));
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    rows.for_each(|row| {
        table.add_row(row);
    });
    text.push('\n');
    for line in table.trim_fmt().lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push('\n');
    }
}
