//! A disk in memory that forgets what was not synced, tears writes, fills up and fails.
//!
//! Strict where real file systems are lenient: a name is durable only after its directory was synced, whatever
//! was done with the file. One seed decides what an outage leaves behind.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Disk, DiskFile};

mod file;
use file::Inode;

/// What is to go wrong, and when. Counts are operations from now on; `None` = never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The operation with this number, and all later ones, fail without effect: the power is off.
    pub power_off_after: Option<u64>,
    /// The sync with this number fails, once, and the file's unsynced content is lost to all later syncs.
    pub sync_fails_after: Option<u64>,
    /// The write with this number fails, after some of it was written.
    pub write_fails_after: Option<u64>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create { path: String, inode: u64 },
    Rename { from: String, to: String },
    Remove { path: String },
}

#[derive(Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as the running system sees them.
    names: BTreeMap<String, u64>,
    /// Names that survive an outage.
    durable_names: BTreeMap<String, u64>,
    /// Changes to names since their directory was synced, in order.
    changes: Vec<NameChange>,
    directories: Vec<String>,
    capacity: Option<u64>,
    faults: Faults,
    operations: u64,
    syncs: u64,
    writes: u64,
    /// Raised by an outage: handles from before are dead.
    generation: u64,
}

/// The disk. Clones of the `Arc` see the same files.
pub struct SimDisk {
    state: Mutex<State>,
    /// Files hold on to their disk.
    myself: std::sync::Weak<SimDisk>,
}

impl SimDisk {
    /// An empty disk without faults or limit.
    pub fn new() -> Arc<SimDisk> {
        Arc::new_cyclic(|myself| SimDisk {
            state: Mutex::default(),
            myself: myself.clone(),
        })
    }

    /// Limits the bytes in files; `None` = no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state.lock().capacity = capacity;
    }

    /// Sets what goes wrong, counting from now.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state.lock();
        let ahead = |count: Option<u64>, so_far: u64| count.map(|count| so_far + count);
        state.faults = Faults {
            power_off_after: ahead(faults.power_off_after, state.operations),
            sync_fails_after: ahead(faults.sync_fails_after, state.syncs),
            write_fails_after: ahead(faults.write_fails_after, state.writes),
        };
    }

    /// Bytes in files, as the capacity counts them.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The process dies: all handles are dead, what was written stays. Ends all faults.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.faults = Faults::default();
    }

    /// The power fails: what was synced stays, and of the rest whatever `seed` decides: nothing, everything, a prefix
    /// torn at any byte, or any subset of pages. Ends all faults.
    pub fn power_cut(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = self.state.lock();
        let state = &mut *state;
        state.generation += 1;
        state.faults = Faults::default();
        let survive = random.random_range(0..=state.changes.len());
        let mut names = std::mem::take(&mut state.durable_names);
        for change in state.changes.drain(..).take(survive) {
            apply(&mut names, &change);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        for inode in state.inodes.values_mut() {
            inode.power_cut(&mut random);
        }
        let used: Vec<u64> = state.names.values().copied().collect();
        state.inodes.retain(|number, _| used.contains(number));
    }

    /// Changes stored bytes, as a failing medium would.
    pub fn corrupt(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if let Some(inode) = state
            .names
            .get(path)
            .copied()
            .and_then(|number| state.inodes.get_mut(&number))
        {
            inode.corrupt(change);
        }
    }

    /// A disk with the same content, as an outage that loses nothing would leave it.
    pub fn duplicate(&self) -> Arc<SimDisk> {
        let copy = SimDisk::new();
        let state = self.state.lock();
        let mut other = copy.state.lock();
        other.inodes = state
            .inodes
            .iter()
            .map(|(number, inode)| (*number, inode.settled()))
            .collect();
        other.next_inode = state.next_inode;
        other.names.clone_from(&state.names);
        other.durable_names.clone_from(&state.names);
        other.directories.clone_from(&state.directories);
        other.capacity = state.capacity;
        drop(other);
        copy
    }

    /// One operation; fails when the power is off.
    fn operate<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        state.step()?;
        act(&mut state)
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.faults.power_off_after {
            Some(last) if self.operations > last => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn inode(&self, path: &str) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|number| self.inodes.get(number))
            .map(Inode::space)
            .sum()
    }

    /// Fails when `more` bytes do not fit.
    fn reserve(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            _ => Ok(()),
        }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Create { path, inode } => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename { from, to } => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove { path } => {
            names.remove(path);
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl NameChange {
    fn is_in(&self, dir: &str) -> bool {
        match self {
            NameChange::Create { path, .. } | NameChange::Remove { path } => parent(path) == dir,
            NameChange::Rename { from, to } => parent(from) == dir || parent(to) == dir,
        }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.operate(|state| {
            if !state.directories.iter().any(|known| known == dir) {
                state.directories.push(dir.to_owned());
            }
            Ok(())
        })
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let number = self.operate(|state| {
            if let Some(&number) = state.names.get(path) {
                state.inodes.entry(number).or_default().set_len(0);
                return Ok(number);
            }
            state.next_inode += 1;
            let inode = state.next_inode;
            state.inodes.insert(inode, Inode::default());
            state.change(NameChange::Create {
                path: path.to_owned(),
                inode,
            });
            Ok(inode)
        })?;
        self.handle(number)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let number = self.operate(|state| state.inode(path))?;
        self.handle(number)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.operate(|state| {
            let prefix = match dir {
                "" => String::new(),
                dir => format!("{dir}/"),
            };
            let below = state.names.keys().chain(&state.directories);
            let mut names: Vec<String> = below
                .filter_map(|path| path.strip_prefix(&prefix))
                .map(|rest| {
                    rest.split_once('/')
                        .map_or(rest, |(first, _)| first)
                        .to_owned()
                })
                .collect();
            names.sort_unstable();
            names.dedup();
            Ok(names)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|state| {
            state.inode(from)?;
            state.change(NameChange::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
            });
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.operate(|state| {
            state.inode(path)?;
            state.change(NameChange::Remove {
                path: path.to_owned(),
            });
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.operate(|state| {
            let prefix = format!("{dir}/");
            if state.names.keys().any(|path| path.starts_with(&prefix)) {
                return Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty));
            }
            state
                .directories
                .retain(|known| known != dir && !known.starts_with(&prefix));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.operate(|state| {
            let (synced, rest): (Vec<_>, Vec<_>) = state
                .changes
                .drain(..)
                .partition(|change| change.is_in(dir));
            state.changes = rest;
            for change in synced {
                apply(&mut state.durable_names, &change);
            }
            Ok(())
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        self.operate(|state| {
            Ok(state.capacity.map_or(u64::MAX / 2, |capacity| {
                capacity.saturating_sub(state.used())
            }))
        })
    }
}
