//! A data path with everything on it: several segments, two checkpoints, spill files, finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use nsq_auditor::{decode, encode};
use tempfile::TempDir;

use super::node::Node;
use crate::volume::{in_memory, temporary};

/// Messages of one publish: one record.
pub const BATCH: usize = 3;
/// Messages of a spill block at most: what one bit may cost there.
pub const BLOCK: usize = 1024;
pub const CHANNELS: &[(&str, &str)] = &[("new", "one"), ("new", "two"), ("old", "one")];

pub struct Pristine {
    directory: TempDir,
    /// What each channel has yet to get, in the order published.
    pub waiting: BTreeMap<(&'static str, &'static str), Vec<u64>>,
}

/// What a damaged copy brings.
pub struct Brought {
    /// Of what was waiting, in the same order.
    pub missing: BTreeMap<(&'static str, &'static str), Vec<u64>>,
    /// Messages that are not what was published there.
    pub wrong: usize,
    /// Recovery said that something is amiss.
    pub reported: bool,
    pub torn: bool,
}

impl Brought {
    /// Messages missing, on the channel that misses most.
    pub fn most_missing(&self) -> usize {
        self.missing.values().map(Vec::len).max().unwrap_or(0)
    }
}

struct Builder {
    node: Node,
    next: u64,
    waiting: BTreeMap<(&'static str, &'static str), Vec<u64>>,
}

impl Builder {
    fn publish(&mut self, topic: &'static str, batches: usize, len: usize) -> Result<()> {
        for _ in 0..batches {
            let numbers = self.next..self.next + BATCH as u64;
            self.next = numbers.end;
            let bodies: Vec<_> = numbers.clone().map(|number| encode(number, len)).collect();
            self.node.publish(topic, &bodies)?;
            for (_, waiting) in self.waiting.iter_mut().filter(|(key, _)| key.0 == topic) {
                waiting.extend(numbers.clone());
            }
        }
        Ok(())
    }

    fn finish(&mut self, topic: &'static str, channel: &'static str, count: usize) -> Result<()> {
        let delivered = self.node.consume(topic, channel, count)?;
        let done: BTreeSet<u64> = delivered
            .iter()
            .take(count)
            .filter_map(|one| decode(&one.body))
            .collect();
        ensure!(done.len() == count, "{} of {count} came", done.len());
        let waiting = self.waiting.entry((topic, channel)).or_default();
        waiting.retain(|number| !done.contains(number));
        Ok(())
    }
}

impl Pristine {
    /// # Errors
    /// When nsqd does not do as it should without any damage.
    pub fn make() -> Result<Self> {
        let pristine = Self::built(true)?;
        ensure!(!pristine.files(".spill")?.is_empty(), "nothing was spilled");
        ensure!(pristine.files(".log")?.len() >= 4, "too few segments");
        Ok(pristine)
    }

    /// Of a server that has not taken any checkpoint yet: all there is stands once, in the journal.
    ///
    /// # Errors
    /// As of [`Pristine::make`].
    pub fn young() -> Result<Self> {
        Self::built(false)
    }

    fn built(checkpoints: bool) -> Result<Self> {
        let checkpoint = |builder: &Builder| match checkpoints {
            true => builder.node.checkpoint(),
            false => Ok(()),
        };
        let directory = temporary(&in_memory())?;
        let mut builder = Builder {
            node: Node::open(directory.path())?,
            next: 1,
            waiting: CHANNELS.iter().map(|&key| (key, Vec::new())).collect(),
        };
        for (topic, channel) in CHANNELS {
            builder.node.consume(topic, channel, 0)?;
        }
        builder.publish("old", 700, 200)?;
        builder.node.settle()?; // before anybody reads: what is read stays in memory
        builder.publish("new", 60, 300)?;
        builder.finish("old", "one", 40)?;
        builder.node.settle()?;
        checkpoint(&builder)?;
        builder.publish("new", 60, 300)?;
        builder.finish("new", "two", 100)?;
        builder.node.settle()?;
        checkpoint(&builder)?;
        builder.publish("new", 60, 300)?;
        builder.finish("new", "one", 30)?;
        builder.publish("new", 20, 40)?;
        builder.node.settle()?;
        let pristine = Self {
            directory,
            waiting: builder.waiting,
        };
        drop(builder.node);
        let whole = pristine.try_out(|_| Ok(()))?.1;
        ensure!(
            whole.most_missing() + whole.wrong == 0,
            "undamaged, and yet something is missing"
        );
        ensure!(!whole.reported, "undamaged, and yet something is reported");
        Ok(pristine)
    }

    /// Files whose paths contain `part`, in order, relative to the data path.
    pub fn files(&self, part: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        walk(self.directory.path(), &mut |path| {
            found.push(path.to_owned())
        })?;
        let mut found: Vec<PathBuf> = found
            .into_iter()
            .filter_map(|path| Some(path.strip_prefix(self.directory.path()).ok()?.to_owned()))
            .filter(|path| path.to_string_lossy().contains(part))
            .collect();
        found.sort();
        Ok(found)
    }

    pub fn read(&self, file: &Path) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.directory.path().join(file))?)
    }

    /// A copy, to be damaged.
    pub fn copy(&self) -> Result<TempDir> {
        let copy = temporary(&in_memory())?;
        for file in self.files("")? {
            let to = copy.path().join(&file);
            to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::copy(self.directory.path().join(&file), to)?;
        }
        Ok(copy)
    }

    /// Damages a copy and looks what nsqd still brings of it, that it takes new messages, and that
    /// those are there after another crash.
    ///
    /// # Errors
    /// When nsqd does not open the copy at all.
    pub fn try_out(&self, damage: impl FnOnce(&Path) -> Result<()>) -> Result<(TempDir, Brought)> {
        let copy = self.copy()?;
        damage(copy.path())?;
        let mut node = Node::open(copy.path())?;
        let recovery = node.nsqd.journal.stats().recovery;
        let mut brought = Brought {
            missing: BTreeMap::new(),
            wrong: 0,
            reported: recovery.quarantined_ranges > 0,
            torn: recovery.torn_tail_bytes > 0,
        };
        for (&(topic, channel), waiting) in &self.waiting {
            let mut found = BTreeSet::new();
            for one in node.consume(topic, channel, 0)? {
                let number = decode(&one.body);
                brought.wrong +=
                    usize::from(number.is_none_or(|number| number >= u64::from(u32::MAX)));
                found.extend(number);
            }
            let missing = waiting.iter().filter(|number| !found.contains(number));
            brought
                .missing
                .insert((topic, channel), missing.copied().collect());
        }
        node.publish("after", &[encode(u64::MAX, 30)])?;
        node.settle()?;
        drop(node);
        let mut again = Node::open(copy.path())?;
        let after = again.consume("after", "one", 1)?;
        ensure!(
            after.len() == 1,
            "what was published after the damage is gone"
        );
        Ok((copy, brought))
    }
}

fn walk(directory: &Path, found: &mut dyn FnMut(&Path)) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => walk(&path, found)?,
            false => found(&path),
        }
    }
    Ok(())
}
