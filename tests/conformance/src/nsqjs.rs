//! nsqjs, NSQ's client for Node.js: the tests of its npm package, which start nsqd.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::outcome::{Case, Outcome};
use crate::suite::Ran;
use crate::{cache, namespace, tools};

pub(crate) const VERSION: &str = "0.13.0";

/// What it and its tests need, at the versions with which it was found to pass.
const REQUIREMENTS: &[&str] = &[
    "async-retry@1.3.3",
    "debug@4.4.3",
    "lodash@4.18.1",
    "mocha@9.2.2",
    "nock@13.5.6",
    "node-fetch@2.7.0",
    "node-state@1.4.4",
    "p-event@4.2.0",
    "should@13.2.3",
    "sinon@11.1.2",
    "snappystream@2.1.1",
    "temp@0.9.4",
];

pub(crate) fn missing() -> Option<String> {
    let version: &[&str] = &["--version"];
    tools::missing(&[
        ("node", version),
        ("npm", version),
        ("tar", version),
        namespace::NEEDS,
    ])
    .or_else(namespace::missing)
}

pub(crate) fn prepare() -> Result<PathBuf> {
    cache::directory(&format!("nsqjs-{VERSION}"), |directory| {
        // Beside the package, not in it: Node looks there too, and the package stays as it is.
        fs::write(directory.join("package.json"), "{\"private\":true}")?;
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
        tools::quietly(directory, "npm", [&install, REQUIREMENTS].concat())?;
        tools::quietly(directory, "npm", ["pack", &format!("nsqjs@{VERSION}")])?;
        tools::quietly(directory, "tar", ["xzf", &format!("nsqjs-{VERSION}.tgz")])?;
        Ok(())
    })
}

/// The package itself, for programs that use it.
pub(crate) fn package(directory: &Path) -> PathBuf {
    directory.join("package")
}

pub(crate) fn run(directory: &Path, programs: &Path) -> Result<Ran> {
    let results = tempfile::tempdir_in(directory)?;
    let results = results.path().join("results.json");
    let mut command = namespace::command(programs, &package(directory), "node")?;
    command.args(["../node_modules/.bin/mocha", "--reporter", "json"]);
    command
        .arg("--reporter-option")
        .arg(format!("output={}", results.display()));
    let printed = namespace::run(&mut command)?;
    let text = fs::read_to_string(&results).with_context(|| format!("no results:\n{printed}"))?;
    let cases = cases(&serde_json::from_str(&text)?);
    Ok((cases, printed))
}

/// From the report of mocha: each title is in `tests`, and in the list of what came of it.
fn cases(report: &Value) -> Vec<Case> {
    let of = |list: &str, outcome| {
        let tests = report[list].as_array().into_iter().flatten();
        let title = |test: &Value| Some(Case::new(test["fullTitle"].as_str()?, outcome));
        tests.filter_map(title).collect::<Vec<_>>()
    };
    [
        of("passes", Outcome::Passed),
        of("failures", Outcome::Failed),
        of("pending", Outcome::Skipped),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_from_mochas_report() {
        let report = serde_json::json!({"tests": [], "passes": [{"fullTitle": "a b"}],
            "failures": [{"fullTitle": "c", "err": {}}], "pending": [{"fullTitle": "d"}]});
        assert_eq!(
            cases(&report),
            [
                Case::new("a b", Outcome::Passed),
                Case::new("c", Outcome::Failed),
                Case::new("d", Outcome::Skipped),
            ]
        );
    }
}
