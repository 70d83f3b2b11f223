//! Publishers and consumers of a pair. Publishers go to any node that takes them; each node has
//! consumers of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use nsq_auditor::encode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::finishes::Accepted;
use super::world::PairWorld;
use crate::client::{Connection, Frame};
use crate::course::pause;
use crate::plan::TOPICS;

/// Most commands that wait for their answers.
const WINDOW: usize = 10;

/// By message id: the number in the body, and when FIN was sent.
type Finishing = HashMap<[u8; 16], (u64, i64)>;

pub async fn publish(world: Arc<PairWorld>, index: u64) {
    let mut random = StdRng::seed_from_u64(world.plan.seed ^ (0x9000 + index));
    let mut next = index << 32;
    let end = next + world.plan.messages;
    while next < end && !world.course.is_over() {
        let node = match world.plan.lopsided && world.gone() != Some(0) {
            true => 0,
            false => random.random_range(0..2),
        };
        if let Some(mut connection) = world.connect(node).await {
            send(&world, &mut connection, &mut random, &mut next, end).await;
        }
        if world.gone().is_some() && world.plan.block {
            return; // nobody will ever acknowledge it
        }
        pause(&mut random, 5).await;
    }
}

async fn send(
    world: &PairWorld,
    connection: &mut Connection,
    random: &mut StdRng,
    next: &mut u64,
    end: u64,
) -> Option<()> {
    let mut unanswered: VecDeque<u64> = VecDeque::new();
    while *next < end || !unanswered.is_empty() {
        if *next < end && unanswered.len() < WINDOW && random.random_bool(0.6) {
            let topic = TOPICS[random.random_range(0..TOPICS.len())].0;
            let body = encode(*next, random.random_range(0..=world.plan.max_body));
            world.auditor.lock().sent(topic, *next);
            let mut bytes = match random.random_range(0..10) {
                0 => format!("DPUB {topic} {}\n", random.random_range(0..3000)),
                _ => format!("PUB {topic}\n"),
            }
            .into_bytes();
            bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&body);
            world.trace(*next, "is sent");
            unanswered.push_back(*next);
            *next += 1;
            connection.send(&bytes).await?;
            world.course.step();
            continue;
        }
        if unanswered.is_empty() {
            pause(random, 3).await;
            continue;
        }
        match connection.frame().await? {
            Frame::Ok => {
                let number = unanswered.pop_front().unwrap_or_default();
                world.trace(number, "is acknowledged");
                world.auditor.lock().acknowledged(number);
                world.course.step();
            }
            Frame::Error(text)
                if text.contains("disk is full") || text.contains("does not mirror") =>
            {
                return None;
            }
            other => {
                let complaint = format!("a publisher was told {other:?}");
                world.auditor.lock().complain(complaint);
                return None;
            }
        }
    }
    Some(())
}

pub struct Consumer {
    pub topic: &'static str,
    pub channel: &'static str,
    pub node: usize,
    pub index: u64,
}

impl Consumer {
    pub async fn run(self, world: Arc<PairWorld>) {
        let mut random = StdRng::seed_from_u64(world.plan.seed ^ (0x7000 + self.index));
        while !world.course.is_over() {
            let life = world.life(self.node);
            if let Some(mut connection) = world.connect(self.node).await {
                self.consume(&world, &mut connection, &mut random, life)
                    .await;
            }
            pause(&mut random, 20).await;
        }
    }

