//! A run of several steps, each of which may be impossible on this machine: the others run all
//! the same, and what was not run is said last and loud.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub struct Step {
    pub name: &'static str,
    pub about: &'static str,
    /// Why it cannot be run here, if so.
    pub missing: fn() -> Option<String>,
    pub run: fn() -> Result<()>,
}

enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    Skipped(String),
}

/// Runs the steps in order; `strict`: what cannot be run is a failure.
pub fn run(steps: &[&Step], strict: bool) -> Result<()> {
    let mut outcomes = Vec::new();
    for step in steps {
        println!("\n=== {}: {}", step.name, step.about);
        let started = Instant::now();
        let outcome = match (step.missing)() {
            Some(why) => Outcome::Skipped(why),
            None => match (step.run)() {
                Ok(()) => Outcome::Passed(started.elapsed()),
                Err(error) => Outcome::Failed(started.elapsed(), format!("{error:#}")),
            },
        };
        if let Outcome::Failed(_, why) = &outcome {
            println!("--- {} failed: {why}", step.name);
        }
        outcomes.push((step.name, outcome));
    }
    report(&outcomes, strict)
}

fn report(outcomes: &[(&str, Outcome)], strict: bool) -> Result<()> {
    println!("\n=== summary");
    let (mut failed, mut skipped) = (0, 0);
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(time) => println!("  passed  {name:10} {:6.1} s", time.as_secs_f64()),
            Outcome::Failed(time, why) => {
                failed += 1;
                println!("  FAILED  {name:10} {:6.1} s  {why}", time.as_secs_f64());
            }
            Outcome::Skipped(why) => {
                skipped += 1;
                println!("  NOT RUN {name:10}           {why}");
            }
        }
    }
    let passed = outcomes.len() - failed - skipped;
    println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
    if skipped > 0 {
        println!(
            "\n!!! {skipped} of the steps could not be run here: what they test is NOT tested."
        );
    }
    if failed > 0 || (strict && skipped > 0) {
        bail!("{failed} failed, {skipped} could not be run");
    }
    Ok(())
}
