//! go-nsq, NSQ's own client for Go: `test.sh` of the module, which starts the servers, with `/tmp`
//! as the data path.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::outcome::{Case, Outcome};
use crate::suite::Ran;
use crate::{cache, namespace, tools};

pub(crate) const VERSION: &str = "1.1.0";

pub(crate) fn missing() -> Option<String> {
    tools::missing(&[
        ("go", &["version"]),
        ("bash", &["--version"]),
        namespace::NEEDS,
    ])
    .or_else(namespace::missing)
}

pub(crate) fn prepare() -> Result<PathBuf> {
    cache::directory(&format!("go-nsq-{VERSION}"), |directory| {
        let module = format!("github.com/nsqio/go-nsq@v{VERSION}");
        let told = tools::quietly(directory, "go", ["mod", "download", "-json", &module])?;
        let told: Value = serde_json::from_str(&told)?;
        let source = told["Dir"]
            .as_str()
            .context("go mod download names no Dir")?;
        // The module cache is read-only; the suite writes beside its files.
        tools::quietly(directory, "cp", ["-r", source, "suite"])?;
        tools::quietly(directory, "chmod", ["-R", "u+w", "suite"])?;
        tools::quietly(&directory.join("suite"), "go", ["mod", "download"])?;
        Ok(())
    })
}

/// Copies of the servers beside the suite: the checkout may lie in the `/tmp` that it hides.
fn out_of_tmp(directory: &Path, programs: &Path) -> Result<PathBuf> {
    let copies = directory.join("programs");
    std::fs::create_dir_all(&copies)?;
    for program in ["nsqd", "nsqlookupd"] {
        let copy = copies.join(program);
        // One that somebody still runs cannot be written to, but can be replaced.
        let fresh = copies.join(format!("{program}.new"));
        std::fs::copy(programs.join(program), &fresh)
            .with_context(|| format!("{program} in {}", programs.display()))?;
        std::fs::rename(&fresh, &copy)?;
    }
    Ok(copies)
}

pub(crate) fn run(directory: &Path, programs: &Path) -> Result<Ran> {
    let programs = out_of_tmp(directory, programs)?;
    let mut command = namespace::command_with_tmp(&programs, &directory.join("suite"), "bash")?;
    let printed = namespace::run(command.arg("test.sh"))?;
    Ok((cases(&printed), printed))
}

/// From lines like `--- PASS: TestConsumer (0.11s)`, which may follow other text.
fn cases(printed: &str) -> Vec<Case> {
    let case = |line: &str| {
        let (_, result) = line.split_once("--- ")?;
        let (word, rest) = result.split_once(": ")?;
        let outcome = match word {
            "PASS" => Outcome::Passed,
            "FAIL" => Outcome::Failed,
            "SKIP" => Outcome::Skipped,
            _ => return None,
        };
        Some(Case::new(rest.split(' ').next()?, outcome))
    };
    printed.lines().filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_from_the_lines_of_go_test() {
        let printed = "=== RUN   TestA\n--- PASS: TestA (0.00s)\nlog--- FAIL: TestB (1.2s)\n\
                       --- SKIP: TestC (0.0s)\n--- nothing\nok  \tx\t4s\n";
        assert_eq!(
            cases(printed),
            [
                Case::new("TestA", Outcome::Passed),
                Case::new("TestB", Outcome::Failed),
                Case::new("TestC", Outcome::Skipped),
            ]
        );
    }
}
