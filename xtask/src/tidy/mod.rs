//! `cargo xtask tidy`: rules of the house that a machine can check.

mod layers;
mod sizes;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace::root;

/// Names that say nothing about what is inside.
const BANNED_MODULES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "shared",
];

pub fn run(_: &[String]) -> Result<()> {
    let files = rust_files(root())?;
    let mut complaints = Vec::new();
    for file in &files {
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if BANNED_MODULES.contains(&stem) {
            complaints.push(format!(
                "{}: name the module after what it does",
                shown(file)
            ));
        }
    }
    complaints.extend(sizes::check(&files)?);
    complaints.extend(layers::check()?);
    if let Err(stale) = crate::crds::run(&["--check".to_owned()]) {
        complaints.push(format!("{stale:#}"));
    }
    if complaints.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    for complaint in &complaints {
        println!("tidy: {complaint}");
    }
    bail!("{} complaints", complaints.len());
}

/// All Rust sources of the checkout.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root())
        .unwrap_or(file)
        .display()
        .to_string()
}
