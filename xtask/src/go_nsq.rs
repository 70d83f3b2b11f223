//! The Go originals, built from the module in tests/go-nsq: what we are measured against, and the
//! control of the chaos tests. The binaries stay outside the checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{root, run};

const MODULE: &str = "tests/go-nsq";
const PACKAGE: &str = "github.com/nsqio/nsq";

/// The programs of NSQ 1.3, as the module's tools.go imports them.
const PROGRAMS: &[&str] = &[
    "nsqd",
    "nsqlookupd",
    "nsqadmin",
    "nsq_stat",
    "nsq_tail",
    "nsq_to_file",
    "nsq_to_http",
    "nsq_to_nsq",
    "to_nsq",
];

/// Why [`build`] cannot work on this machine, if so.
pub fn missing() -> Option<String> {
    let built = directory().is_ok_and(|directory| is_complete(&directory));
    if built || Command::new("go").arg("version").output().is_ok() {
        return None;
    }
    Some("needs Go 1.21 or newer to build the Go nsqd (https://go.dev/dl)".to_owned())
}

/// Builds the Go programs, unless they were built before; their directory.
///
/// # Errors
///
/// When Go is missing or cannot fetch the modules.
pub fn build() -> Result<PathBuf> {
    let directory = directory()?;
    if is_complete(&directory) {
        return Ok(directory);
    }
    if let Some(why) = missing() {
        bail!(why);
    }
    // Aside and then renamed: whoever finds the directory finds all of it.
    let aside = directory.with_extension(format!("{}.tmp", std::process::id()));
    fs::create_dir_all(&aside).with_context(|| aside.display().to_string())?;
    let mut command = Command::new("go");
    command
        .current_dir(root().join(MODULE))
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-o"])
        .arg(&aside);
    for program in PROGRAMS {
        command.arg(format!("{PACKAGE}/apps/{program}"));
    }
    let built = run(&mut command).context("cannot build the Go originals of NSQ");
    if built.is_ok() && fs::rename(&aside, &directory).is_ok() {
        return Ok(directory);
    }
    let _ = fs::remove_dir_all(&aside);
    built?;
    if !is_complete(&directory) {
        bail!(
            "{} is incomplete: remove it and try again",
            directory.display()
        );
    }
    Ok(directory)
}

pub fn print_build(_: &[String]) -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

fn is_complete(directory: &Path) -> bool {
    PROGRAMS
        .iter()
        .all(|program| directory.join(program).is_file())
}

/// `nsq-go/VERSION` in the user's cache.
fn directory() -> Result<PathBuf> {
    let cache = cache()?;
    let module = fs::read_to_string(root().join(MODULE).join("go.mod"))?;
    let version = version(&module).context("tests/go-nsq/go.mod requires no nsq")?;
    Ok(cache.join("nsq-go").join(version))
}

/// The user's cache, where what others made is kept.
pub fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(cache) = set("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache));
    }
    let home = set("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cache"))
}

/// The version of NSQ that a go.mod asks for.
fn version(module: &str) -> Option<&str> {
    let wanted = |line: &str| line.trim_start_matches("require ").trim().to_owned();
    let line = module
        .lines()
        .find(|line| wanted(line).starts_with(&format!("{PACKAGE} ")))?;
    line.split_whitespace().find(|word| word.starts_with('v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_both_forms_of_require() {
        let alone = "module x\n\nrequire github.com/nsqio/nsq v1.3.0\n";
        let block = "require (\n\tgithub.com/nsqio/nsq-x v9\n\tgithub.com/nsqio/nsq v1.3.0 // x\n)";
        assert_eq!(version(alone), Some("v1.3.0"));
        assert_eq!(version(block), Some("v1.3.0"));
        assert_eq!(version("module x"), None);
    }
}
