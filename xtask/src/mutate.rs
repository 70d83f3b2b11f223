//! `cargo xtask mutate`: breaks the code on purpose, in a copy, and shows that a test notices each
//! time. One that survives means that the tests promise more than they check.

mod list;
mod operator;
mod pairs;
mod rules;

use std::collections::HashMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{output, root, target};
use list::MUTATIONS;
use operator::OPERATOR;
use pairs::RULES;
use rules::Rule;

/// A change that must be noticed.
pub struct Mutation {
    name: &'static str,
    file: &'static str,
    /// Stands in the file once; when it is gone the mutation has to be rewritten.
    old: &'static str,
    new: &'static str,
    /// The cheapest first; one of them must fail.
    checks: &'static [Check],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Arguments of `cargo test`.
    Tests(&'static [&'static str]),
    /// Arguments of the chaos runner.
    Chaos(&'static [&'static str]),
}

/// A check that takes so many times as long as on the code as it is, and a while more, hangs, and has noticed.
const PATIENCE: u32 = 3;
/// How `timeout` ends then.
const HUNG: i32 = 124;

impl Check {
    /// As one would type it.
    fn name(self) -> String {
        match self {
            Check::Tests(words) => format!("cargo test {}", words.join(" ")),
            Check::Chaos(words) => format!("cargo xtask chaos {}", words[0]),
        }
    }
}

enum Outcome {
    Noticed(String, Duration),
    Survived(Duration),
}

pub fn run(arguments: &[String]) -> Result<()> {
    let meant = |name: &str| arguments.iter().any(|word| name.contains(word.as_str()));
    let all = || MUTATIONS.iter().chain(OPERATOR);
    let chosen = all().filter(|one| arguments.is_empty() || meant(one.name));
    let chosen: Vec<&Mutation> = chosen.collect();
    let all_rules = arguments.is_empty() || arguments.iter().any(|word| word == "rules");
    let is_meant = |rule: &&Rule| arguments.iter().any(|word| rule.is_meant(word));
    let rules = RULES.iter().filter(|rule| all_rules || is_meant(rule));
    let rules: Vec<&Rule> = rules.collect();
    if chosen.is_empty() && rules.is_empty() {
        let names: Vec<_> = all().map(|one| one.name).collect();
        bail!(
            "usage: cargo xtask mutate [NAME ...]; there are: {}; rules, R1, ..., {}",
            names.join("; "),
            RULES.last().map_or("", |rule| rule.name)
        );
    }
    let mut copy = Copy::make()?;
    // Whether the old texts are there is known before anything is built.
    for one in &chosen {
        copy.mutated(one)?;
    }
    copy.try_unchanged(&chosen)?;
    let mut survived = try_mutations(&copy, &chosen)?;
    if !rules.is_empty() {
        survived += rules::try_rules(&copy, &rules)?;
    }
    let all = chosen.len() + rules.len();
    if survived > 0 {
        bail!("{survived} of {all} mutations survived");
    }
    println!("{all} mutations, each noticed");
    Ok(())
}

/// How many survived.
fn try_mutations(copy: &Copy, chosen: &[&Mutation]) -> Result<usize> {
    if chosen.is_empty() {
        return Ok(0);
    }
    let mut survived = 0;
    println!("{:40} {:>7}  noticed by", "mutation", "s");
    for (number, one) in chosen.iter().enumerate() {
        progress(&format!("{} of {}: {}", number + 1, chosen.len(), one.name));
        let outcome = copy.try_out(one).with_context(|| one.name.to_owned())?;
        progress("");
        match outcome {
            Outcome::Noticed(by, took) => {
                println!("{:40} {:7.1}  {by}", one.name, took.as_secs_f64());
            }
            Outcome::Survived(took) => {
                survived += 1;
                println!("{:40} {:7.1}  NOBODY", one.name, took.as_secs_f64());
            }
        }
    }
    Ok(survived)
}

/// The sources once more, with a target directory of their own.
struct Copy {
    source: PathBuf,
    target: PathBuf,
    /// How long each check takes on the code as it is.
    usual: HashMap<Check, Duration>,
}

impl Copy {
    /// Copies what git knows and what has changed since the last time: the rest stays built.
    fn make() -> Result<Self> {
        let copy = Self {
            source: target().join("mutate/source"),
            target: target().join("mutate/target"),
            usual: HashMap::new(),
        };
        let listed = output(Command::new("git").current_dir(root()).args(["ls-files"]))?;
        for file in listed.lines() {
            let (from, to) = (root().join(file), copy.source.join(file));
            let Ok(content) = fs::read(&from) else {
                continue; // a link to a directory, or removed and not committed yet
            };
            if fs::read(&to).ok().as_ref() != Some(&content) {
                to.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(&to, content)?;
            }
        }
        Ok(copy)
    }

