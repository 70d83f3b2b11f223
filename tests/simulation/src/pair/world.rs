//! The run: everybody's common ground.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nsq_auditor::{Auditor, Rules, Verdict};
use nsq_journal::sim::SimDisk;
use nsq_protocol::PairRole;
use nsq_tools::mirror;
use nsqd::Nsqd;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

use super::finishes::Finishes;
use super::node;
use super::people::{self, Consumer};
use super::removals::Absent;
use super::{PairPlan, director};
use crate::client::Connection;
use crate::course::{Course, in_virtual_time};
use crate::node::Node;
use crate::plan::TOPICS;

/// Bytes that a slow link carries in a millisecond, at most.
const SLOW: usize = 2048;

pub struct PairWorld {
    pub plan: PairPlan,
    pub disks: [Mutex<Arc<SimDisk>>; 2],
    pub nodes: [Mutex<Option<Node>>; 2],
    pub auditor: Mutex<Auditor>,
    /// Of the disk each node has.
    pub incarnations: [AtomicU64; 2],
    pub finishes: Mutex<Finishes>,
    pub absent: Mutex<Absent>,
    /// Adoptions in lives that are over.
    adopted: AtomicU64,
    /// Those on the disk that each node has.
    adopted_on_disk: [AtomicU64; 2],
    pub partitioned: AtomicBool,
    lives: [AtomicU64; 2],
    /// The node that will not come back, counted from 1.
    gone: AtomicU64,
    pub course: Course,
}

/// What came of a run.
#[derive(Debug)]
pub struct PairOutcome {
    pub verdict: Verdict,
    pub steps: u64,
    /// Virtual time.
    pub took: Duration,
    pub adoptions: u64,
    pub lost_disks: u64,
}

/// Runs one world, from its seed to its verdict.
pub fn run(plan: PairPlan) -> PairOutcome {
    in_virtual_time(live(plan))
}

async fn live(plan: PairPlan) -> PairOutcome {
    let world = Arc::new(PairWorld::new(plan));
    let (mut publishers, mut others) = (JoinSet::new(), JoinSet::new());
    for index in 0..2 {
        world.start(index);
    }
    for origin in 0..2 {
        others.spawn(link(Arc::clone(&world), origin));
    }
    for publisher in 1..=world.plan.publishers as u64 {
        publishers.spawn(people::publish(Arc::clone(&world), publisher));
    }
    let mut index = 0;
    for &(topic, channels) in TOPICS {
        for &channel in channels {
            for node in (0..2).cycle().take(2 * world.plan.consumers) {
                index += 1;
                let consumer = Consumer {
                    topic,
                    channel,
                    node,
                    index,
                };
                others.spawn(consumer.run(Arc::clone(&world)));
            }
        }
    }
    let (adoptions, lost_disks) = director::run(&world, &mut publishers).await;
    world.course.end();
    others.abort_all();
    world.count_reasons();
    let verdict = world.auditor.lock().verdict();
    PairOutcome {
        verdict,
        steps: world.course.steps(),
        took: world.course.took(),
        adoptions,
        lost_disks,
    }
}

/// `nsq_to_nsq --mirror` from `origin` to the other node, whenever both are up and can be reached.
async fn link(world: Arc<PairWorld>, origin: usize) {
    while !world.course.is_over() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if world.partitioned.load(Ordering::Relaxed) {
            continue;
        }
        let (Some(from), Some(to)) = (world.pipe(origin), world.pipe(1 - origin)) else {
            continue;
        };
        let from = match world.plan.slow_links {
            true => slowed(from),
            false => from,
        };
        let relayed = async {
            let from = mirror::introduce(from).await.ok()?;
            let from = mirror::link(from, PairRole::Origin, "").await.ok()?;
            let to = mirror::introduce(to).await.ok()?;
            let to = mirror::link(to, PairRole::Holder, "").await.ok()?;
            mirror::relay(from, to).await.err()
        };
        let cut = async {
            while !world.partitioned.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            ended = relayed => {
                if let Some(ended) = ended {
                    world.course.note(&format!("link of {origin}: {ended}"));
                }
            }
            () = cut => {}
        }
    }
}

