//! The outcome: what the samples say, as values.

use serde::Serialize;

use crate::contest::{Contest, Contestant, Row, Target};
use crate::machine::Machine;
use crate::rounds::{Sample, Samples};
use crate::statistics::Spread;

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub contest: &'static str,
    /// The server that the others are compared with.
    pub judged: &'static str,
    pub rounds: usize,
    pub message_bytes: usize,
    pub lines: Vec<Line>,
}

/// A server in a row.
#[derive(Debug, Serialize)]
pub struct Line {
    pub row: &'static str,
    pub name: &'static str,
    pub connections: usize,
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
    /// Of the published messages, the share that was received meanwhile.
    pub received: Option<Spread>,
    /// The judged server beside this one.
    pub judged: Option<Against>,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub p50_ms: Spread,
    pub p99_ms: Spread,
}

/// The judged server over this one, round by round.
#[derive(Debug, Serialize)]
pub struct Against {
    pub rate: Spread,
    pub cpu: Spread,
    /// What the judged one was to reach here, and whether it did.
    pub target: Option<Met>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Met {
    pub target: &'static str,
    pub met: bool,
}

/// One line for each row and server; `samples` holds those of the contestants in turn, the judged one's last.
pub fn lines(contest: &Contest, rows: &[&'static Row], samples: &Samples) -> Vec<Line> {
    let mut lines = Vec::new();
    for (row, samples) in rows.iter().zip(samples) {
        let Some((judged, others)) = samples.split_last() else {
            continue;
        };
        let judged_line = contest
            .contestants
            .last()
            .and_then(|server| line(row, server, judged));
        for (server, samples) in contest.contestants.iter().zip(others) {
            let mut line = line(row, server, samples);
            if let (Some(line), Some(judged_line)) = (&mut line, &judged_line) {
                line.judged = against(row, server, samples, judged, judged_line);
            }
            lines.extend(line);
        }
        lines.extend(judged_line);
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
        connections: row.connections,
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
        received: Spread::of(samples.iter().filter_map(Sample::received_share)),
        judged: None,
    })
}

fn against(
    row: &Row,
    server: &Contestant,
    samples: &[Sample],
    judged: &[Sample],
    judged_line: &Line,
) -> Option<Against> {
    let values = |of: fn(&Sample) -> f64, samples: &[Sample]| -> Vec<f64> {
        samples.iter().map(of).collect()
    };
    let ratios = |of| Spread::of_ratios(&values(of, judged), &values(of, samples));
    let (rate, cpu) = (ratios(Sample::rate)?, ratios(Sample::cpu_micros)?);
    let target = row
        .targets
        .iter()
        .find(|target| target.against == server.name);
    let p50_ms = judged_line
        .latency
        .as_ref()
        .map(|latency| latency.p50_ms.median);
    let received = judged_line.received.map(|received| received.median);
    Some(Against {
        rate,
        cpu,
        target: target.map(|target| judge(target, rate.median, cpu.median, p50_ms, received)),
    })
}

fn judge(target: &Target, rate: f64, cpu: f64, p50_ms: Option<f64>, received: Option<f64>) -> Met {
    let met = rate >= target.rate
        && cpu <= target.cpu
        && p50_ms.is_none_or(|p50_ms| p50_ms <= target.p50_ms)
        && received.is_none_or(|received| received >= target.received);
    Met {
        target: target.says,
        met,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
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
            latency: None,
            received: Some(messages / 2),
        }
    }

    #[test]
    fn figures_and_ratios_come_from_the_samples() {
        let contest = Contest::find("speed").unwrap();
        let rows = [&contest.rows[2]];
        let theirs = vec![sample(1000, 4_000_000), sample(2000, 8_000_000)];
        let ours = vec![sample(4000, 4_000_000), sample(8000, 8_000_000)];
        let lines = lines(contest, &rows, &vec![vec![theirs, ours]]);
        let [theirs, ours] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!((theirs.rate.median, theirs.messages), (3000.0, 3000));
        assert_eq!(theirs.cpu_micros.median, 4.0);
        assert_eq!((theirs.user_micros, theirs.system_micros), (3.0, 1.0));
        assert_eq!(theirs.interrupts_per_second.median, 100.0);
        assert_eq!(theirs.received.unwrap().median, 0.5);
        assert!(ours.judged.is_none());
        let judged = theirs.judged.as_ref().unwrap();
        assert_eq!((judged.rate.median, judged.cpu.median), (4.0, 0.25));
        assert!(judged.target.unwrap().met);
    }

    #[test]
    fn targets_can_be_missed() {
        let target = Target {
            against: "",
            says: "all",
            rate: 3.0,
            cpu: 0.25,
            p50_ms: 0.2,
            received: 0.9,
        };
        let met = |rate, cpu, p50, received| judge(&target, rate, cpu, p50, received).met;
        assert!(met(3.0, 0.25, None, None));
        assert!(met(3.0, 0.25, Some(0.2), Some(0.9)));
        assert!(!met(2.9, 0.25, None, None));
        assert!(!met(3.0, 0.26, None, None));
        assert!(!met(3.0, 0.25, Some(0.21), None));
        assert!(!met(3.0, 0.25, None, Some(0.89)));
    }
}
