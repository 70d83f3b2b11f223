//! gnsq, a Python client on gevent: the tests of its source distribution, which start a server
//! each.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::outcome::{Case, Outcome};
use crate::suite::Ran;
use crate::{cache, namespace, tools};

pub(crate) const VERSION: &str = "1.0.2";

/// What it needs, at the versions with which it was found to pass.
const REQUIREMENTS: &[&str] = &[
    "blinker==1.9.0",
    "gevent==26.9.0",
    "pytest==9.2.0",
    "python-snappy==0.7.3",
    "setuptools",
    "six==1.17.0",
    "urllib3==2.8.0",
];

pub(crate) fn missing() -> Option<String> {
    let venv: &[&str] = &["-c", "import venv, ensurepip"];
    tools::missing(&[("python3", venv), ("tar", &["--version"]), namespace::NEEDS])
        .or_else(namespace::missing)
}

pub(crate) fn prepare() -> Result<PathBuf> {
    cache::directory(&format!("gnsq-{VERSION}"), |directory| {
        tools::quietly(directory, "python3", ["-m", "venv", "venv"])?;
        let pip = directory.join("venv/bin/pip");
        tools::quietly(
            directory,
            &pip,
            [&["install", "--quiet"], REQUIREMENTS].concat(),
        )?;
        let sdist = format!("gnsq=={VERSION}");
        let download = [
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary=:all:",
            &sdist,
        ];
        tools::quietly(directory, &pip, download)?;
        tools::quietly(directory, "tar", ["xzf", &format!("gnsq-{VERSION}.tar.gz")])?;
        Ok(())
    })
}

pub(crate) fn run(directory: &Path, programs: &Path) -> Result<Ran> {
    let suite = directory.join(format!("gnsq-{VERSION}"));
    let python = directory.join("venv/bin/python").display().to_string();
    let mut command = namespace::command(programs, &suite, &python)?;
    command.args([
        "-m",
        "pytest",
        "-v",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "tests",
    ]);
    let printed = namespace::run(command.env("COLUMNS", "200"))?;
    Ok((cases(&printed), printed))
}

/// From lines like `tests/test_basic.py::test_version PASSED   [  0%]`.
fn cases(printed: &str) -> Vec<Case> {
    let case = |line: &str| {
        let (result, percent) = line.rsplit_once('[')?;
        percent.strip_suffix("%]")?.trim().parse::<u8>().ok()?;
        let (name, word) = result.trim_end().rsplit_once(' ')?;
        let outcome = match word {
            "PASSED" | "XFAIL" => Outcome::Passed,
            "FAILED" | "ERROR" | "XPASS" => Outcome::Failed,
            "SKIPPED" => Outcome::Skipped,
            _ => return None,
        };
        Some(Case::new(name.trim_end(), outcome))
    };
    printed.lines().filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_from_the_lines_of_pytest() {
        let printed = "collected 2 items\ntests/a.py::x[a b-1] PASSED            [  0%]\n\
                       tests/a.py::y FAILED [100%]\nFAILED tests/a.py::y - assert False\n";
        assert_eq!(
            cases(printed),
            [
                Case::new("tests/a.py::x[a b-1]", Outcome::Passed),
                Case::new("tests/a.py::y", Outcome::Failed),
            ]
        );
    }
}
