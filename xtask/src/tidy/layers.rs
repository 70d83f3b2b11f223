//! Dependencies point one way: words <- behaviour <- machinery <- products <- judges.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace::{cargo, output};

/// Each package and its layer. A package may use what lies in lower layers only; products never
/// see each other, not even through a test's dependency that ships.
const LAYERS: &[(&str, u8)] = &[
    ("nsq-protocol", 0),
    ("nsq-heap", 0),
    ("nsq-queue", 1),
    ("nsq-journal", 1),
    ("nsq-codec", 1),
    ("nsq-http-api", 2),
    ("nsq-daemon", 3),
    ("nsq-client", 4),
    ("nsq-auditor", 5),
    ("nsq-rig", 5),
    ("nsqd", 5),
    ("nsqlookupd", 5),
    ("nsq-tools", 5),
    ("nsq-operator", 5),
    ("xtask", 9),
];

/// Everything under these directories judges the products.
const JUDGES: &[&str] = &["/tests/", "/bench/"];
const JUDGE: u8 = 6;

pub fn check() -> Result<Vec<String>> {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata: packages")?;
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(layer) = layer(name, package) else {
            complaints.push(format!("{name}: has no layer in xtask/src/tidy/layers.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().context("dependencies")?;
        for dependency in dependencies {
            let ships = dependency["kind"].as_str() != Some("dev");
            let used = dependency["name"].as_str().unwrap_or_default();
            let of = packages.iter().find(|package| package["name"] == used);
            let lower = of.and_then(|package| self::layer(used, package));
            if ships && lower.is_some_and(|lower| lower >= layer) {
                complaints.push(format!(
                    "{name} uses {used}: the arrow points the wrong way"
                ));
            }
        }
    }
    Ok(complaints)
}

fn layer(name: &str, package: &Value) -> Option<u8> {
    let known = LAYERS.iter().find(|known| known.0 == name);
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let judge = JUDGES.iter().any(|dir| manifest.contains(dir));
    known.map(|known| known.1).or(judge.then_some(JUDGE))
}
