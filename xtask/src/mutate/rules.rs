//! The rules of replication pairs, and what was found to be one besides, each dropped from the code. All of them are put into the copy at once, behind a
//! switch in the environment: one build, and then one search per rule for a world that shows what the rule is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::pairs::RULES;
use super::{Copy, progress, replace_once};

/// A rule of `docs/pairs.md`, and how it is dropped.
pub struct Rule {
    pub name: &'static str,
    pub edits: &'static [Edit],
}

/// A place in the code.
pub struct Edit {
    pub file: &'static str,
    /// Stands in the file once; when it is gone the edit has to be rewritten.
    pub old: &'static str,
    /// The same, unless `DROPPED`.
    pub new: &'static str,
}

/// Names the rule that a run goes without.
const SWITCH: &str = "NSQ_DROPPED_RULE";
/// Worlds that are tried for each rule.
const SEEDS: u64 = 2500;
/// No search takes longer: it hangs, and that is noticed too.
const LONGEST: Duration = Duration::from_secs(1800);

impl Rule {
    /// R1 and so on, or a word.
    fn number(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    pub fn is_meant(&self, word: &str) -> bool {
        self.number() == word || (word.contains(' ') && self.name.contains(word))
    }
}

/// Tries the chosen rules; how many survived.
pub fn try_rules(copy: &Copy, chosen: &[&Rule]) -> Result<usize> {
    let program = build(copy)?;
    println!("{:50} {:>7}  noticed by", "rule dropped", "s");
    let (mut survived, mut faults) = (0, BTreeSet::new());
    for (number, rule) in chosen.iter().enumerate() {
        progress(&format!(
            "{} of {}: {}",
            number + 1,
            chosen.len(),
            rule.name
        ));
        let began = Instant::now();
        let mut noticed = search(&program, rule, 0)?;
        while let Some(Noticed::Seed(seed)) = noticed
            && !is_good(&program, seed)?
        {
            println!("FAILS WITH ALL RULES: cargo xtask simulate --pair --seed {seed}");
            faults.insert(seed);
            noticed = search(&program, rule, seed + 1)?;
        }
        progress("");
        let took = began.elapsed().as_secs_f64();
        match noticed {
            Some(Noticed::Seed(seed)) => {
                let by = format!("cargo xtask simulate --pair --seed {seed}");
                println!("{:50} {took:7.1}  {by}", rule.name);
            }
            Some(Noticed::Hung) => println!("{:50} {took:7.1}  a world that hangs", rule.name),
            None => {
                survived += 1;
                println!("{:50} {took:7.1}  NOBODY, in {SEEDS} worlds", rule.name);
            }
        }
    }
    if !faults.is_empty() {
        bail!("worlds that fail with all rules: {faults:?}");
    }
    Ok(survived)
}

/// The simulation with all rules behind the switch.
fn build(copy: &Copy) -> Result<PathBuf> {
    progress("building it once");
    let mut before: Vec<(PathBuf, String)> = Vec::new();
    let built = put_in(copy, &mut before).and_then(|()| {
        let mut build = copy.command("cargo");
        let built = build.args(["build", "--quiet", "--release", "-p", "nsq-simulation"]);
        let built = built.output()?;
        if !built.status.success() {
            let told = String::from_utf8_lossy(&built.stderr);
            bail!("does not compile: {told:.3000}");
        }
        let program = copy.target.join("switched-simulation");
        fs::copy(copy.target.join("release/nsq-simulation"), &program)?;
        Ok(program)
    });
    for (path, text) in before.into_iter().rev() {
        fs::write(path, text)?;
    }
    built
}

fn put_in(copy: &Copy, before: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for rule in RULES {
        for edit in rule.edits {
            let path = copy.source.join(edit.file);
            let text = fs::read_to_string(&path).with_context(|| edit.file.to_owned())?;
            let switched = edit.switched(rule, &text)?;
            fs::write(&path, switched)?;
            before.push((path, text));
        }
    }
    Ok(())
}

impl Edit {
    fn switched(&self, rule: &Rule, text: &str) -> Result<String> {
        let number = rule.number();
        let switch = format!("std::env::var({SWITCH:?}).is_ok_and(|it| it == {number:?})");
        let new = self.new.replace("DROPPED", &switch);
        replace_once(text, (self.old, &new), rule.name, self.file)
    }
}

enum Noticed {
    Seed(u64),
    Hung,
}

/// The first world since `from` that fails without the rule.
fn search(program: &Path, rule: &Rule, from: u64) -> Result<Option<Noticed>> {
    let mut run = Command::new("timeout");
    run.arg(LONGEST.as_secs().to_string()).arg(program);
    run.args(["--pair", "--first", "--from", &from.to_string()]);
    run.args(["--seeds", &(SEEDS.saturating_sub(from)).to_string()]);
    let ended = run.env(SWITCH, rule.number()).stderr(Stdio::null());
    let ended = ended.output()?;
    match ended.status.code() {
        Some(0) => return Ok(None),
        Some(super::HUNG) => return Ok(Some(Noticed::Hung)),
        _ => {}
    }
    let told = String::from_utf8_lossy(&ended.stdout);
    let seed = told.split("--seed ").nth(1);
    let seed = seed.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let seed = seed.with_context(|| format!("{}: {told:.500}", rule.name))?;
    Ok(Some(Noticed::Seed(seed)))
}

/// The same world with all rules.
fn is_good(program: &Path, seed: u64) -> Result<bool> {
    let mut run = Command::new(program);
    run.args(["--pair", "--seeds", "1", "--from", &seed.to_string()]);
    let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    #[test]
    fn every_rule_still_finds_what_it_changes() {
        for rule in RULES {
            assert!(rule.edits.iter().any(|edit| edit.new.contains("DROPPED")));
            for edit in rule.edits {
                let text = fs::read_to_string(root().join(edit.file)).unwrap();
                let switched = edit.switched(rule, &text).unwrap();
                assert_ne!(switched, text, "{}", rule.name);
            }
        }
    }
}
