//! `scenarios failover RUNS`: the same faults again and again, and how long each was felt.

use anyhow::{Result, bail};

use crate::kubectl::Kubectl;
use crate::measure::Felt;
use crate::rig;
use crate::scenarios::{failover, install};

/// One measured time of all runs, in ms.
struct Row {
    what: &'static str,
    goal: &'static str,
    times: Vec<u64>,
}

/// Makes a cluster, repeats the faults on its two nodes in turn, and prints a table.
pub fn repeat(kubectl: &Kubectl, runs: usize) -> Result<()> {
    if let Some(why) = rig::missing() {
        bail!(why);
    }
    install::install(kubectl)?;
    install::ready(kubectl)?;
    failover::replicate(kubectl)?;
    let (mut containers, mut machines, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        println!("== run {} of {runs}", run + 1);
        let victim = format!("demo-nsqd-0-{}", run % 2);
        let name = format!("container-{run}");
        containers.push(failover::container_death(kubectl, &victim, &name)?);
        let (felt, returned) =
            failover::machine_death(kubectl, &victim, &format!("machine-{run}"))?;
        machines.push(felt);
        back.push(returned);
    }
    let of = |felt: &[Felt], time: fn(&Felt) -> u64| felt.iter().map(time).collect();
    let mut rows = vec![
        Row {
            what: "container died: a publisher behind the Service gets an OK",
            goal: "1 s",
            times: of(&containers, |felt| felt.publishing),
        },
        Row {
            what: "container died: every one of 8 publishers does",
            goal: "",
            times: of(&containers, |felt| felt.every_publisher),
        },
        Row {
            what: "container died: its peer delivers what it had",
            goal: "3 s",
            times: of(&containers, |felt| felt.backlog),
        },
        Row {
            what: "machine without power: a publisher behind the Service gets an OK",
            goal: "1 s",
            times: of(&machines, |felt| felt.publishing),
        },
        Row {
            what: "machine without power: every one of 8 publishers does",
            goal: "",
            times: of(&machines, |felt| felt.every_publisher),
        },
        Row {
            what: "machine without power: its peer delivers what it had",
            goal: "10 s",
            times: of(&machines, |felt| felt.backlog),
        },
        Row {
            what: "machine back with 100 MB less, its node Ready: mirrored again",
            goal: "5 s",
            times: back,
        },
    ];
    let duplicates: u64 = [&containers, &machines]
        .into_iter()
        .flatten()
        .map(|felt| felt.duplicates)
        .sum();
    println!("report: | what | goal | p50 | p99 | worst |");
    println!("report: |---|---|---|---|---|");
    for row in &mut rows {
        row.times.sort_unstable();
        let [p50, p99, worst] = [50, 99, 100].map(|percent| percentile(&row.times, percent));
        let (what, goal) = (row.what, row.goal);
        println!("report: | {what} | {goal} | {p50} ms | {p99} ms | {worst} ms |");
    }
    println!(
        "report: \nreport: {runs} runs of each fault; lost 0; delivered more than once to the consumers of the load: {duplicates} messages."
    );
    Ok(())
}

/// Of sorted values: the least that so many of a hundred do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
