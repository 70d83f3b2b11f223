//! `/debug`: what is going on inside, in the place of Go's pprof. Everything is read from the kernel
//! and from counters that are kept anyway: asking costs nothing that lasts.

use std::fs;
use std::time::Duration;

use axum::extract::State as From;
use nsq_daemon::http::{Answer, ApiError, Params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Result, State};

/// How long threads are watched, in seconds.
const WATCH: u64 = 5;
const LONGEST_WATCH: u64 = 60;
/// Topics that are told of, those that take most memory first.
const TOPICS: usize = 100;
/// Linux counts processor time in hundredths of a second, on every machine.
const TICK_MS: u64 = 10;

/// Processor time of a thread.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Thread {
    id: String,
    name: String,
    /// As in `ps`: R running, S sleeping, D waiting for a disk.
    state: String,
    user_ms: u64,
    system_ms: u64,
}

/// `/debug/cpu?seconds=5`: which threads took how much processor time, busiest first.
pub(super) async fn cpu(params: Params) -> Result {
    let seconds = match params.get("seconds") {
        None => WATCH,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (1..=LONGEST_WATCH).contains(seconds))
            .ok_or(ApiError::bad_request("INVALID_ARG_SECONDS"))?,
    };
    let before = threads();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut after = threads();
    for thread in &mut after {
        if let Some(before) = before.iter().find(|before| before.id == thread.id) {
            thread.user_ms -= before.user_ms.min(thread.user_ms);
            thread.system_ms -= before.system_ms.min(thread.system_ms);
        }
    }
    after.sort_by_key(|thread| std::cmp::Reverse(thread.user_ms + thread.system_ms));
    Answer::json(&serde_json::json!({"seconds": seconds, "threads": after}))
}

fn threads() -> Vec<Thread> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let stats = tasks.filter_map(|task| {
        let task = task.ok()?;
        let id = task.file_name().to_string_lossy().into_owned();
        thread(id, &fs::read_to_string(task.path().join("stat")).ok()?)
    });
    stats.collect()
}

/// `stat`: of a thread, as proc(5) describes it.
fn thread(id: String, stat: &str) -> Option<Thread> {
    // The name stands in brackets and may hold anything.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let time = |at: usize| Some(fields.get(at)?.parse::<u64>().ok()? * TICK_MS);
    Some(Thread {
        id,
        name: name.to_owned(),
        state: (*fields.first()?).to_owned(),
        user_ms: time(11)?,
        system_ms: time(12)?,
    })
}

/// `/debug/memory`: what the process has, and which topics hold it.
pub(super) async fn memory(From(shared): State) -> Result {
    let nsqd = &shared.nsqd;
    let journal = nsqd.journal.stats();
    let mut topics: Vec<(u64, String)> = nsqd
        .topics()
        .iter()
        .map(|topic| {
            let bytes = topic.read(|queue| queue.resident_bytes());
            (bytes, topic.name.clone())
        })
        .collect();
    topics.sort_by(|a, b| b.cmp(a));
    let held = |(bytes, topic): (u64, String)| serde_json::json!({"topic": topic, "bytes": bytes});
    let held: Vec<Value> = topics.into_iter().take(TOPICS).map(held).collect();
    Answer::json(&serde_json::json!({
        "process": kib_lines("/proc/self/status", "Vm", "Rss"),
        "message_memory_bytes": journal.chunk_bytes,
        "topics": held,
    }))
}

/// Lines such as `VmRSS:  1234 kB` that begin so, in bytes.
fn kib_lines(file: &str, one: &str, other: &str) -> Map<String, Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let kib: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        let wanted = name.starts_with(one) || name.starts_with(other);
        wanted.then(|| (name.to_owned(), Value::from(kib * 1024)))
    });
    lines.collect()
}

/// `/debug/tasks`: each connection's task, and what it waits for.
pub(super) async fn tasks(From(shared): State) -> Result {
    let now = shared.nsqd.clock.wall() / 1_000_000_000;
    let clients = shared.nsqd.clients();
    let told: Vec<Value> = clients
        .iter()
        .map(|client| {
            let identity = client.identity.lock().clone();
            let waits = client.waits();
            serde_json::json!({
                "connection": client.id,
                "remote_address": client.remote_address,
                "client_id": identity.client_id,
                "user_agent": identity.user_agent,
                "connected_seconds": now - client.connected_at,
                "output_bytes": waits.output_bytes,
                "answers_waiting_for_the_journal": waits.answers,
                "command_bytes_arrived": waits.input_bytes,
            })
        })
        .collect();
    Answer::json(&serde_json::json!({"connections": told}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_name_may_hold_anything() {
        let stat = "77 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 31 12 0 0 20 0 1";
        let read = thread("77".to_owned(), stat).unwrap();
        assert_eq!(read.name, "a) b (c");
        assert_eq!(
            (read.state.as_str(), read.user_ms, read.system_ms),
            ("S", 310, 120)
        );
        assert!(threads().iter().any(|thread| !thread.name.is_empty()));
        assert_eq!(thread(String::new(), "77 (x) S 1 2"), None);
    }
}
