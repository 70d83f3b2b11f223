//! `nsqd export`: writes a directory that the Go nsqd starts from. The data path itself is only read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use nsq_journal::diskqueue::{Head, Listing, QueueName, QueueWriter};
use nsq_journal::{Disk, JournalOptions, Overlay, RealDisk, lock_directory};
use nsq_protocol::{MessageId, is_ephemeral};
use nsq_queue::Unfinished;
use serde::Serialize;

use crate::clock::Clock;
use crate::from_go::metadata::{Known, to_json};
use crate::from_go::state::write_whole;
use crate::host::ChunkRef;
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;
use crate::options::Options;
use crate::pager::Housekeeping;
use crate::recovery::open_on;

/// What a queue collects before it is written.
const BUFFER: usize = 256 << 10;
/// What all queues of a topic may collect.
const BUFFERS: usize = 64 << 20;
/// What the Go nsqd takes for damage, unless its --max-msg-size is larger.
const GO_MESSAGE_MAX: u32 = 1 << 20;

#[derive(Parser)]
#[command(
    name = "nsqd export",
    about = "Writes the messages of a data path as a directory that the Go nsqd starts from"
)]
struct Command {
    /// The --data-path of a server that is stopped; it is only read
    #[arg(long, default_value = ".", value_name = "DIRECTORY")]
    data_path: PathBuf,
    /// The Go nsqd's --data-path to be; new or empty
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// As the Go nsqd's --max-bytes-per-file
    #[arg(long, default_value_t = 100 << 20, value_name = "BYTES")]
    max_bytes_per_file: u64,
    /// Tell it in JSON
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub topics: u64,
    pub channels: u64,
    /// One for each channel that waits for a message, and for each message that no channel has got.
    pub copies: u64,
    pub bytes: u64,
    /// Copies that were to wait: Go delivers them at once.
    pub deferred: u64,
    /// The longest message.
    pub longest: u32,
    /// Topics and channels whose settings Go has none for.
    pub with_settings: u64,
    /// Messages that could not be read.
    pub lost: u64,
}

