//! `nsq-simulation [--pair] [--seed S [--message N] | --seeds N [--from F] [--first]]`: runs worlds and prints
//! what came of them; with `--pair` worlds of two nodes that mirror each other, with `--first` up to the first that
//! fails.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nsq_auditor::Verdict;
use nsq_simulation::pair::{self, PairPlan};
use nsq_simulation::{Plan, run};

fn main() -> ExitCode {
    match simulate() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn simulate() -> Result<bool> {
    let (mut from, mut count, mut one) = (0, 100, false);
    let (mut paired, mut first) = (false, false);
    let mut traced = None;
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let switch = match flag.as_str() {
            "--pair" => Some(&mut paired),
            "--first" => Some(&mut first),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = true;
            continue;
        }
        let value = words
            .next()
            .with_context(|| format!("{flag} takes a number"))?;
        let value: u64 = value.parse().with_context(|| format!("{flag} {value}"))?;
        match flag.as_str() {
            "--seed" => (from, count, one) = (value, 1, true),
            "--message" => traced = Some(value),
            "--seeds" => count = value,
            "--from" => from = value,
            _ => bail!("usage: simulate [--pair] [--seed S | --seeds N [--from F] [--first]]"),
        }
    }
    let (mut steps, mut crashes, mut failed) = (0, 0, 0);
    let began = Instant::now();
    let mut seeds = from..from + count;
    while let Some(seed) = seeds.next().filter(|_| !(first && failed > 0)) {
        let (verdict, took) = match paired {
            true => pair_world(seed, one, traced),
            false => world(seed, one),
        };
        steps += took;
        crashes += verdict.counts.crashes;
        if !verdict.is_good() {
            failed += 1;
            let pair = if paired { "--pair " } else { "" };
            println!("FAILED: cargo xtask simulate {pair}--seed {seed}");
            println!(
                "  {} lost: {:?}",
                verdict.lost.len(),
                verdict.lost.iter().take(5).collect::<Vec<_>>()
            );
            for complaint in verdict.complaints.iter().take(5) {
                println!("  {complaint}");
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    let count = seeds.start - from;
    println!(
        "{count} worlds, {steps} steps, {crashes} crashes in {took:.1} s ({:.0} steps/s): {failed} failed",
        steps as f64 / took
    );
    Ok(failed == 0)
}

fn world(seed: u64, one: bool) -> (Verdict, u64) {
    let plan = Plan {
        verbose: one,
        ..Plan::of(seed)
    };
    let shown = format!("{plan:?}");
    let outcome = run(plan);
    if one {
        println!("{shown}\n{outcome:#?}");
    }
    (outcome.verdict, outcome.steps)
}

fn pair_world(seed: u64, one: bool, traced: Option<u64>) -> (Verdict, u64) {
    let plan = PairPlan {
        verbose: one,
        traced,
        ..PairPlan::of(seed)
    };
    let shown = format!("{plan:?}");
    let outcome = pair::run(plan);
    if one {
        println!("{shown}\n{outcome:#?}");
    }
    (outcome.verdict, outcome.steps)
}
