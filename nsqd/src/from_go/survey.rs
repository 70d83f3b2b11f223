//! Looks through all files of a Go nsqd: which messages there are, and where.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nsq_journal::Disk;
use nsq_journal::diskqueue::{Entry, Found, Listing, Meta, QueueFiles, QueueName, Scanner, Sorter};
use nsq_protocol::{is_ephemeral, is_valid_name};

use super::metadata::{self, Known};
use super::state::{self, read_all};
use super::{ImportError, Report, go_on};

/// What is to be imported.
pub(super) struct Survey {
    /// By name; the place in the map is the topic's number in entries.
    pub topics: BTreeMap<String, Known>,
    /// The queues that entries name.
    pub queues: Vec<Queue>,
    pub sorter: Sorter,
}

pub(super) struct Queue {
    pub name: QueueName,
    pub files: BTreeMap<u64, String>,
    /// Of all bodies.
    bytes: u64,
}

impl Survey {
    /// What the bodies take at least, each message once: those of a topic's largest queue.
    pub fn least_bytes(&self) -> u64 {
        let mut largest: BTreeMap<&str, u64> = BTreeMap::new();
        for queue in &self.queues {
            let most = largest.entry(&queue.name.topic).or_default();
            *most = queue.bytes.max(*most);
        }
        largest.values().sum()
    }
}

/// Reads metadata and all records' heads.
pub(super) fn survey(
    disk: &Arc<dyn Disk>,
    listing: &Listing,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<Survey, ImportError> {
    let mut topics = BTreeMap::new();
    if listing.has_metadata {
        match metadata::parse(&read_all(&**disk, "nsqd.dat")?) {
            Ok(known) => topics = known,
            Err(error) => {
                report.damage("nsqd.dat", format!("cannot be read ({error}): topics and channels are made of their files' names, none is paused"));
            }
        }
    }
    let mut queues: Vec<Queue> = Vec::new();
    for (name, files) in &listing.queues {
        if !is_queue(name) {
            report.damage(
                &name.topic,
                "no topic or channel can have this name: its files are left alone".to_owned(),
            );
            continue;
        }
        // A queue that nsqd.dat does not know has messages all the same: Go would find them once
        // somebody makes the channel. One of no messages is nothing.
        let known = topics
            .get(&name.topic)
            .is_some_and(|known| match &name.channel {
                None => true,
                Some(channel) => known.channels.contains_key(channel),
            });
        if known || files.data.iter().any(|(_, file)| has_bytes(&**disk, file)) {
            let topic = topics.entry(name.topic.clone()).or_default();
            if let Some(channel) = &name.channel {
                topic.channels.entry(channel.clone()).or_insert(false);
            }
        }
        queues.push(Queue {
            name: name.clone(),
            files: files.data.clone(),
            bytes: 0,
        });
    }
    let mut survey = Survey {
        topics,
        queues,
        sorter: Sorter::new(Arc::clone(disk), state::DIRECTORY),
    };
    let numbers: BTreeMap<String, u32> = (0..)
        .zip(survey.topics.keys().cloned())
        .map(|(number, name)| (name, number))
        .collect();
    for index in 0..survey.queues.len() {
        let name = survey.queues[index].name.clone();
        go_on(stop)?;
        let Some(&topic) = numbers.get(&name.topic) else {
            continue; // no messages, and nobody knows it
        };
        let late = name.channel.is_none() && survey.topics[&name.topic].paused;
        scan(
            disk,
            &mut survey,
            listing,
            (topic, index as u32, late),
            report,
        )?;
    }
    Ok(survey)
}

fn is_queue(name: &QueueName) -> bool {
    let valid = |name: &str| is_valid_name(name) && !is_ephemeral(name);
    valid(&name.topic) && name.channel.as_deref().is_none_or(valid)
}

fn has_bytes(disk: &dyn Disk, file: &str) -> bool {
    let len = disk.open(file).and_then(|file| file.len());
    len.is_ok_and(|len| len > 0)
}

/// Where reading goes on: the Go nsqd's place, or the beginning if it is not known.
fn begin(disk: &dyn Disk, files: &QueueFiles, report: &mut Report) -> io::Result<(u64, u64)> {
    let Some(name) = &files.meta else {
        return Ok((0, 0));
    };
    let bytes = read_all(disk, name)?;
    let text = String::from_utf8_lossy(&bytes);
    match Meta::parse(&text) {
        Some(meta) => Ok(meta.read),
        None => {
            report.damage(
                name,
                "cannot be read: all of the queue's files are".to_owned(),
            );
            Ok((0, 0))
        }
    }
}

fn scan(
    disk: &Arc<dyn Disk>,
    survey: &mut Survey,
    listing: &Listing,
    (topic, queue, late): (u32, u32, bool),
    report: &mut Report,
) -> io::Result<()> {
    let Queue { name, files, .. } = &survey.queues[queue as usize];
    let (name, files) = (name.clone(), files.clone());
    let (first, from) = match listing.queues.get(&name) {
        Some(files) => begin(&**disk, files, report)?,
        None => (0, 0),
    };
    for (&number, path) in files.range(first..) {
        let file = disk.open(path)?;
        let from = if number == first { from } else { 0 };
        for found in Scanner::new(&*file, from)? {
            match found {
                Found::Damage { from, to } => {
                    report.lost_bytes += to - from;
                    report.damage(
                        path,
                        format!(
                            "{} bytes at {from} are no messages: they are left in the file",
                            to - from
                        ),
                    );
                }
                Found::Message {
                    head,
                    body_at,
                    body_len,
                    mended,
                } => {
                    if mended {
                        report.mended += 1;
                        report.damage(path, format!("the length of the message before {body_at} is wrong: it is taken to end where the next begins"));
                    }
                    survey.queues[queue as usize].bytes += u64::from(body_len);
                    survey.sorter.push(Entry {
                        topic,
                        late,
                        timestamp: head.timestamp,
                        id: head.id,
                        queue,
                        attempts: head.attempts,
                        file: number,
                        body_at,
                        body_len,
                    })?;
                }
            }
        }
    }
    Ok(())
}
