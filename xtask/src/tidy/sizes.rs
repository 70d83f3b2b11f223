//! Files and functions stay small enough to be read. What is larger stands in `ratchet.txt` with
//! its size, which may only become smaller.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::shown;

const FILE_LINES: usize = 400;
const TEST_FILE_LINES: usize = 650;
const FUNCTION_LINES: usize = 70;
/// Tables of cases are long and read easily.
const TEST_FUNCTION_LINES: usize = 170;
const RATCHET: &str = include_str!("ratchet.txt");

pub fn check(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut large = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| shown(file))?;
        measure(&shown(file), is_test(file), &text, &mut large);
    }
    Ok(compare(&ratchet()?, &large))
}

fn is_test(file: &Path) -> bool {
    let mut parts = file.components();
    parts.any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

/// What is over the limits, by name: `path` or `path: function`.
fn measure(name: &str, test: bool, text: &str, large: &mut BTreeMap<String, usize>) {
    let lines: Vec<&str> = text.lines().collect();
    let tests_at = lines.iter().position(|line| *line == "#[cfg(test)]");
    let own = &lines[..tests_at.unwrap_or(lines.len())];
    let (limit, function_limit) = match test {
        true => (TEST_FILE_LINES, TEST_FUNCTION_LINES),
        false => (FILE_LINES, FUNCTION_LINES),
    };
    if own.len() > limit {
        large.insert(name.to_owned(), own.len());
    }
    for (at, line) in lines.iter().enumerate() {
        let Some(function) = function_name(line) else {
            continue;
        };
        // The sources are formatted: a body ends where a brace stands as deep as `fn`.
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", &line[..indent]);
        // A trait's function without a body ends with its arguments.
        let declared = format!("{})", &line[..indent]);
        let is_end = |line: &str| line == end || line.starts_with(&declared) && line.ends_with(';');
        let rest = lines[at..].iter();
        let length = rest.take_while(|line| !is_end(line)).count() + 1;
        let one_line = line.ends_with('}') || line.ends_with(';');
        if !one_line && length > function_limit {
            large.insert(format!("{name}: {function}"), length);
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let at = match line.starts_with("fn ") {
        true => 0,
        false => line.find(" fn ")? + 1,
    };
    let before = &line[..at];
    let qualifiers = ["pub", "async", "const", "unsafe", "extern"];
    let qualified = |word: &str| qualifiers.iter().any(|known| word.starts_with(known));
    if !before.split_whitespace().all(qualified) {
        return None;
    }
    line[at + 3..].split(['(', '<']).next()
}

fn ratchet() -> Result<BTreeMap<String, usize>> {
    let lines = RATCHET
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (size, name) = line.split_once(' ').context("ratchet.txt: SIZE NAME")?;
            Ok((name.to_owned(), size.parse()?))
        })
        .collect()
}

fn compare(ratchet: &BTreeMap<String, usize>, large: &BTreeMap<String, usize>) -> Vec<String> {
    let grown = large
        .iter()
        .filter_map(|(name, &size)| match ratchet.get(name) {
            None => Some(format!("{name}: {size} lines are too many")),
            Some(&allowed) if size > allowed => {
                Some(format!("{name}: {size} lines, {allowed} were bad enough"))
            }
            Some(&allowed) if size < allowed => Some(format!(
                "{name}: only {size} lines now, say so in ratchet.txt"
            )),
            Some(_) => None,
        });
    let gone = ratchet.keys().filter(|name| !large.contains_key(*name));
    let gone = gone.map(|name| format!("{name}: is small now, take it out of ratchet.txt"));
    grown.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_are_found() {
        let body = "    x();\n".repeat(FUNCTION_LINES);
        let text = format!(
            "trait A {{\n    fn b(\n    );\n}}\npub(crate) async fn long<T>() {{\n{body}}}\nfn short() {{}}\n"
        );
        let mut large = BTreeMap::new();
        measure("f.rs", false, &text, &mut large);
        let found: Vec<_> = large.into_iter().collect();
        assert_eq!(found, [("f.rs: long".to_owned(), FUNCTION_LINES + 2)]);
    }

    #[test]
    fn the_ratchet_only_turns_one_way() {
        let one = |size| BTreeMap::from([("f".to_owned(), size)]);
        assert_eq!(compare(&one(90), &one(90)), [""; 0]);
        for large in [one(91), one(89), BTreeMap::new()] {
            assert_eq!(compare(&one(90), &large).len(), 1);
        }
        assert_eq!(compare(&BTreeMap::new(), &one(90)).len(), 1);
    }
}
