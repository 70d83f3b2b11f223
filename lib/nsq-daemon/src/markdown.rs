//! The options as documentation.

use std::fmt::Write as _;

use crate::options::{Command, Field, Opt};

/// A table for each group, in the order of the program's own table.
pub(crate) fn page<O>(command: &Command<O>) -> String {
    let mut out = format!("# Options of {}\n", command.program);
    let mut group = "";
    for opt in &command.options {
        if opt.group != group {
            group = opt.group;
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "\n## {group}\n\n| flag | config key | default | meaning |\n|---|---|---|---|\n"
            );
        }
        write_row(&mut out, opt);
    }
    out
}

fn write_row<O>(out: &mut String, opt: &Opt<O>) {
    let (key, default) = match &opt.field {
        Field::Value(slot) => (
            format!("`{}`", opt.key),
            slot.shown_default()
                .map_or(String::new(), |shown| format!("`{shown}`")),
        ),
        _ => (String::new(), String::new()),
    };
    let mut help = opt.help.replace('|', "\\|").replace('<', "&lt;");
    if let Some(why) = opt.superseded {
        let _ = write!(help, ". *Accepted, and not needed: {why}.*");
    }
    let _ = writeln!(out, "| `--{}` | {key} | {default} | {help} |", opt.flag);
}
