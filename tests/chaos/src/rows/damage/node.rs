//! nsqd within this process, on real files: opened thousands of times where a process would take
//! minutes. Time is virtual, so that "nothing more comes" takes none.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_journal::{JournalOptions, RealDisk};
use nsqd::engine::{
    Housekeeping, MemoryBudget, Pager, Timers, log_all, open_on, serve, take_checkpoint,
};
use nsqd::options::{Durability, Options};
use nsqd::{Clock, Nsqd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Small, so that a small data path has several.
pub const SEGMENT_BYTES: u64 = 64 << 10;
const PIPE: usize = 64 << 10;
/// Nothing for so long, in virtual time: nothing more comes. Shorter than any timeout of nsqd.
const SILENCE: Duration = Duration::from_secs(5);
const IN_FLIGHT: u32 = 2500;

pub struct Node {
    pub nsqd: Arc<Nsqd>,
    tasks: JoinSet<()>,
    runtime: Runtime,
}

/// A message as delivered.
pub struct Delivered {
    pub id: [u8; 16],
    pub body: Vec<u8>,
}

impl Node {
    /// # Errors
    /// When nsqd refuses to open the data path.
    pub fn open(path: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let entered = runtime.enter();
        let journal = JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            chunk_bytes: 16 << 10,
            free_floor: 0,
            threads: false,
            ..JournalOptions::default()
        };
        let options = Options {
            durability: Durability::Write,
            mem_queue_size: 100,
            node_id: 5,
            ..Options::command("damaged").defaults()
        };
        let housekeeping = Housekeeping {
            checkpoint_every: u64::MAX,
            kept_for_peer: 0,
            sent_to_peer: 0,
            journal_kept: u64::MAX,
            spill_file: 1 << 20,
            memory: MemoryBudget {
                soft: usize::MAX,
                hard: usize::MAX,
                input: 32 << 20,
            },
        };
        let nsqd = open_on(
            RealDisk::new(path),
            journal,
            options,
            Clock::start(),
            housekeeping,
        )?;
        let mut tasks = JoinSet::new();
        tasks.spawn_on(Timers::run(Arc::clone(&nsqd)), runtime.handle());
        drop(entered);
        Ok(Self {
            nsqd,
            tasks,
            runtime,
        })
    }

    /// Publishes bodies in one command.
    ///
    /// # Errors
    /// When the answer is anything but OK.
    pub fn publish(&mut self, topic: &str, bodies: &[Vec<u8>]) -> Result<()> {
        let mut command = b"  V2".to_vec();
        nsq_rig::push_mpub(&mut command, topic, bodies.iter().map(Vec::as_slice));
        let mut pipe = self.connect();
        self.runtime.block_on(async {
            pipe.write_all(&command).await?;
            match frame(&mut pipe).await? {
                (0, data) if data == b"OK" => Ok(()),
                (_, data) => bail!("{}", String::from_utf8_lossy(&data)),
            }
        })
    }

    /// Makes the channel and takes what it has to deliver; finishes the first `finish` of it.
    ///
    /// # Errors
    /// When nsqd refuses, or hangs up.
    pub fn consume(&mut self, topic: &str, channel: &str, finish: usize) -> Result<Vec<Delivered>> {
        let mut pipe = self.connect();
        let delivered = self.runtime.block_on(async {
            let hello = format!("  V2SUB {topic} {channel}\nRDY {IN_FLIGHT}\n");
            pipe.write_all(hello.as_bytes()).await?;
            let mut delivered = Vec::new();
            while let Ok(frame) = tokio::time::timeout(SILENCE, frame(&mut pipe)).await {
                let (kind, data) = frame?;
                match kind {
                    0 => {}
                    2 => delivered.push(message(&data).context("a message without its header")?),
                    _ => bail!("{}", String::from_utf8_lossy(&data)),
                }
            }
            let mut answers = Vec::new();
            for one in delivered.iter().take(finish) {
                nsq_rig::push_fin(&mut answers, &one.id);
            }
            pipe.write_all(&answers).await?;
            // All of it was taken when nothing more comes.
            let _ = tokio::time::timeout(SILENCE, frame(&mut pipe)).await;
            Ok(delivered)
        });
        drop(pipe);
        // What is in flight goes back.
        self.runtime
            .block_on(async { tokio::time::sleep(SILENCE).await });
        delivered
    }

    /// Finishes go to the journal, a backlog to spill files, and everything to the kernel.
    ///
    /// # Errors
    /// The journal's.
    pub fn settle(&self) -> Result<()> {
        log_all(&self.nsqd);
        for _ in 0..8 {
            Pager::step(&self.nsqd)?;
        }
        self.nsqd.journal.write(self.nsqd.journal.tail())?;
        Ok(())
    }

    /// # Errors
    /// The journal's.
    pub fn checkpoint(&self) -> Result<()> {
        Ok(take_checkpoint(&self.nsqd, false)?)
    }

    fn connect(&mut self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
        let serving = serve(Arc::clone(&self.nsqd), server, "client".to_owned());
        self.tasks.spawn_on(serving, self.runtime.handle());
        client
    }
}

impl Drop for Node {
    /// As in a crash: nothing is written any more.
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

async fn frame(pipe: &mut DuplexStream) -> Result<(u32, Vec<u8>)> {
    let size = pipe.read_u32().await?;
    let kind = pipe.read_u32().await?;
    let mut data = vec![0; size.saturating_sub(4) as usize];
    pipe.read_exact(&mut data).await?;
    Ok((kind, data))
}

fn message(data: &[u8]) -> Option<Delivered> {
    Some(Delivered {
        id: *data.get(10..26)?.first_chunk()?,
        body: data.get(26..)?.to_vec(),
    })
}
