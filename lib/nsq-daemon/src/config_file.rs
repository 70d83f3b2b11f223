//! The config file: TOML with NSQ's key names. Unknown keys are ignored, as NSQ does, so that one file
//! can serve several versions.

use std::fs;

use crate::options::{Command, Field, Given};

/// Sets every option that the file has a key for.
///
/// # Errors
/// The reason: unreadable, not TOML (with line and column), or which key has a value of a wrong kind.
pub(crate) fn apply<O>(
    command: &Command<O>,
    path: &str,
    options: &mut O,
    given: &mut Given,
) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|err| err.to_string())?;
    let table: toml::Table = text.parse().map_err(|err| syntax_error(&text, &err))?;
    for opt in &command.options {
        if let Field::Value(slot) = &opt.field
            && let Some(value) = table.get(&opt.key)
        {
            slot.set_config(options, value)
                .map_err(|reason| format!("{}: {reason}", opt.key))?;
            given.insert((false, opt.flag));
        }
    }
    Ok(())
}

/// toml's own text draws the place over several lines; a log line has only one.
fn syntax_error(text: &str, err: &toml::de::Error) -> String {
    match err.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!(
            "line {}: {}",
            before.matches('\n').count() + 1,
            err.message()
        ),
        None => err.message().to_owned(),
    }
}
