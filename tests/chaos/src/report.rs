//! Outcomes for people, for programs, and for the table in the documentation.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::finding::Finding;
use crate::machine;
use crate::rows::{Outcome, Row};

/// A row that was run, or could not be.
pub struct Made<'a> {
    pub row: &'a Row,
    pub rounds: usize,
    pub done: Done,
}

pub enum Done {
    NotRun(String),
    Failed(String),
    Run(Outcome, Duration),
}

impl Made<'_> {
    /// Every promise was kept, and the control shows that this means something.
    pub fn is_good(&self) -> bool {
        match &self.done {
            Done::Run(outcome, _) => {
                let control = outcome
                    .control
                    .as_ref()
                    .filter(|_| self.row.control_must_break);
                outcome.ours.iter().all(Finding::is_good) && control.is_none_or(|go| !go.is_good())
            }
            _ => false,
        }
    }

    /// What is wrong, in words.
    fn wrong(&self) -> Vec<String> {
        match &self.done {
            Done::NotRun(why) => vec![format!("not run: {why}")],
            Done::Failed(why) => vec![why.clone()],
            Done::Run(outcome, _) => {
                let mut wrong: Vec<String> = Vec::new();
                for ours in &outcome.ours {
                    wrong.extend(
                        ours.broken
                            .iter()
                            .map(|what| format!("{}: {what}", ours.server)),
                    );
                }
                let control = outcome
                    .control
                    .as_ref()
                    .filter(|_| self.row.control_must_break);
                if control.is_some_and(Finding::is_good) {
                    wrong.push("the control broke no promise, so this run proves nothing".into());
                }
                wrong
            }
        }
    }

    fn verdict(&self) -> &'static str {
        match &self.done {
            Done::NotRun(_) => "NOT RUN",
            _ if self.is_good() => "kept",
            _ => "BROKEN",
        }
    }
}

/// For a terminal.
pub fn lines(made: &Made<'_>) -> String {
    let mut out = format!("{:15} {}", made.row.name, made.verdict());
    if let Done::Run(outcome, took) = &made.done {
        let _ = writeln!(out, ", {:.1} s", took.as_secs_f64());
        for finding in outcome.ours.iter().chain(&outcome.control) {
            let _ = writeln!(out, "    {}: {}", finding.server, finding.told());
        }
        for what in outcome.control.iter().flat_map(|control| &control.broken) {
            let _ = writeln!(out, "    the control: {what:.300}");
        }
    } else {
        out.push('\n');
    }
    for what in made.wrong() {
        let _ = writeln!(out, "    !!! {what:.2000}");
    }
    out
}

/// For programs.
pub fn json(made: &Made<'_>, seed: u64) -> String {
    let (ours, control) = match &made.done {
        Done::Run(outcome, _) => (Some(&outcome.ours), outcome.control.as_ref()),
        _ => (None, None),
    };
    json!({
        "row": made.row.name,
        "rounds": made.rounds,
        "seed": seed,
        "verdict": made.verdict(),
        "wrong": made.wrong(),
        "ours": ours,
        "control": control,
    })
    .to_string()
}

const BEGIN: &str = "<!-- made by cargo xtask chaos: begin -->";
const END: &str = "<!-- made by cargo xtask chaos: end -->";

/// Puts the table between the markers of a Markdown file; the rest of it stays. Rows that were not
/// made this time keep their lines.
///
/// # Errors
/// When the file cannot be read or written, or has no markers.
pub fn write(path: &Path, made: &[Made<'_>], seed: u64) -> Result<()> {
    let named = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(named)?;
    let text = replaced(&text, made, seed, &today(), &machine::description());
    let text = text.with_context(|| format!("{} has no line {BEGIN}", path.display()))?;
    std::fs::write(path, text).with_context(named)
}

fn replaced(
    text: &str,
    made: &[Made<'_>],
    seed: u64,
    today: &str,
    machine: &str,
) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let mut table = String::from(
        "\n| row | what is done | ours | verdict | Go | run |\n|---|---|---|---|---|---|\n",
    );
    for row in crate::rows::ROWS {
        let head = format!("| `{}` |", row.name);
        match made.iter().find(|one| one.row.name == row.name) {
            Some(one) => table.push_str(&line(one, seed, today)),
            None => {
                let kept = old.lines().find(|line| line.starts_with(&head));
                kept.into_iter().for_each(|line| {
                    table.push_str(line);
                    table.push('\n');
                });
            }
        }
    }
    Some(format!(
        "{before}{BEGIN}\n{table}\n{machine}.\n\n{END}{after}"
    ))
}

fn line(made: &Made<'_>, seed: u64, today: &str) -> String {
    let (ours, control) = match &made.done {
        Done::Run(outcome, _) => {
            let ours = outcome
                .ours
                .iter()
                .map(|one| format!("{}: {}", one.server, one.told()));
            let control = outcome.control.as_ref().map(|go| match go.broken.first() {
                Some(broken) => format!("{}: **{broken}**", go.server),
                None => format!("{}: {}", go.server, go.told()),
            });
            (
                ours.collect::<Vec<_>>().join("; "),
                control.unwrap_or_default(),
            )
        }
        _ => (made.wrong().join("; "), String::new()),
    };
    let cell = |text: String| text.replace(['\n', '|'], " ");
    format!(
        "| `{}` | {}; {} {} | {} | {} | {} | {today}, seed {seed} |\n",
        made.row.name,
        made.row.about,
        made.rounds,
        made.row.rounds,
        cell(ours),
        made.verdict(),
        cell(control),
    )
}

fn today() -> String {
    let day = std::process::Command::new("date")
        .args(["-u", "+%F"])
        .output();
    let day = day.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    day.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    fn made(broken: bool) -> Made<'static> {
        let mut ours = Finding::new("ours");
        ours.count("lost", 0);
        ours.must(!broken, || "it broke".to_owned());
        let mut control = Finding::new("Go");
        control.must(false, || "12 are lost".to_owned());
        let outcome = Outcome {
            ours: vec![ours],
            control: Some(control),
        };
        Made {
            row: &ROWS[0],
            rounds: 3,
            done: Done::Run(outcome, Duration::from_secs(1)),
        }
    }

    #[test]
    fn a_control_that_breaks_nothing_proves_nothing() {
        assert!(made(false).is_good());
        assert!(!made(true).is_good());
        let mut tame = made(false);
        if let Done::Run(outcome, _) = &mut tame.done {
            outcome.control = Some(Finding::new("Go"));
        }
        assert!(!tame.is_good());
        assert!(lines(&tame).contains("proves nothing"));
    }

    #[test]
    fn the_table_is_replaced_and_the_prose_and_other_rows_stay() {
        let old = format!("prose\n{BEGIN}\n| `power` | old |\n{END}\nmore\n");
        let new = replaced(&old, &[made(false)], 7, "today", "a machine").unwrap();
        assert!(
            new.starts_with("prose\n") && new.ends_with("\nmore\n"),
            "{new}"
        );
        assert!(
            new.contains("| `kill` |")
                && new.contains("| kept | Go: **12 are lost** | today, seed 7 |")
        );
        assert!(new.contains("| `power` | old |"));
        assert_eq!(
            replaced(&new, &[made(false)], 7, "today", "a machine").unwrap(),
            new
        );
        assert!(replaced("no markers", &[], 7, "", "").is_none());
    }
}