/// Runs the command; `arguments` follow `nsqd export`.
pub fn run(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let program = std::iter::once("nsqd export".into());
    let command = Command::parse_from(program.chain(arguments));
    match export(&command) {
        Ok(exported) => {
            match command.json {
                true => println!("{}", serde_json::to_string(&exported).unwrap_or_default()),
                false => print!("{}", told(&exported, &command.to)),
            }
            match exported.lost {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("nsqd export: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn told(exported: &Exported, to: &Path) -> String {
    let mut text = format!(
        "{} messages of {} topics and {} channels are in {}\n",
        exported.copies,
        exported.topics,
        exported.channels,
        to.display()
    );
    // Writing to a string cannot fail.
    if exported.deferred > 0 {
        let _ = writeln!(
            text,
            "{} were deferred: the Go nsqd has no place for that in its files, and delivers them at once",
            exported.deferred
        );
    }
    if exported.with_settings > 0 {
        let _ = writeln!(
            text,
            "{} topics and channels have settings that the Go nsqd does not know",
            exported.with_settings
        );
    }
    if exported.longest > GO_MESSAGE_MAX {
        let _ = writeln!(
            text,
            "start the Go nsqd with --max-msg-size={} at least: it takes longer messages for damage, and sets their files aside",
            exported.longest
        );
    }
    if exported.lost > 0 {
        let _ = writeln!(
            text,
            "{} messages could not be read and are NOT there: see nsqd journal verify",
            exported.lost
        );
    }
    text
}

fn export(command: &Command) -> anyhow::Result<Exported> {
    let from = &command.data_path;
    std::fs::metadata(from.join("journal"))
        .with_context(|| format!("{}: there is no journal here", from.display()))?;
    let _lock = lock_directory(from)
        .with_context(|| format!("{}: stop the server first", from.display()))?;
    let disk: Arc<dyn Disk> = RealDisk::new(from);
    if !Listing::of(&disk.list("")?).is_empty() {
        bail!(
            "{}: there are files of a Go nsqd that were not imported: start nsqd once",
            from.display()
        );
    }
    std::fs::create_dir_all(&command.to).with_context(|| command.to.display().to_string())?;
    let to: Arc<dyn Disk> = RealDisk::new(&command.to);
    if !to.list("")?.is_empty() {
        bail!("{} is not empty", command.to.display());
    }
    if command.max_bytes_per_file == 0 {
        bail!("--max-bytes-per-file must be at least 1");
    }
    export_disk(&disk, &*to, command.max_bytes_per_file)
}

/// Writes what lies on one disk to another, which is empty.
///
/// # Errors
/// When one cannot be read or the other not be written: what was written is no data path yet.
pub fn export_disk(
    from: &Arc<dyn Disk>,
    to: &dyn Disk,
    file_bytes: u64,
) -> anyhow::Result<Exported> {
    let options = JournalOptions {
        threads: false,
        ..JournalOptions::default()
    };
    let nsqd = open_on(
        Overlay::over(Arc::clone(from)),
        options,
        Options::command("exported").defaults(),
        Clock::start(),
        Housekeeping::on_volume(u64::MAX, 0),
    )?;
    let (mut exported, mut topics) = (Exported::default(), BTreeMap::new());
    for topic in nsqd.topics() {
        if is_ephemeral(&topic.name) {
            continue;
        }
        let (known, settings) = topic.read(|queue| {
            let channels = queue.channels().filter(|channel| !channel.ephemeral);
            let channels = channels.map(|channel| (channel.name.clone(), channel.paused));
            let known = Known {
                paused: queue.paused,
                channels: channels.collect(),
            };
            (known, queue.all_settings().len())
        });
        exported.topics += 1;
        exported.channels += known.channels.len() as u64;
        exported.with_settings += settings as u64;
        let mut queues = Queues::of(&topic, file_bytes);
        queues.fill(&nsqd, &topic, to, &mut exported)?;
        queues.finish(to, &mut exported)?;
        topics.insert(topic.name.clone(), known);
    }
    // The last file: a directory without it is not taken for whole.
    write_whole(to, "", "nsqd.dat", to_json(&topics).as_bytes())?;
    Ok(exported)
}

/// The queues of a topic and its channels.
struct Queues {
    topic: QueueWriter,
    /// By the channel's number.
    channels: BTreeMap<u32, QueueWriter>,
    buffered: usize,
}

impl Queues {
    fn of(topic: &LiveTopic, file_bytes: u64) -> Self {
        let queue = |channel: Option<&str>| {
            let name = QueueName {
                topic: topic.name.clone(),
                channel: channel.map(str::to_owned),
            };
            QueueWriter::new(name, file_bytes)
        };
        let channels = topic.read(|topic| {
            let channels = topic.channels().filter(|channel| !channel.ephemeral);
            let channels = channels.map(|channel| (channel.number, queue(Some(&channel.name))));
            channels.collect()
        });
        Self {
            topic: queue(None),
            channels,
            buffered: 0,
        }
    }

    fn fill(
        &mut self,
        nsqd: &Arc<Nsqd>,
        topic: &Arc<LiveTopic>,
        to: &dyn Disk,
        exported: &mut Exported,
    ) -> anyhow::Result<()> {
        let mut from = Some(0);
        while let Some(at) = from {
            let batch = topic.read(|queue| queue.unfinished(at));
            from = batch.next;
            if let Some(page) = batch.needs {
                if let Some(damage) = nsqd.page_in(topic, &page, at)? {
                    eprintln!("nsqd export: {damage}");
                }
                continue;
            }
            for message in &batch.messages {
                self.push(message, to, exported)?;
            }
            topic.change_now(nsqd, |queue, _| queue.evict());
        }
        exported.lost += topic.read(|queue| queue.lost_count());
        Ok(())
    }

    fn push(
        &mut self,
        message: &Unfinished<ChunkRef>,
        to: &dyn Disk,
        exported: &mut Exported,
    ) -> io::Result<()> {
        let body = message.chunk.0.bytes(message.offset, message.len);
        let mut head = Head {
            timestamp: message.timestamp,
            attempts: 0,
            id: MessageId(message.id).to_hex(),
        };
        if message.held {
            exported.deferred += u64::from(message.due != 0);
            self.buffered += put(&mut self.topic, to, &head, body)?;
        }
        for pending in &message.pending {
            let Some(queue) = self.channels.get_mut(&pending.channel) else {
                continue;
            };
            exported.deferred += u64::from(pending.due != 0);
            head.attempts = pending.attempts;
            self.buffered += put(queue, to, &head, body)?;
        }
        if self.buffered > BUFFERS {
            self.buffered = 0;
            for queue in self.channels.values_mut() {
                queue.flush(to)?;
            }
            self.topic.flush(to)?;
        }
        Ok(())
    }

    fn finish(self, to: &dyn Disk, exported: &mut Exported) -> io::Result<()> {
        for queue in self.channels.into_values().chain([self.topic]) {
            let written = queue.finish(to)?;
            exported.copies += written.messages;
            exported.bytes += written.bytes;
            exported.longest = exported.longest.max(written.longest);
        }
        Ok(())
    }
}

/// Bytes that wait in the queue's buffer now, and did not before.
fn put(queue: &mut QueueWriter, to: &dyn Disk, head: &Head, body: &[u8]) -> io::Result<usize> {
    queue.push(to, head, body)?;
    let buffered = queue.buffered();
    if buffered > BUFFER {
        queue.flush(to)?;
        return Ok(0);
    }
    Ok(body.len() + 30)
}
