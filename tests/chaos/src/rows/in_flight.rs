//! `kill -9` while a consumer holds all that it may.

use anyhow::Result;
use nsq_rig::{Connection, Program, Server};

use super::simple::{publish, subscribe, take};
use super::{Outcome, Setting};
use crate::finding::Finding;

/// What `RDY` allows at most.
const HELD: u32 = 2500;

pub fn run(setting: &Setting, kills: usize) -> Result<Outcome> {
    let ours = held(setting, &setting.ours("write"), "ours, write", kills)?;
    let go = setting.go(&["--mem-queue-size=0", "--sync-every=1"]);
    let control = go.map(|go| held(setting, &go, "Go, mem-queue-size=0 sync-every=1", 1));
    Ok(Outcome::of(ours, control.transpose()?))
}

fn held(setting: &Setting, program: &Program, name: &str, kills: usize) -> Result<Finding> {
    let data = setting.data()?;
    let mut finding = Finding::new(name);
    let (mut lost, mut again) = (0, 0);
    let mut server = Server::start(program, data.path())?;
    for kill in 0..kills {
        let (address, _) = server.wait_ready()?;
        let topic = format!("held{kill}");
        let mut consumer = subscribe(address, &topic, "c", HELD)?;
        publish(
            &mut Connection::open(address)?,
            &topic,
            0..u64::from(HELD),
            100,
        )?;
        let first = take(&mut consumer, HELD as usize, false)?;
        // Deliveries are journalled with the finishes, every 50 ms.
        std::thread::sleep(std::time::Duration::from_millis(300));
        server.kill()?;
        server = Server::start(program, data.path())?;
        let (address, _) = server.wait_ready()?;
        let mut consumer = subscribe(address, &topic, "c", HELD)?;
        let second = take(&mut consumer, HELD as usize, true)?;
        lost += first
            .keys()
            .filter(|number| !second.contains_key(number))
            .count();
        again += first
            .iter()
            .filter(|(number, attempts)| second.get(number) == Some(&(**attempts + 1)))
            .count();
        drop(consumer);
        server.stop()?;
        server = Server::start(program, data.path())?;
    }
    let all = kills * HELD as usize;
    finding.count("in flight at kills", all as u64);
    finding.count("lost", lost as u64);
    finding.count("redelivered with one attempt more", again as u64);
    finding.must(lost == 0, || {
        format!("{lost} of {all} messages in flight are lost")
    });
    finding.must(again == all || lost > 0, || {
        format!("attempts of {} are wrong", all - again)
    });
    Ok(finding)
}
