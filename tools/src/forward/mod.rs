//! `nsq_to_nsq` as NSQ has it: consumes topics and publishes what passes to other nsqds. A message is finished when it is
//! acknowledged there. It gets a new id and a new timestamp, and what is still to come of a delay is lost: to move messages as they
//! are, there is `--relocate`.
//!
//! What is published from here to an nsqd is never consumed from it again under the same name: otherwise a cluster
//! whose nsqlookupds know the destination too would go round in circles.

mod filter;
mod options;
mod pool;
mod status;

use std::collections::HashSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use nsq_client::{Consumer, Message, Producer, Sources, Stopper};
use nsq_daemon::{Stop, log, shutdown};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use filter::{Filter, Verdict};
pub use options::{Options, Plan};
use pool::Pool;
use status::Status;

/// The program in this mode.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let plan = match Options::from_args(args) {
        Ok(plan) => plan,
        Err(stop) => return stop.report("[nsq_to_nsq] "),
    };
    let prefix = plan.options.log_prefix.clone();
    match run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Stop::Fatal(format!("{error:#}")).report(&prefix),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(plan: Plan) -> anyhow::Result<()> {
    let options = &plan.options;
    log::init(&options.log_prefix, options.log_level, log::LogFormat::Nsq);
    let signalled = shutdown::signalled()?;
    let stopped = async {
        let signal = signalled.await;
        tracing::info!("{signal}: stopping");
    };
    forward(&plan, stopped).await
}

/// Forwards until `stopped`, and then what is in flight.
///
/// # Errors
/// What makes no sense: messages that would go round in circles.
pub async fn forward(plan: &Plan, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
    let options = &plan.options;
    let forward = Arc::new(Forward::new(plan));
    let destinations = addresses(&options.destinations).await;
    let (mut running, mut stoppers) = (JoinSet::new(), Vec::new());
    for topic in &options.topics {
        let to = match options.destination_topic.as_str() {
            "" => topic.clone(),
            other => other.to_owned(),
        };
        let comes_back = to == *topic;
        if comes_back {
            refuse_circles(options, &destinations).await?;
        }
        let (known, named) = (Arc::clone(&destinations), topic.clone());
        let sources = Sources {
            nsqds: options.nsqds.clone(),
            lookupds: options.lookupds.clone(),
            admits: Arc::new(move |peer| {
                let is_circle = comes_back && known.contains(&peer);
                if is_circle {
                    tracing::debug!("{peer} gets {named} from here, and is not asked for it");
                }
                !is_circle
            }),
        };
        let consumer = Consumer::start(plan.consumer.clone(), topic, &options.channel, sources)?;
        stoppers.push(consumer.stopper());
        let in_flight = plan.consumer.max_in_flight.max(1) as usize;
        running.spawn(Arc::clone(&forward).carry(consumer, to, in_flight));
    }
    stopped.await;
    stoppers.iter().for_each(Stopper::stop);
    running.join_all().await;
    Ok(())
}

/// What the names of the destinations stand for.
async fn addresses(names: &[String]) -> Arc<HashSet<SocketAddr>> {
    let mut found = HashSet::new();
    for name in names {
        match tokio::net::lookup_host(name.as_str()).await {
            Ok(addresses) => found.extend(addresses),
            // It may be known later; connecting says what is wrong.
            Err(error) => tracing::warn!("{name}: {error}"),
        }
    }
    Arc::new(found)
}

/// A source that was named and is a destination too.
async fn refuse_circles(
    options: &Options,
    destinations: &HashSet<SocketAddr>,
) -> anyhow::Result<()> {
    for name in &options.nsqds {
        let found = tokio::net::lookup_host(name.as_str()).await;
        let mut found = found.with_context(|| name.clone())?;
        if found.any(|address| destinations.contains(&address)) {
            bail!(
                "{name} is a source and a destination of the same topic: messages would go round for ever; \
                 give another --destination-topic"
            );
        }
    }
    Ok(())
}

struct Forward {
    filter: Filter,
    producers: Vec<Producer>,
    shared: Mutex<Shared>,
    began: Instant,
}

struct Shared {
    pool: Pool,
    of_each: Vec<Status>,
    of_all: Status,
}

impl Forward {
    fn new(plan: &Plan) -> Self {
        let options = &plan.options;
        let producer = |address: &String| Producer::new(address, plan.producer.clone());
        let producers: Vec<Producer> = options.destinations.iter().map(producer).collect();
        let every = usize::try_from(options.status_every).unwrap_or_default();
        // One alone is told of by the sum.
        let of_each = match producers.len() {
            1 => 0,
            _ => every,
        };
        let status =
            |producer: &Producer| Status::new(of_each, format!("[{}]:", producer.address()));
        Self {
            filter: Filter {
                field: options.require_field.clone(),
                value: options.require_value.clone(),
                whitelist: options.whitelist.clone(),
            },
            shared: Mutex::new(Shared {
                pool: Pool::new(plan.mode, producers.len()),
                of_each: producers.iter().map(status).collect(),
                of_all: Status::new(every, "[aggregate]:".to_owned()),
            }),
            producers,
            began: Instant::now(),
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Until the consumer has stopped and everything it gave is answered.
    async fn carry(self: Arc<Self>, mut consumer: Consumer, to: String, in_flight: usize) {
        let to: Arc<str> = to.into();
        let room = Arc::new(Semaphore::new(in_flight));
        let mut carried = JoinSet::new();
        while let Some(message) = consumer.next().await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                break;
            };
            while carried.try_join_next().is_some() {}
            let (forward, to) = (Arc::clone(&self), Arc::clone(&to));
            carried.spawn(async move {
                forward.pass_on(message, &to).await;
                drop(permit);
            });
        }
        while carried.join_next().await.is_some() {}
    }

    async fn pass_on(&self, mut message: Message, to: &str) {
        let body = match self.filter.judge(std::mem::take(&mut message.body)) {
            Verdict::Pass(body) => body,
            Verdict::Drop => return message.finish().await,
            Verdict::Later => return message.requeue(None).await,
        };
        let began = self.now();
        let index = {
            let mut shared = self.shared.lock().await;
            shared.pool.choose(began, (rand::random(), rand::random()))
        };
        let published = self.producers[index].publish(to, &body).await;
        let (now, well) = (self.now(), published.is_ok());
        {
            let mut shared = self.shared.lock().await;
            shared.pool.answered(index, well, now - began, now);
            let took = Duration::from_nanos((now - began).unsigned_abs());
            let told = [shared.of_each[index].took(took), shared.of_all.took(took)];
            told.iter()
                .flatten()
                .for_each(|line| tracing::info!("{line}"));
        }
        match published {
            Ok(()) => message.finish().await,
            Err(error) => {
                tracing::debug!("{error}");
                message.requeue(None).await;
            }
        }
    }
}
