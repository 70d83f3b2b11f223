//! The usage text, laid out as Go's `flag` package does.

use std::fmt::Write as _;

use crate::options::{Command, Field, Opt};

/// `Usage of nsqd:` and every flag with its type, help and default, sorted by name.
pub(crate) fn text<O>(command: &Command<O>) -> String {
    let mut options: Vec<_> = command.options.iter().collect();
    options.sort_by_key(|opt| opt.flag);
    let mut out = format!("Usage of {}:\n", command.program);
    for opt in options {
        write_option(&mut out, opt);
    }
    out
}

fn write_option<O>(out: &mut String, opt: &Opt<O>) {
    let mut head = format!("  -{}", opt.flag);
    let type_name = opt.field.type_name();
    if !type_name.is_empty() {
        let _ = write!(head, " {type_name}");
    }
    // A flag of one letter without a type has its help on the same line.
    head.push_str(if head.len() <= 4 { "\t" } else { "\n    \t" });
    out.push_str(&head);
    out.push_str(&opt.help.replace('\n', "\n    \t"));
    if let Field::Value(slot) = &opt.field
        && let Some(default) = slot.shown_default()
    {
        let _ = write!(out, " (default {default})");
    }
    out.push('\n');
}
