//! `cargo xtask fuzz`: searches with libFuzzer for bytes that do harm, on the ordinary compiler.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, root, run, target};

const HELP: &str = "\
cargo xtask fuzz [TARGET ...] [--cases N] [--keep]

  TARGET     all of them, unless named; --list shows them
  --cases N  how many inputs each target is given (1000000)
  --keep     what was found worth keeping goes to tests/fuzz/corpus, where the tests replay it
";
const CASES: u64 = 1_000_000;
/// An input that takes longer is a hang; a target that takes more is a leak.
const SECONDS_MAX: u32 = 10;
const MEGABYTES_MAX: u32 = 1024;
/// Inputs kept for each target: short ones and long ones.
const KEPT_MAX: usize = 120;

/// What makes LLVM tell libFuzzer where an input went. The instrumentation is the compiler's own; only the address
/// sanitizer, which safe code can do without, would need an unstable one.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // The pass fails on functions that are shared between units.
    "-Ccodegen-units=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

pub fn fuzz(arguments: &[String]) -> Result<()> {
    let (mut names, mut cases, mut keep) = (Vec::new(), CASES, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            "--list" => {
                corpora()?.iter().for_each(|name| println!("{name}"));
                return Ok(());
            }
            "--keep" => keep = true,
            "--cases" => {
                let count = rest.next().and_then(|count| count.parse().ok());
                cases = count.context("--cases needs a number")?;
            }
            name => names.push(name.to_owned()),
        }
    }
    let known = corpora()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        bail!("no target {unknown}: there are {}", known.join(", "));
    }
    let names = if names.is_empty() { known } else { names };
    let fuzzer = build()?;
    println!(
        "{:10} {:>9} {:>8} {:>7} {:>6} {:>7}",
        "TARGET", "CASES", "SECONDS", "EDGES", "KEPT", "RSS MB"
    );
    for name in names {
        let line = search(&fuzzer, &name, cases, keep)?;
        println!("{line}");
    }
    Ok(())
}

/// Each target has its file of kept inputs.
fn corpora() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(kept(""))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        names.extend(stem.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn kept(file: &str) -> PathBuf {
    root().join("tests/fuzz/corpus").join(file)
}

fn build() -> Result<PathBuf> {
    let directory = target().join("fuzz");
    let mut command = cargo();
    command
        .env("RUSTFLAGS", FLAGS.join(" "))
        .args([
            "build",
            "--release",
            "--package",
            "nsq-fuzz",
            "--bin",
            "nsq-fuzzer",
        ])
        .args([
            "--features",
            "libfuzzer",
            "--target",
            TRIPLE,
            "--target-dir",
        ])
        .arg(&directory);
    run(&mut command).context("libFuzzer is built with a C++ compiler")?;
    Ok(directory.join(TRIPLE).join("release/nsq-fuzzer"))
}

fn search(fuzzer: &Path, name: &str, cases: u64, keep: bool) -> Result<String> {
    if std::io::stderr().is_terminal() {
        // A terminal that is gone is no reason to stop.
        let _ = write!(std::io::stderr(), "{name} ...\r");
    }
    let work = target().join("fuzz/work").join(name);
    let (corpus, merged, log) = (work.join("corpus"), work.join("merged"), work.join("log"));
    for directory in [&corpus, &merged] {
        // What an earlier search found would make this one another.
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory)?;
    }
    unpack(&fs::read_to_string(kept(&format!("{name}.txt")))?, &corpus)?;
    let fuzzing = |arguments: &[&str], directories: &[&Path]| -> Result<bool> {
        let output = fs::File::create(&log)?;
        let status = Command::new(fuzzer)
            .env("NSQ_FUZZ_TARGET", name)
            .args(arguments)
            .args([
                &format!("-timeout={SECONDS_MAX}"),
                &format!("-rss_limit_mb={MEGABYTES_MAX}"),
            ])
            .arg(format!("-artifact_prefix={}/", work.display()))
            .args(directories)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        Ok(status.success())
    };
    let started = Instant::now();
    let runs = format!("-runs={cases}");
    let done = fuzzing(
        &[&runs, "-print_final_stats=1", "-max_len=4096", "-seed=1"],
        &[&corpus],
    )?;
    let told = fs::read_to_string(&log)?;
    if !done {
        let lines: Vec<&str> = told.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!("{name}: an input does harm, see {}\n{end}", work.display());
    }
    let seconds = started.elapsed().as_secs_f64();
    fuzzing(&["-merge=1"], &[&merged, &corpus])?;
    let inputs = inputs(&merged)?;
    if keep {
        fs::write(kept(&format!("{name}.txt")), pack(&inputs))?;
    }
    Ok(format!(
        "{name:10} {:>9} {seconds:>8.1} {:>7} {:>6} {:>7}",
        last_number(&told, "number_of_executed_units:"),
        last_number(&told, "cov:"),
        inputs.len(),
        last_number(&told, "peak_rss_mb:"),
    ))
}

/// The number after the last `key`.
fn last_number(told: &str, key: &str) -> String {
    let after = told.rsplit_once(key).map_or("", |(_, after)| after);
    let number = after.split_whitespace().next();
    number.unwrap_or("?").to_owned()
}

fn unpack(text: &str, directory: &Path) -> Result<()> {
    for (at, line) in text.lines().enumerate() {
        let byte = |at: usize| {
            let digits = line.get(at..at + 2)?;
            u8::from_str_radix(digits, 16).ok()
        };
        let bytes: Option<Vec<u8>> = (0..line.len()).step_by(2).map(byte).collect();
        let bytes = bytes.with_context(|| format!("line {} is not hexadecimal", at + 1))?;
        fs::write(directory.join(at.to_string()), bytes)?;
    }
    Ok(())
}

fn inputs(directory: &Path) -> Result<BTreeSet<(usize, Vec<u8>)>> {
    let mut inputs = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let bytes = fs::read(entry?.path())?;
        inputs.insert((bytes.len(), bytes));
    }
    Ok(inputs)
}

fn pack(inputs: &BTreeSet<(usize, Vec<u8>)>) -> String {
    let line = |(_, bytes): &(usize, Vec<u8>)| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digits}\n")
    };
    let step = inputs.len().div_ceil(KEPT_MAX).max(1);
    inputs.iter().step_by(step).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_inputs_survive_the_way_to_text_and_back() {
        let all = [&b"ab\n\0"[..], b"", b"\xff"];
        let set: BTreeSet<_> = all
            .iter()
            .map(|input| (input.len(), input.to_vec()))
            .collect();
        let directory = tempfile::tempdir().unwrap();
        unpack(&pack(&set), directory.path()).unwrap();
        assert_eq!(inputs(directory.path()).unwrap(), set);
        assert!(unpack("zz", directory.path()).is_err());
    }

    #[test]
    fn figures_are_read_from_the_end() {
        let told = "#1 INITED cov: 5 ft: 1\n#9 DONE cov: 77 ft: 90\nstat::peak_rss_mb: 44\n";
        assert_eq!(last_number(told, "cov:"), "77");
        assert_eq!(last_number(told, "peak_rss_mb:"), "44");
        assert_eq!(last_number(told, "none:"), "?");
    }
}
