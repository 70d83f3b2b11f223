//! How far an import is, in a file: whatever happens in between, the next start goes on where this one was.

use std::io;

use nsq_journal::Disk;
use serde::{Deserialize, Serialize};

/// Where an import keeps what it needs until it is done.
pub(super) const DIRECTORY: &str = "go-import";
const FILE: &str = "go-import/state.json";
const ASIDE: &str = "from-go";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// What the directory looked like: another one is another import.
    pub fingerprint: u32,
    /// The id of the first message that gets a new one; the others follow in the order of the import. Whatever of
    /// them is in the journal tells how far it got.
    pub first_id: u64,
    /// Everything is kept: Go's files are to be moved to this directory.
    pub aside: Option<String>,
}

/// What the last start left, if anything.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<State>> {
    if !disk
        .list(DIRECTORY)?
        .iter()
        .any(|name| name == "state.json")
    {
        return Ok(None);
    }
    let bytes = read_all(disk, FILE)?;
    // It is written whole and renamed: what cannot be read is not ours.
    serde_json::from_slice(&bytes).map(Some).map_err(Into::into)
}

/// The content of a small file.
pub(super) fn read_all(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = file.pread(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes the state; it is durable then.
pub(super) fn write(disk: &dyn Disk, state: &State) -> io::Result<()> {
    let bytes = serde_json::to_vec(state)?;
    write_whole(disk, DIRECTORY, FILE, &bytes)
}

/// Writes a file of a directory whole or not at all.
pub(crate) fn write_whole(disk: &dyn Disk, dir: &str, path: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = format!("{path}.new");
    let file = disk.create(&aside)?;
    file.pwrite(0, bytes)?;
    file.sync_data()?;
    disk.rename(&aside, path)?;
    disk.sync_dir(dir)
}

/// A directory name that nobody has.
pub(super) fn free_name(disk: &dyn Disk) -> io::Result<String> {
    let names = disk.list("")?;
    let taken = |name: &String| names.contains(name);
    let mut candidates = (2..).map(|number| format!("{ASIDE}-{number}"));
    let first = ASIDE.to_owned();
    Ok(match taken(&first) {
        false => first,
        true => candidates.find(|name| !taken(name)).unwrap_or(first),
    })
}

/// Removes everything that was kept for the import, the state last.
pub(super) fn clear(disk: &dyn Disk) -> io::Result<()> {
    let names = disk.list(DIRECTORY)?;
    if names.is_empty() {
        return Ok(());
    }
    for name in names.iter().filter(|name| *name != "state.json") {
        disk.remove(&format!("{DIRECTORY}/{name}"))?;
    }
    if names.iter().any(|name| name == "state.json") {
        disk.remove(FILE)?;
    }
    disk.sync_dir(DIRECTORY)?;
    // An empty directory that stays is no harm.
    let _ = disk.remove_dir(DIRECTORY);
    disk.sync_dir("")
}
