//! `nsq-model [WORLD ...] [--drop RULE] [--states N]`, `nsq-model rules [RULE ...]`, `nsq-model list`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nsq_model::rules::{About, RULES, Rule};
use nsq_model::search::{End, Found, Progress, search};
use nsq_model::tell;
use nsq_model::world::{LARGE, SMALL, World};

const USAGE: &str = "usage: model [WORLD ...|small|all] [--drop RULE] [--states N] | model rules [RULE ...] | model list";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("model: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"rules", names)) => rules(names),
        Some((&"list", [])) => {
            list();
            Ok(true)
        }
        _ => worlds(&words),
    }
}

fn list() {
    println!("worlds, small: {}", names(SMALL));
    println!("worlds, large: {}\n", names(LARGE));
    for about in RULES {
        println!(
            "{:4} {}; without it: {}",
            about.name,
            about.says,
            about.promise.says()
        );
    }
}

fn names(worlds: &[World]) -> String {
    let names: Vec<&str> = worlds.iter().map(|world| world.name).collect();
    names.join(" ")
}

fn worlds(words: &[&str]) -> Result<bool> {
    let (mut chosen, mut dropped, mut states) = (Vec::new(), Vec::new(), None);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} takes a value"))
        };
        match word {
            "--drop" => dropped.push(rule(value()?)?),
            "--states" => states = Some(value()?.parse().context("--states")?),
            "small" => chosen.extend(SMALL.iter().cloned()),
            "all" => chosen.extend(SMALL.iter().chain(LARGE).cloned()),
            name if name.starts_with('-') => bail!("there is no {name}; {USAGE}"),
            name => {
                chosen.push(World::named(name).with_context(|| {
                    format!("there is no world {name:?}: `model list` shows them")
                })?)
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(SMALL.iter().chain(LARGE).cloned());
    }
    let mut good = true;
    for mut world in chosen {
        dropped
            .iter()
            .for_each(|about| world = world.without(about.rule));
        world.states_max = states.unwrap_or(world.states_max);
        let found = search(&world, None, &mut |progress| show(&world, progress));
        good &= said(&world, &found);
    }
    Ok(good)
}

fn rule(name: &str) -> Result<&'static About> {
    Rule::named(name).with_context(|| format!("there is no rule {name:?}: `model list` shows them"))
}

/// One line, and the history if a promise was broken. True: none was.
fn said(world: &World, found: &Found) -> bool {
    clear();
    let seconds = found.took.as_secs_f64();
    let rate = found.states as f64 / seconds.max(1e-9);
    let end = match &found.end {
        End::Clean => "clean".to_owned(),
        End::TooMany => "STOPPED: clean so far, more states than the bound".to_owned(),
        End::Overfull => "ERROR: a list of the model is too short for this world".to_owned(),
        End::Broken(broken, _) => format!("BROKEN: {}: {}", broken.promise.says(), broken.how),
    };
    println!(
        "{:16} {:>10} states {:>11} steps  depth {:>3} {seconds:>7.1} s {rate:>9.0} states/s  {end}",
        world.name, found.states, found.transitions, found.depth
    );
    if let End::Broken(_, steps) = &found.end {
        println!("{}", tell::table(world, steps));
    }
    matches!(found.end, End::Clean | End::TooMany)
}

/// Drops each rule in turn, and shows the shortest history that breaks its promise.
fn rules(names: &[&str]) -> Result<bool> {
    let chosen: Vec<&About> = match names.is_empty() {
        true => RULES.iter().collect(),
        false => names.iter().map(|name| rule(name)).collect::<Result<_>>()?,
    };
    let mut unnoticed = Vec::new();
    for about in &chosen {
        println!("\n{}: {}. Dropped:", about.name, about.says);
        if !about.worlds.iter().any(|name| breaks(about, name)) {
            unnoticed.push(about.name);
        }
    }
    println!(
        "\n{} rules dropped, {} not noticed {unnoticed:?}",
        chosen.len(),
        unnoticed.len()
    );
    Ok(unnoticed.is_empty())
}

fn breaks(about: &About, name: &str) -> bool {
    let Some(world) = World::named(name).map(|world| world.without(about.rule)) else {
        return false;
    };
    let found = search(&world, Some(about.promise), &mut |progress| {
        show(&world, progress)
    });
    !said(&world, &found)
}

/// How far it is, on a terminal.
fn show(world: &World, progress: Progress) {
    if std::io::stderr().is_terminal() {
        let rate = progress.states as f64 / progress.took.as_secs_f64().max(1e-9);
        eprint!(
            "\r{}: {} states, depth {}, {} waiting, {rate:.0} states/s\x1b[K",
            world.name, progress.states, progress.depth, progress.waiting
        );
        let _ = std::io::stderr().flush();
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
