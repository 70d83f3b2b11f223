//! Which files of a directory are whose.

use std::collections::{BTreeMap, BTreeSet};

/// Whose queue it is: a topic's own, or a channel's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueName {
    pub topic: String,
    pub channel: Option<String>,
}

impl QueueName {
    /// Reads `topic`, `topic:channel`, or, as on Windows, `topic;channel`.
    fn parse(name: &str) -> Self {
        match name.split_once([':', ';']) {
            None => Self {
                topic: name.to_owned(),
                channel: None,
            },
            Some((topic, channel)) => Self {
                topic: topic.to_owned(),
                channel: Some(channel.to_owned()),
            },
        }
    }

    fn file_stem(&self) -> String {
        match &self.channel {
            None => self.topic.clone(),
            Some(channel) => format!("{}:{channel}", self.topic),
        }
    }
}

/// What a queue consists of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct QueueFiles {
    /// The name of its meta file.
    pub meta: Option<String>,
    /// Number and name of its data files.
    pub data: BTreeMap<u64, String>,
}

/// The Go nsqd's files of a directory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Listing {
    pub queues: BTreeMap<QueueName, QueueFiles>,
    /// What it gave up on and renamed. It never reads them again, and most of them were read to the end.
    pub bad: BTreeSet<String>,
    /// Beginnings of files that were to be renamed, when it was killed.
    pub unfinished: BTreeSet<String>,
    /// `nsqd.dat` is there.
    pub has_metadata: bool,
}

const DATA: &str = ".diskqueue.";
const METADATA: &str = "nsqd.dat";

impl Listing {
    /// Finds them among the names of all files.
    pub fn of(names: &[String]) -> Self {
        let mut listing = Self::default();
        for name in names {
            listing.take(name);
        }
        listing
    }

    fn take(&mut self, name: &str) {
        if name == METADATA {
            self.has_metadata = true;
            return;
        }
        let known = name.contains(DATA) || name.starts_with(METADATA);
        if known && name.ends_with(".tmp") {
            self.unfinished.insert(name.to_owned());
            return;
        }
        let Some((queue, kind)) = name.rsplit_once(DATA) else {
            return;
        };
        if kind.ends_with(".dat.bad") {
            self.bad.insert(name.to_owned());
            return;
        }
        let Some(kind) = kind.strip_suffix(".dat") else {
            return;
        };
        let number = kind.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.then(|| kind.parse().ok()).flatten();
        if kind != "meta" && number.is_none() {
            return;
        }
        let queue = self.queues.entry(QueueName::parse(queue)).or_default();
        match number {
            Some(number) => drop(queue.data.insert(number, name.to_owned())),
            None => queue.meta = Some(name.to_owned()),
        }
    }

    /// Nothing of the Go nsqd's is here.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
            && self.bad.is_empty()
            && self.unfinished.is_empty()
            && !self.has_metadata
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let queues = self.queues.values();
        let queues = queues.flat_map(|queue| queue.data.values().chain(&queue.meta));
        let others = self.bad.iter().chain(&self.unfinished);
        let metadata = self.has_metadata.then_some(METADATA);
        queues.chain(others).map(String::as_str).chain(metadata)
    }
}

/// The name of a queue's data file.
pub fn file_name(queue: &QueueName, number: u64) -> String {
    format!("{}.diskqueue.{number:06}.dat", queue.file_stem())
}

/// The name of a queue's meta file.
pub fn meta_name(queue: &QueueName) -> String {
    format!("{}.diskqueue.meta.dat", queue.file_stem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_finds_its_queue() {
        let names = [
            "nsqd.dat",
            "nsqd.dat.123.tmp",
            "a.diskqueue.meta.dat",
            "a.diskqueue.000000.dat",
            "a.diskqueue.1000000.dat",
            "a:c.diskqueue.000002.dat",
            "w;c.diskqueue.000002.dat",
            "a.diskqueue.b.diskqueue.000001.dat",
            "a:c.diskqueue.000001.dat.bad",
            "a:c.diskqueue.meta.dat.77.tmp",
            "a.diskqueue.x.dat",
            "journal",
            "notes.dat",
        ];
        let listing = Listing::of(&names.map(str::to_owned));
        let name = |topic: &str, channel: Option<&str>| QueueName {
            topic: topic.to_owned(),
            channel: channel.map(str::to_owned),
        };
        let topic = &listing.queues[&name("a", None)];
        assert_eq!(topic.meta.as_deref(), Some("a.diskqueue.meta.dat"));
        assert_eq!(
            topic.data.keys().copied().collect::<Vec<_>>(),
            [0, 1_000_000]
        );
        assert!(listing.queues.contains_key(&name("a", Some("c"))));
        assert!(listing.queues.contains_key(&name("w", Some("c"))));
        assert!(listing.queues.contains_key(&name("a.diskqueue.b", None)));
        assert_eq!(listing.queues.len(), 4);
        assert_eq!((listing.bad.len(), listing.unfinished.len()), (1, 2));
        assert!(listing.has_metadata);
        assert_eq!(listing.files().count(), names.len() - 3);
        assert_eq!(
            file_name(&name("a", Some("c")), 2),
            "a:c.diskqueue.000002.dat"
        );
        assert_eq!(meta_name(&name("a", None)), "a.diskqueue.meta.dat");
    }
}
