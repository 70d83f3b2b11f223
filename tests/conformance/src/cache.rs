//! What is fetched is kept outside the checkout and fetched once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Written last: a directory without it was left half done.
const READY: &str = "ready";

/// `nsq-conform/NAME` in the user's cache, made by `fill` unless it is there.
pub(crate) fn directory(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = root()?.join(name);
    if directory.join(READY).exists() {
        return Ok(directory);
    }
    let at = || directory.display().to_string();
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(at)?;
    }
    fs::create_dir_all(&directory).with_context(at)?;
    fill(&directory)?;
    fs::write(directory.join(READY), "").with_context(at)?;
    Ok(directory)
}

fn root() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = match set("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&set("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(cache.join("nsq-conform"))
}
