//! A publisher: sends numbered messages, some at a time, in every way there is.

use std::collections::VecDeque;
use std::sync::Arc;

use nsq_auditor::encode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Connection, Frame};
use crate::course::pause;
use crate::plan::TOPICS;
use crate::world::World;

/// Most commands that wait for their answers.
const WINDOW: usize = 20;

pub async fn run(world: Arc<World>, index: u64) {
    let mut random = StdRng::seed_from_u64(world.plan.seed ^ (0x9000 + index));
    let mut next = index << 32;
    let end = next + world.plan.messages;
    while next < end {
        if let Some(mut connection) = world.connect().await {
            talk(&world, &mut connection, &mut random, &mut next, end).await;
        }
        pause(&mut random, 5).await;
    }
}

/// Publishes until the connection ends or everything is sent and answered.
async fn talk(
    world: &World,
    connection: &mut Connection,
    random: &mut StdRng,
    next: &mut u64,
    end: u64,
) -> Option<()> {
    let mut unanswered: VecDeque<Vec<u64>> = VecDeque::new();
    while *next < end || !unanswered.is_empty() {
        let send = *next < end && unanswered.len() < WINDOW && random.random_bool(0.6);
        if send {
            let (bytes, numbers) = command(world, random, next, end);
            unanswered.push_back(numbers);
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
                let numbers = unanswered.pop_front().unwrap_or_default();
                let mut auditor = world.auditor.lock();
                numbers
                    .into_iter()
                    .for_each(|number| auditor.acknowledged(number));
                world.course.step();
            }
            Frame::Error(text) if text.contains("disk is full") => return None,
            other => {
                let complaint = format!("a publisher was told {other:?}");
                world.auditor.lock().complain(complaint);
                return None;
            }
        }
    }
    Some(())
}

/// The bytes of a PUB, MPUB or DPUB, and the numbers of its messages.
fn command(world: &World, random: &mut StdRng, next: &mut u64, end: u64) -> (Vec<u8>, Vec<u64>) {
    let topic = TOPICS[random.random_range(0..TOPICS.len())].0;
    let kind = random.random_range(0..10);
    let count = match kind {
        0..2 => random.random_range(1..=30).min(end - *next),
        _ => 1,
    };
    let numbers: Vec<u64> = (*next..*next + count).collect();
    *next += count;
    let mut auditor = world.auditor.lock();
    let mut bodies = Vec::new();
    for &number in &numbers {
        auditor.sent(topic, number);
        bodies.push(encode(number, random.random_range(0..=world.plan.max_body)));
    }
    let mut bytes = Vec::new();
    match kind {
        0..2 => {
            bytes.extend_from_slice(format!("MPUB {topic}\n").as_bytes());
            let size = 4 + bodies.iter().map(|body| 4 + body.len()).sum::<usize>();
            bytes.extend_from_slice(&(size as u32).to_be_bytes());
            bytes.extend_from_slice(&(count as u32).to_be_bytes());
        }
        2 => {
            let delay = random.random_range(0..3000);
            bytes.extend_from_slice(format!("DPUB {topic} {delay}\n").as_bytes());
        }
        _ => bytes.extend_from_slice(format!("PUB {topic}\n").as_bytes()),
    }
    for body in bodies {
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&body);
    }
    (bytes, numbers)
}
