//! Flags in Go's syntax: `-x v`, `-x=v`, `--x v`, `--x=v`, switches `-x` and `-x=false`; the first word
//! that is no flag, or `--`, ends them. A flag's value is the next word as it is, `-n -3` included.

use std::ffi::OsString;

use crate::options::{Command, Field, Opt};
use crate::stop::Stop;
use crate::usage;

/// What the command line says; nothing but its syntax has been checked.
#[derive(Debug, Default)]
pub(crate) struct CommandLine {
    /// Positions in the table and values, in the order given.
    pub values: Vec<(usize, String)>,
    pub config: Option<String>,
    pub version: bool,
}

pub(crate) fn parse<O>(command: &Command<O>, args: Vec<OsString>) -> Result<CommandLine, Stop> {
    let mut line = CommandLine::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let arg = utf8(command, arg)?;
        let Some((name, inline)) = flag(command, &arg)? else {
            break;
        };
        let Some(position) = command.options.iter().position(|opt| opt.flag == name) else {
            if matches!(name, "help" | "h") {
                return Err(Stop::Help(usage::text(command)));
            }
            return Err(wrong(
                command,
                format!("flag provided but not defined: -{name}"),
            ));
        };
        let opt = &command.options[position];
        let value = match inline {
            Some(value) => value.to_owned(),
            None if opt.field.is_switch() => "true".to_owned(),
            None => match args.next() {
                Some(value) => utf8(command, value)?,
                None => return Err(wrong(command, format!("flag needs an argument: -{name}"))),
            },
        };
        match &opt.field {
            Field::Value(_) => line.values.push((position, value)),
            Field::ConfigFile => line.config = Some(value),
            Field::Version => line.version = switch(command, opt, &value)?,
            Field::Deprecated => drop(switch(command, opt, &value)?),
        }
    }
    Ok(line)
}

/// Name and inline value if this is a flag, `None` if it ends the flags.
fn flag<'a, O>(
    command: &Command<O>,
    arg: &'a str,
) -> Result<Option<(&'a str, Option<&'a str>)>, Stop> {
    let Some(text) = arg.strip_prefix('-').filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text == "-" {
        return Ok(None);
    }
    let text = text.strip_prefix('-').unwrap_or(text);
    if text.starts_with(['-', '=']) {
        return Err(wrong(command, format!("bad flag syntax: {arg}")));
    }
    Ok(Some(match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    }))
}

fn switch<O>(command: &Command<O>, opt: &Opt<O>, text: &str) -> Result<bool, Stop> {
    <bool as crate::value::FlagValue>::parse(text)
        .map_err(|reason| bad_value(command, opt, text, &reason))
}

fn utf8<O>(command: &Command<O>, arg: OsString) -> Result<String, Stop> {
    arg.into_string()
        .map_err(|arg| wrong(command, format!("argument is not UTF-8: {arg:?}")))
}

/// The sentence of a value that its flag cannot take.
pub(crate) fn bad_value<O>(command: &Command<O>, opt: &Opt<O>, text: &str, reason: &str) -> Stop {
    let (flag, kind) = (
        opt.flag,
        if opt.field.is_switch() {
            "boolean value"
        } else {
            "value"
        },
    );
    let preposition = if opt.field.is_switch() {
        "for"
    } else {
        "for flag"
    };
    wrong(
        command,
        format!("invalid {kind} {text:?} {preposition} -{flag}: {reason}"),
    )
}

fn wrong<O>(command: &Command<O>, reason: String) -> Stop {
    Stop::Usage {
        reason,
        usage: usage::text(command),
    }
}
