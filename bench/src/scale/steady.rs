//! From publishing to receiving, a thousand a second, with what clients ask for by default.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Measured, Much, Subject, measured};
use crate::latency::Pair;
use crate::statistics::quantile;

const TARGET_P50_MS: f64 = 0.15;
const TARGET_P99_MS: f64 = 0.5;
const TOPIC: &str = "steady";

pub(super) fn measure(program: &Path, go: bool, much: Much) -> Result<Vec<Measured>> {
    let subject = Subject::start(program, go, &[])?;
    let run =
        |seconds| Pair::connect(subject.address, TOPIC)?.run(TOPIC, Duration::from_secs(seconds));
    run(1)?; // everybody has got their memory
    let mut latencies = run(much.seconds)?;
    let mut millis = |share| quantile(&mut latencies, share) as f64 / 1e6;
    let (p50, p99) = (millis(0.5), millis(0.99));
    Ok(vec![
        measured(
            "publish to receive, 1,000 a second: p50",
            "ms",
            TARGET_P50_MS,
            p50,
        ),
        measured(
            "publish to receive, 1,000 a second: p99",
            "ms",
            TARGET_P99_MS,
            p99,
        ),
    ])
}
