//! The run: everybody's common ground.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nsq_auditor::{Auditor, Rules, Verdict};
use nsq_journal::sim::SimDisk;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::consumer::Consumer;
use crate::course::{Course, in_virtual_time};
use crate::node::Node;
use crate::plan::{Plan, TOPICS};
use crate::{director, publisher};

/// A finish is journalled within 50 ms, then it is written, or synced with the next group.
const FINISH_MAY_BE_FORGOTTEN: Duration = Duration::from_millis(120);

pub struct World {
    pub plan: Plan,
    pub disk: Arc<SimDisk>,
    pub node: Mutex<Option<Node>>,
    pub auditor: Mutex<Auditor>,
    pub course: Course,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Commands sent and messages received.
    pub steps: u64,
    /// Virtual time.
    pub took: Duration,
}

/// Runs one world, from its seed to its verdict.
pub fn run(plan: Plan) -> Outcome {
    in_virtual_time(live(plan))
}

async fn live(plan: Plan) -> Outcome {
    let world = Arc::new(World::new(plan));
    let mut publishers = JoinSet::new();
    let mut consumers = JoinSet::new();
    let mut index = 0;
    if let Err(error) = world.start() {
        world
            .auditor
            .lock()
            .complain(format!("the first start failed: {error}"));
    }
    director::make_channels(&world).await;
    for publisher in 1..=world.plan.publishers as u64 {
        publishers.spawn(publisher::run(Arc::clone(&world), publisher));
    }
    for &(topic, channels) in TOPICS {
        for &channel in channels {
            for _ in 0..world.plan.consumers {
                index += 1;
                let consumer = Consumer {
                    topic,
                    channel,
                    index,
                };
                consumers.spawn(consumer.run(Arc::clone(&world)));
            }
        }
    }
    director::run(&world, &mut publishers).await;
    world.course.end();
    consumers.abort_all();
    let verdict = world.auditor.lock().verdict();
    Outcome {
        verdict,
        steps: world.course.steps(),
        took: world.course.took(),
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let names = |channels: &[&str]| channels.iter().map(|&name| name.to_owned()).collect();
        let channels = TOPICS
            .iter()
            .map(|&(topic, channels)| (topic.to_owned(), names(channels)));
        let channels: BTreeMap<String, Vec<String>> = channels.collect();
        let rules = Rules {
            finish_may_be_forgotten: FINISH_MAY_BE_FORGOTTEN.as_nanos() as i64
                + 4 * plan.slow_disk_us as i64 * 1000,
            finish_may_be_late: plan.msg_timeout_ms < 10_000,
            paired: false,
        };
        Self {
            course: Course::begin(plan.verbose),
            plan,
            disk: SimDisk::new(),
            node: Mutex::new(None),
            auditor: Mutex::new(Auditor::new(rules, channels)),
        }
    }

    pub fn start(&self) -> Result<(), nsq_journal::JournalError> {
        let node = Node::start(&self.plan, &self.disk, self.course.now())?;
        self.course
            .note(&format!("started: {:?}", node.nsqd.journal.stats()));
        *self.node.lock() = Some(node);
        Ok(())
    }

    /// An error that the director ordered.
    pub fn disk_fails_on_purpose(&self, error: &nsq_journal::JournalError) -> bool {
        let text = error.to_string();
        text.contains("the power is off") || text.contains("simulated sync error")
    }

    /// A connection, if the node is up.
    pub async fn connect(&self) -> Option<Connection> {
        let pipe = self.node.lock().as_mut()?.connect();
        Connection::open(pipe).await
    }
}
