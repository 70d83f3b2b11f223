//! A consumer: finishes most messages, requeues, touches or forgets the others.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Connection, Frame};
use crate::course::pause;
use crate::world::World;

pub struct Consumer {
    pub topic: &'static str,
    pub channel: &'static str,
    pub index: u64,
}

impl Consumer {
    /// Consumes until the world ends.
    pub async fn run(self, world: Arc<World>) {
        let mut random = StdRng::seed_from_u64(world.plan.seed ^ (0x7000 + self.index));
        while !world.course.is_over() {
            if let Some(mut connection) = world.connect().await {
                self.talk(&world, &mut connection, &mut random).await;
            }
            pause(&mut random, 10).await;
        }
    }

    async fn talk(
        &self,
        world: &World,
        connection: &mut Connection,
        random: &mut StdRng,
    ) -> Option<()> {
        let timeout = world.plan.msg_timeout_ms;
        let identify = format!(r#"{{"msg_timeout":{timeout},"heartbeat_interval":1000}}"#);
        let mut hello = b"IDENTIFY\n".to_vec();
        hello.extend_from_slice(&(identify.len() as u32).to_be_bytes());
        hello.extend_from_slice(identify.as_bytes());
        let subscribe = format!("SUB {} {}\n", self.topic, self.channel);
        hello.extend_from_slice(subscribe.as_bytes());
        connection.send(&hello).await?;
        for _ in 0..2 {
            match connection.frame().await? {
                Frame::Ok => {}
                other => self.complain(world, &format!("was told {other:?}")),
            }
        }
        let ready = random.random_range(1..=50);
        connection.send(format!("RDY {ready}\n").as_bytes()).await?;
        // Messages of a consumer that lives on for a while: sometimes it just hangs up.
        let mut left = random.random_range(1..2000);
        let mut finishing: HashMap<[u8; 16], u64> = HashMap::new();
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
                Frame::Error(text) => self.failed(world, &text, &mut finishing),
                other => self.complain(world, &format!("was told {other:?}")),
            }
        }
        Some(())
    }

    fn delivered(&self, world: &World, body: &[u8], attempts: u16) -> Option<u64> {
        let mut auditor = world.auditor.lock();
        auditor.delivered(self.topic, self.channel, body, attempts)
    }

    async fn settle(
        &self,
        world: &World,
        connection: &mut Connection,
        random: &mut StdRng,
        id: [u8; 16],
        number: u64,
        finishing: &mut HashMap<[u8; 16], u64>,
    ) -> Option<()> {
        let id_text = String::from_utf8_lossy(&id).into_owned();
        let calm = world.course.is_draining();
        match random.random_range(0..100) {
            0..4 if !calm => return Some(()), // forgotten: it times out
            4..9 if !calm => {
                let delay = [0, 50, 700][random.random_range(0..3)];
                let requeue = format!("REQ {id_text} {delay}\n");
                return connection.send(requeue.as_bytes()).await;
            }
            9..12 if !calm => {
                let touch = format!("TOUCH {id_text}\n");
                connection.send(touch.as_bytes()).await?;
                pause(random, 900).await;
            }
            12..20 if !calm => pause(random, 20).await,
            _ => {}
        }
        finishing.insert(id, number);
        world.course.step();
        let now = world.course.now();
        connection
            .send(format!("FIN {id_text}\n").as_bytes())
            .await?;
        // A finish that found nobody listening was none.
        let mut auditor = world.auditor.lock();
        auditor.finished(self.topic, self.channel, number, now);
        Some(())
    }

    fn failed(&self, world: &World, text: &str, finishing: &mut HashMap<[u8; 16], u64>) {
        let mut words = text.split(' ');
        let (code, id) = (
            words.next(),
            words.nth(1).and_then(|id| id.as_bytes().first_chunk()),
        );
        match (code, id) {
            (Some("E_FIN_FAILED"), Some(id)) => {
                if let Some(number) = finishing.remove(id) {
                    let mut auditor = world.auditor.lock();
                    auditor.finish_failed(self.topic, self.channel, number);
                }
            }
            (Some("E_REQ_FAILED" | "E_TOUCH_FAILED"), _) => {} // it had timed out
            _ => self.complain(world, &format!("was told {text}")),
        }
    }

    fn complain(&self, world: &World, what: &str) {
        let complaint = format!("a consumer of {}/{} {what}", self.topic, self.channel);
        world.auditor.lock().complain(complaint);
    }
}