    async fn consume(
        &self,
        world: &PairWorld,
        connection: &mut Connection,
        random: &mut StdRng,
        life: u64,
    ) -> Option<()> {
        let identify = r#"{"msg_timeout":60000,"heartbeat_interval":1000}"#;
        let mut hello = b"IDENTIFY\n".to_vec();
        hello.extend_from_slice(&(identify.len() as u32).to_be_bytes());
        hello.extend_from_slice(identify.as_bytes());
        hello.extend_from_slice(format!("SUB {} {}\n", self.topic, self.channel).as_bytes());
        connection.send(&hello).await?;
        for _ in 0..2 {
            match connection.frame().await? {
                Frame::Ok => {}
                other => self.complain(world, &format!("was told {other:?}")),
            }
        }
        let ready = random.random_range(1..=20);
        connection.send(format!("RDY {ready}\n").as_bytes()).await?;
        let mut left = random.random_range(1..500);
        let mut finishing: Finishing = HashMap::new();
        while left > 0 && !world.course.is_over() {
            left -= 1;
            match connection.frame().await? {
                Frame::Message { id, attempts, body } => {
                    world.course.step();
                    let number = self.delivered(world, &body, attempts);
                    let Some(number) = number else { continue };
                    self.settle(world, connection, random, id, number, &mut finishing)
                        .await?;
                }
                Frame::Error(text) => self.failed(world, &text, life, &mut finishing),
                other => self.complain(world, &format!("was told {other:?}")),
            }
        }
        Some(())
    }

    fn delivered(&self, world: &PairWorld, body: &[u8], attempts: u16) -> Option<u64> {
        let mut auditor = world.auditor.lock();
        let number = auditor.delivered(self.topic, self.channel, body, attempts);
        if let Some(number) = number {
            let what = format!("is delivered by {} on {}", self.node, self.channel);
            world.trace(number, &what);
        }
        number
    }

    async fn settle(
        &self,
        world: &PairWorld,
        connection: &mut Connection,
        random: &mut StdRng,
        id: [u8; 16],
        number: u64,
        finishing: &mut Finishing,
    ) -> Option<()> {
        let text = String::from_utf8_lossy(&id).into_owned();
        let calm = world.course.is_draining();
        match random.random_range(0..100) {
            // A slow consumer leaves more for the pair to carry.
            0..30 if !calm => pause(random, 40).await,
            30..38 if !calm => {
                let delay = [0, 50, 700][random.random_range(0..3)];
                let requeue = format!("REQ {text} {delay}\n");
                return connection.send(requeue.as_bytes()).await;
            }
            _ => {}
        }
        let what = format!("is finished at {} on {}", self.node, self.channel);
        world.trace(number, &what);
        finishing.insert(id, (number, world.course.now()));
        world.course.step();
        // TOUCH is answered if FIN was accepted.
        let finish = format!("FIN {text}\nTOUCH {text}\n");
        connection.send(finish.as_bytes()).await?;
        let now = world.course.now();
        let mut auditor = world.auditor.lock();
        auditor.finished(self.topic, self.channel, number, now);
        Some(())
    }

    /// The peer's consumers may have finished it, or the peer may own it now.
    fn failed(&self, world: &PairWorld, text: &str, life: u64, finishing: &mut Finishing) {
        let mut words = text.split(' ');
        let (code, id) = (
            words.next(),
            words.nth(1).and_then(|id| id.as_bytes().first_chunk()),
        );
        let mut number = || id.and_then(|id: &[u8; 16]| finishing.remove(id));
        match code {
            Some("E_FIN_FAILED") => {
                if let Some((number, _)) = number() {
                    let mut auditor = world.auditor.lock();
                    auditor.finish_failed(self.topic, self.channel, number);
                }
            }
            Some("E_TOUCH_FAILED") => {
                let accepted = number().map(|(number, said)| Accepted {
                    fate: (self.topic, self.channel, number),
                    node: self.node,
                    life,
                    said,
                    at: world.course.now(),
                });
                accepted
                    .into_iter()
                    .for_each(|one| world.finishes.lock().accepted(one));
            }
            Some("E_REQ_FAILED") => {}
            _ => self.complain(world, &format!("was told {text}")),
        }
    }

    fn complain(&self, world: &PairWorld, what: &str) {
        let complaint = format!("a consumer of {}/{} {what}", self.topic, self.channel);
        world.auditor.lock().complain(complaint);
    }
}