    /// The file's text as it is, and as the mutation makes it.
    fn mutated(&self, one: &Mutation) -> Result<(String, String)> {
        let text =
            fs::read_to_string(self.source.join(one.file)).with_context(|| one.file.to_owned())?;
        let mutated = replace_once(&text, (one.old, one.new), one.name, one.file)?;
        Ok((text, mutated))
    }

    /// A check that fails without any mutation would notice everything.
    fn try_unchanged(&mut self, chosen: &[&Mutation]) -> Result<()> {
        for check in chosen.iter().flat_map(|one| one.checks) {
            if self.usual.contains_key(check) {
                continue;
            }
            progress(&format!("as it is: {}", check.name()));
            let (took, status) = self.run(*check, Duration::from_secs(3600))?;
            if !status.success() {
                bail!("fails without any mutation: {}", check.name());
            }
            self.usual.insert(*check, took);
        }
        Ok(())
    }

    fn try_out(&self, one: &Mutation) -> Result<Outcome> {
        let (text, mutated) = self.mutated(one)?;
        let path = self.source.join(one.file);
        fs::write(&path, mutated)?;
        let outcome = self.check(one);
        fs::write(&path, text)?;
        outcome
    }

    fn check(&self, one: &Mutation) -> Result<Outcome> {
        let mut all = Duration::ZERO;
        for check in one.checks {
            let usual = self.usual.get(check).copied().unwrap_or_default();
            let patience = usual * PATIENCE + Duration::from_secs(20);
            let (took, status) = self.run(*check, patience)?;
            all += took;
            if !status.success() {
                let how = if status.code() == Some(HUNG) {
                    ", by hanging"
                } else {
                    ""
                };
                return Ok(Outcome::Noticed(format!("{}{how}", check.name()), all));
            }
        }
        Ok(Outcome::Survived(all))
    }

    /// Builds a check and runs it; how long that took without building.
    fn run(&self, check: Check, patience: Duration) -> Result<(Duration, ExitStatus)> {
        let patience = patience.as_secs().to_string();
        let (mut build, mut run) = (self.command("cargo"), self.command("timeout"));
        run.arg(patience);
        match check {
            Check::Tests(words) => {
                build.args(["test", "--quiet", "--no-run"]).args(words);
                run.args(["cargo", "test", "--quiet"]).args(words);
            }
            Check::Chaos(words) => {
                build.args([
                    "build",
                    "--quiet",
                    "-p",
                    "nsqd",
                    "-p",
                    "nsq-tools",
                    "-p",
                    "nsqlookupd",
                    "-p",
                    "nsq-chaos",
                ]);
                let programs = self.target.join("debug");
                run.arg(programs.join("nsq-chaos"));
                run.arg("--nsqd").arg(programs.join("nsqd"));
                run.arg("--nsq-to-nsq").arg(programs.join("nsq_to_nsq"));
                run.arg("--nsqlookupd").arg(programs.join("nsqlookupd"));
                run.args(["--strict", "--seed=1"]).args(words);
            }
        }
        let built = build.output()?;
        if !built.status.success() {
            let told = String::from_utf8_lossy(&built.stderr);
            bail!("does not compile: {told:.2000}");
        }
        let began = Instant::now();
        let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok((began.elapsed(), status))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(Path::new(&self.source))
            .env("CARGO_TARGET_DIR", &self.target)
            // Simulations run several times as fast, for little more to build.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        command
    }
}

/// Shows on a terminal what is being done.
fn progress(what: &str) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // A terminal that is gone is no reason to stop.
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    }
}

/// An edit that finds nothing, or more than one place, would prove nothing.
fn replace_once(text: &str, (old, new): (&str, &str), name: &str, file: &str) -> Result<String> {
    let found = text.matches(old).count();
    ensure!(
        found == 1,
        "{name:?}: {file} has {old:?} {found} times, not once: rewrite it in xtask/src/mutate"
    );
    Ok(text.replace(old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_still_finds_what_it_changes() {
        for one in MUTATIONS.iter().chain(OPERATOR) {
            let text = fs::read_to_string(root().join(one.file)).unwrap();
            assert_eq!(
                text.matches(one.old).count(),
                1,
                "{}: {:?}",
                one.name,
                one.old
            );
            assert_ne!(one.old, one.new);
        }
    }
}