/// The same, a little at a time.
fn slowed(mut far: DuplexStream) -> DuplexStream {
    let (near, mut way) = tokio::io::duplex(SLOW);
    tokio::spawn(async move {
        let (mut there, mut back) = ([0; SLOW], [0; SLOW]);
        loop {
            let moved = tokio::select! {
                biased;
                read = way.read(&mut there) => match read {
                    Ok(count) if count > 0 => far.write_all(&there[..count]).await,
                    _ => return,
                },
                read = far.read(&mut back) => match read {
                    Ok(count) if count > 0 => way.write_all(&back[..count]).await,
                    _ => return,
                },
            };
            if moved.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    near
}

impl PairWorld {
    fn new(plan: PairPlan) -> Self {
        let names = |channels: &[&str]| channels.iter().map(|&name| name.to_owned()).collect();
        let channels = TOPICS
            .iter()
            .map(|&(topic, channels)| (topic.to_owned(), names(channels)));
        let channels: BTreeMap<String, Vec<String>> = channels.collect();
        let rules = Rules {
            finish_may_be_forgotten: 0,
            finish_may_be_late: false,
            paired: true,
        };
        let disk = || Mutex::new(SimDisk::new());
        Self {
            disks: [disk(), disk()],
            nodes: [Mutex::new(None), Mutex::new(None)],
            auditor: Mutex::new(Auditor::new(rules, channels)),
            incarnations: [AtomicU64::new(101), AtomicU64::new(102)],
            finishes: Mutex::default(),
            absent: Mutex::default(),
            adopted: AtomicU64::new(0),
            adopted_on_disk: Default::default(),
            partitioned: AtomicBool::new(false),
            lives: [AtomicU64::new(0), AtomicU64::new(0)],
            gone: AtomicU64::new(0),
            course: Course::begin(plan.verbose),
            plan,
        }
    }

    /// Starts a node on the disk it has.
    pub fn start(&self, index: usize) {
        let disk = Arc::clone(&self.disks[index].lock());
        let incarnation = self.incarnations[index].load(Ordering::Relaxed);
        match node::start(&self.plan, index, &disk, incarnation, self.course.now()) {
            Ok(node) => {
                let stats = node.nsqd.journal.stats();
                self.course.note(&format!(
                    "{index} started in run {}, tail {}, {} holes",
                    stats.run, stats.tail, stats.recovery.quarantined_ranges
                ));
                if stats.run == 1 {
                    super::director::make_channels(self, &node.nsqd);
                }
                self.lives[index].fetch_add(1, Ordering::Relaxed);
                *self.nodes[index].lock() = Some(node);
            }
            Err(error) => {
                let complaint = format!("start of {index}: {error}");
                self.auditor.lock().complain(complaint);
            }
        }
    }

    pub fn nsqd(&self, index: usize) -> Option<Arc<Nsqd>> {
        let node = self.nodes[index].lock();
        node.as_ref().map(|node| Arc::clone(&node.nsqd))
    }

    /// Takes a node away, for an end that is the caller's.
    pub fn take(&self, index: usize) -> Option<Node> {
        let node = self.nodes[index].lock().take()?;
        let adoptions = nsqd::engine::pair::adoptions(&node.nsqd);
        self.adopted_on_disk[index].fetch_add(adoptions, Ordering::Relaxed);
        self.note_adoptions(&node.nsqd);
        Some(node)
    }

    fn note_adoptions(&self, nsqd: &Nsqd) {
        let adoptions = nsqd::engine::pair::adoptions(nsqd);
        self.adopted.fetch_add(adoptions, Ordering::Relaxed);
    }

    /// The bound of duplicates: a channel finishes a message once, and once more at most for each adoption, and for each
    /// end of a node, which forgets its last finishes.
    fn count_reasons(&self) {
        for index in 0..2 {
            if let Some(nsqd) = self.nsqd(index) {
                self.note_adoptions(&nsqd);
            }
        }
        let lives: u64 = (0..2).map(|index| self.life(index)).sum();
        let reasons = 1 + self.adopted.load(Ordering::Relaxed) + lives;
        self.auditor.lock().finished_at_most(reasons);
    }

    /// Whether the node has begun to adopt since its disk was blank.
    pub fn has_adopted(&self, index: usize) -> bool {
        let now = |nsqd: Arc<Nsqd>| nsqd::engine::pair::adoptions(&nsqd) > 0;
        self.adopted_on_disk[index].load(Ordering::Relaxed) > 0 || self.nsqd(index).is_some_and(now)
    }

    /// The node has another disk.
    pub fn make_blank(&self, index: usize) {
        self.incarnations[index].fetch_add(100, Ordering::Relaxed);
        self.adopted_on_disk[index].store(0, Ordering::Relaxed);
    }

    /// Which of its lives the node is in.
    pub fn life(&self, index: usize) -> u64 {
        self.lives[index].load(Ordering::Relaxed)
    }

    /// The node is gone for good, with its disk.
    pub fn bury(&self, index: usize) {
        self.gone.store(index as u64 + 1, Ordering::Relaxed);
    }

    /// The node that is gone for good.
    pub fn gone(&self) -> Option<usize> {
        let gone = self.gone.load(Ordering::Relaxed) as usize;
        gone.checked_sub(1)
    }

    fn pipe(&self, index: usize) -> Option<DuplexStream> {
        self.nodes[index].lock().as_mut().map(Node::connect)
    }

    /// A connection, if the node is up.
    pub async fn connect(&self, index: usize) -> Option<Connection> {
        let pipe = self.pipe(index)?;
        Connection::open(pipe).await
    }

    /// Says what becomes of the message that is looked for.
    pub fn trace(&self, number: u64, what: &str) {
        if self.plan.traced == Some(number) {
            self.course.note(&format!("{number} {what}"));
        }
    }
}
