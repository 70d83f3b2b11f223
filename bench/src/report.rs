//! The outcome: what the samples say, as values.

use serde::Serialize;

use crate::contest::{Contestant, Pairing, ROWS, Row, Target};
use crate::machine::Machine;
use crate::rounds::{Sample, Samples};
use crate::statistics::Spread;

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub message_bytes: usize,
    pub lines: Vec<Line>,
}

/// A server in a row.
#[derive(Debug, Serialize)]
pub struct Line {
    pub row: &'static str,
    pub name: &'static str,
    pub server: &'static Contestant,
    /// Of all rounds.
    pub messages: u64,
    /// Messages a second.
    pub rate: Spread,
    /// CPU microseconds of the server for each message.
    pub cpu_micros: Spread,
    /// The two parts of the median.
    pub user_micros: f64,
    pub system_micros: f64,
    pub interrupts_per_second: Spread,
    pub latency: Option<Latency>,
    /// Only ours.
    pub against: Option<Against>,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub p50_ms: Spread,
    pub p99_ms: Spread,
}

/// Ours over Go's, round by round.
#[derive(Debug, Serialize)]
pub struct Against {
    pub server: &'static str,
    pub rate: Spread,
    pub cpu: Spread,
    /// What ours was to reach in this row at level `memory`, and whether it did.
    pub target: Option<Met>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Met {
    pub target: &'static str,
    pub met: bool,
}

/// One line for each row and server; `samples` holds theirs and ours of each pairing in turn.
pub fn lines(pairings: &[&'static Pairing], samples: &Samples) -> Vec<Line> {
    let mut lines = Vec::new();
    for (row, samples) in ROWS.iter().zip(samples) {
        for (pairing, both) in pairings.iter().zip(samples.chunks_exact(2)) {
            let theirs = line(row, &pairing.theirs, &both[0]);
            let ours = line(row, &pairing.ours, &both[1]);
            let mut ours = ours;
            if let Some(ours) = &mut ours {
                ours.against = against(row, pairing, both, ours.latency.as_ref());
            }
            lines.extend(theirs.into_iter().chain(ours));
        }
    }
    lines
}

fn line(row: &Row, server: &'static Contestant, samples: &[Sample]) -> Option<Line> {
    let spread = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
    let cpu_micros = spread(Sample::cpu_micros)?;
    let user: u64 = samples.iter().map(|sample| sample.used.user_ticks).sum();
    let system: u64 = samples.iter().map(|sample| sample.used.system_ticks).sum();
    let user_share = user as f64 / (user + system).max(1) as f64;
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let latencies = || samples.iter().filter_map(|sample| sample.latency);
    let p50_ms = Spread::of(latencies().map(|latency| millis(latency.0)));
    let p99_ms = Spread::of(latencies().map(|latency| millis(latency.1)));
    Some(Line {
        row: row.key,
        name: row.name,
        server,
        messages: samples.iter().map(|sample| sample.messages).sum(),
        rate: spread(Sample::rate)?,
        user_micros: cpu_micros.median * user_share,
        system_micros: cpu_micros.median * (1.0 - user_share),
        cpu_micros,
        interrupts_per_second: spread(Sample::interrupts_per_second)?,
        latency: p50_ms
            .zip(p99_ms)
            .map(|(p50_ms, p99_ms)| Latency { p50_ms, p99_ms }),
        against: None,
    })
}

fn against(
    row: &Row,
    pairing: &Pairing,
    both: &[Vec<Sample>],
    latency: Option<&Latency>,
) -> Option<Against> {
    let values = |at: usize, of: fn(&Sample) -> f64| both[at].iter().map(of).collect::<Vec<_>>();
    let ratios = |of| Spread::of_ratios(&values(1, of), &values(0, of));
    let (rate, cpu) = (ratios(Sample::rate)?, ratios(Sample::cpu_micros)?);
    let p50_ms = latency.map(|latency| latency.p50_ms.median);
    let met = judge(row.target, rate.median, cpu.median, p50_ms);
    Some(Against {
        server: pairing.theirs.name,
        rate,
        cpu,
        target: (pairing.level == "memory").then_some(met),
    })
}

fn judge(target: Target, rate: f64, cpu: f64, p50_ms: Option<f64>) -> Met {
    let (target, met) = match target {
        Target::Fast => ("3x rate, 0.25x CPU", rate >= 3.0 && cpu <= 0.25),
        Target::NotBehind => ("1x CPU", cpu <= 1.0),
        Target::Prompt => ("p50 0.2 ms", p50_ms.is_some_and(|p50_ms| p50_ms <= 0.2)),
    };
    Met { target, met }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contest::PAIRINGS;
    use crate::meter::Used;

    fn sample(messages: u64, cpu_nanos: u64) -> Sample {
        Sample {
            messages,
            seconds: 0.5,
            used: Used {
                cpu_nanos,
                user_ticks: 3,
                system_ticks: 1,
                interrupts: 50,
                elapsed: Duration::from_millis(500),
            },
            latency: Some((150_000, 900_000)),
        }
    }

    #[test]
    fn figures_and_ratios_come_from_the_samples() {
        let theirs = vec![sample(1000, 4_000_000), sample(2000, 8_000_000)];
        let ours = vec![sample(4000, 4_000_000), sample(8000, 8_000_000)];
        let samples = vec![vec![theirs, ours]; ROWS.len()];
        let lines = lines(&[&PAIRINGS[0]], &samples);
        assert_eq!(lines.len(), 2 * ROWS.len());
        let (theirs, ours) = (&lines[0], &lines[1]);
        assert_eq!((theirs.rate.median, theirs.messages), (3000.0, 3000));
        assert_eq!(theirs.cpu_micros.median, 4.0);
        assert_eq!((theirs.user_micros, theirs.system_micros), (3.0, 1.0));
        assert_eq!(theirs.interrupts_per_second.median, 100.0);
        assert!(theirs.against.is_none());
        let against = ours.against.as_ref().unwrap();
        assert_eq!((against.rate.median, against.cpu.median), (4.0, 0.25));
        assert!(against.target.unwrap().met);
    }

    #[test]
    fn targets_can_be_missed() {
        assert!(judge(Target::Fast, 3.0, 0.25, None).met);
        assert!(!judge(Target::Fast, 2.9, 0.25, None).met);
        assert!(!judge(Target::Fast, 3.0, 0.26, None).met);
        assert!(!judge(Target::NotBehind, 9.0, 1.01, None).met);
        assert!(judge(Target::Prompt, 0.1, 9.0, Some(0.2)).met);
        assert!(!judge(Target::Prompt, 0.1, 9.0, Some(0.21)).met);
    }
}
