//! The spill files of one topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::JournalError;
use crate::disk::{Disk, DiskFile};

use super::{DIRECTORY, SpillRef};

/// Directory of a topic's files.
pub(super) fn directory(topic: u32) -> String {
    format!("{DIRECTORY}/{topic}")
}

/// Path of a file.
pub(super) fn file_name(topic: u32, file: u32) -> String {
    format!("{DIRECTORY}/{topic}/{file:08}.spill")
}

#[derive(Debug, Default)]
struct FileState {
    bytes: u64,
    live_blocks: u64,
    /// A sweep has already found it without live blocks.
    swept: bool,
}

struct Open {
    number: u32,
    file: Arc<dyn DiskFile>,
}

/// What is known about the files of one topic.
pub(super) struct TopicFiles {
    topic: u32,
    files: BTreeMap<u32, FileState>,
    next: u32,
    current: Option<Open>,
    /// Files written since the last sync.
    unsynced: Vec<Open>,
    /// Files or the directory were created since the last sync.
    created: bool,
    /// The reason why nothing is accepted any more.
    poisoned: Option<String>,
}

impl TopicFiles {
    pub(super) fn new(topic: u32) -> TopicFiles {
        TopicFiles {
            topic,
            files: BTreeMap::new(),
            next: 1,
            current: None,
            unsynced: Vec::new(),
            created: false,
            poisoned: None,
        }
    }

    /// Finds the files on disk, all without live blocks as yet. They are not written to again.
    pub(super) fn read(disk: &dyn Disk, topic: u32) -> Result<TopicFiles, JournalError> {
        let mut found = TopicFiles::new(topic);
        let dir = directory(topic);
        for name in disk
            .list(&dir)
            .map_err(|error| JournalError::io("list", &dir, &error))?
        {
            let Some(number) = name
                .strip_suffix(".spill")
                .and_then(|digits| digits.parse::<u32>().ok())
            else {
                continue;
            };
            let path = file_name(topic, number);
            let bytes = disk.open(&path).and_then(|file| file.len());
            let bytes = bytes.map_err(|error| JournalError::io("stat", &path, &error))?;
            found.files.insert(
                number,
                FileState {
                    bytes,
                    ..FileState::default()
                },
            );
            found.next = found.next.max(number.saturating_add(1));
        }
        Ok(found)
    }

    /// Counts a block as live; false when its file does not exist.
    pub(super) fn adopt(&mut self, block: &SpillRef) -> bool {
        let Some(file) = self.files.get_mut(&block.file) else {
            return false;
        };
        file.live_blocks += 1;
        file.swept = false;
        true
    }

    /// File and offset of the next block; opens another file when the current one is full.
    pub(super) fn place(
        &mut self,
        disk: &dyn Disk,
        file_bytes: u64,
    ) -> Result<(u32, u64), JournalError> {
        self.check()?;
        if let Some(open) = &self.current
            && let Some(state) = self.files.get(&open.number)
            && state.bytes < file_bytes
        {
            return Ok((open.number, state.bytes));
        }
        let number = self.next;
        let path = file_name(self.topic, number);
        let created = disk
            .create_dir(&directory(self.topic))
            .and_then(|()| disk.create(&path));
        let file = created.map_err(|error| JournalError::io("create", &path, &error))?;
        self.next += 1;
        self.created = true;
        self.files.insert(number, FileState::default());
        self.unsynced.push(Open {
            number,
            file: Arc::clone(&file),
        });
        self.current = Some(Open { number, file });
        Ok((number, 0))
    }

    /// Writes a block at the place that `place` gave. After an error the next block takes its place.
    pub(super) fn append(&mut self, block: &[u8]) -> Result<(), JournalError> {
        let Some(open) = &self.current else {
            return Err(JournalError::Invalid("no spill file is open"));
        };
        let Some(state) = self.files.get_mut(&open.number) else {
            return Err(JournalError::Invalid("the open spill file is unknown"));
        };
        let path = file_name(self.topic, open.number);
        open.file
            .pwrite(state.bytes, block)
            .map_err(|error| JournalError::io("write to", &path, &error))?;
        state.bytes += block.len() as u64;
        state.live_blocks += 1;
        state.swept = false;
        if self
            .unsynced
            .iter()
            .all(|unsynced| unsynced.number != open.number)
        {
            self.unsynced.push(Open {
                number: open.number,
                file: Arc::clone(&open.file),
            });
        }
        Ok(())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self, disk: &dyn Disk) -> Result<(), JournalError> {
        self.check()?;
        let mut result = self
            .unsynced
            .iter()
            .try_for_each(|open| open.file.sync_data());
        if self.created {
            result = result.and_then(|()| disk.sync_dir(&directory(self.topic)));
            result = result.and_then(|()| disk.sync_dir(DIRECTORY));
        }
        if let Err(error) = result {
            self.poisoned =
                Some(JournalError::io("sync", &directory(self.topic), &error).to_string());
            return self.check();
        }
        self.unsynced.clear();
        self.created = false;
        Ok(())
    }

    fn check(&self) -> Result<(), JournalError> {
        match &self.poisoned {
            Some(reason) => Err(JournalError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn release(&mut self, file: u32) {
        if let Some(state) = self.files.get_mut(&file) {
            state.live_blocks = state.live_blocks.saturating_sub(1);
        }
    }

    pub(super) fn release_all(&mut self) {
        for state in self.files.values_mut() {
            state.live_blocks = 0;
        }
    }

    /// Removes what two sweeps have found without live blocks. True when no file is left.
    pub(super) fn sweep(&mut self, disk: &dyn Disk) -> Result<bool, JournalError> {
        let mut gone = Vec::new();
        for (&number, state) in &mut self.files {
            if state.live_blocks > 0 {
                continue;
            }
            if std::mem::replace(&mut state.swept, true) {
                gone.push(number);
            }
        }
        for number in gone {
            let path = file_name(self.topic, number);
            disk.remove(&path)
                .map_err(|error| JournalError::io("remove", &path, &error))?;
            self.files.remove(&number);
            self.unsynced.retain(|open| open.number != number);
            self.current.take_if(|open| open.number == number);
        }
        Ok(self.files.is_empty())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}
