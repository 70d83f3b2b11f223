//! What a process uses, and how often the cores interrupt each other, as Linux counts it.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A process is idle when it uses less than this share of a core.
const IDLE_SHARE: f64 = 0.05;
const IDLE_WINDOW: Duration = Duration::from_millis(20);
/// A garbage collector may keep a process busy; waiting longer than this makes it no better.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// CPU time of a process since it began.
#[derive(Debug, Default, Clone)]
struct Cpu {
    /// Nanoseconds on a CPU by thread: exact, but not told apart.
    threads: HashMap<u32, u64>,
    /// Clock ticks, sampled: good for the proportion of the two.
    user_ticks: u64,
    system_ticks: u64,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub cpu_nanos: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
    /// Rescheduling and function-call interrupts of the whole machine.
    pub interrupts: u64,
    pub elapsed: Duration,
}

pub struct Meter {
    pid: u32,
    cpu: Cpu,
    interrupts: u64,
    started: Instant,
}

impl Meter {
    /// Starts to count for a process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            cpu: read_cpu(pid)?,
            interrupts: read_interrupts()?,
            started: Instant::now(),
        })
    }

    /// What was used since the start.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn stop(&self) -> Result<Used> {
        let elapsed = self.started.elapsed();
        let (cpu, interrupts) = (read_cpu(self.pid)?, read_interrupts()?);
        Ok(Used {
            cpu_nanos: cpu.nanos_since(&self.cpu),
            user_ticks: cpu.user_ticks - self.cpu.user_ticks,
            system_ticks: cpu.system_ticks - self.cpu.system_ticks,
            interrupts: interrupts.saturating_sub(self.interrupts),
            elapsed,
        })
    }
}

impl Cpu {
    fn nanos_since(&self, earlier: &Self) -> u64 {
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or(0);
        let threads = self.threads.iter();
        threads
            .map(|(thread, nanos)| nanos.saturating_sub(before(thread)))
            .sum()
    }
}

/// Waits until the processes have nothing left to do from what came before.
///
/// # Errors
/// When one is gone.
pub fn wait_idle(pids: &[u32]) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < IDLE_TIMEOUT {
        let meters: Vec<Meter> = pids
            .iter()
            .map(|&pid| Meter::start(pid))
            .collect::<Result<_>>()?;
        std::thread::sleep(IDLE_WINDOW);
        let mut busy = Duration::ZERO;
        for meter in &meters {
            busy += Duration::from_nanos(meter.stop()?.cpu_nanos);
        }
        if busy < IDLE_WINDOW.mul_f64(IDLE_SHARE) {
            break;
        }
    }
    Ok(())
}

fn read_cpu(pid: u32) -> Result<Cpu> {
    let gone = || format!("process {pid} is gone");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(gone)?;
    let (user_ticks, system_ticks) = ticks(&stat).with_context(gone)?;
    let mut threads = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).with_context(gone)? {
        let entry = entry?;
        let thread = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        // A thread may end between being listed and being read.
        let told = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        let nanos = told
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        threads.extend(thread.zip(nanos));
    }
    Ok(Cpu {
        threads,
        user_ticks,
        system_ticks,
    })
}

/// User and system ticks from `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The name, second, may hold spaces and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some((next()?, next()?))
}

fn read_interrupts() -> Result<u64> {
    let text = fs::read_to_string("/proc/interrupts").context("/proc/interrupts")?;
    Ok(count_interrupts(&text))
}

/// Rescheduling and function-call interrupts on all cores.
fn count_interrupts(text: &str) -> u64 {
    let wanted = |line: &&str| {
        let name = line.trim_start();
        name.starts_with("RES:") || name.starts_with("CAL:")
    };
    let counts = |line: &str| -> u64 {
        let words = line.split_whitespace().skip(1);
        words.map_while(|word| word.parse::<u64>().ok()).sum()
    };
    text.lines().filter(wanted).map(counts).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_after_the_name_whatever_it_is() {
        let stat = "12 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 111 222 0 0 20";
        assert_eq!(ticks(stat), Some((111, 222)));
        assert_eq!(ticks("12 (a) S 1 2"), None);
    }

    #[test]
    fn interrupts_are_summed_over_cores() {
        let text = "           CPU0       CPU1\n  0:         5          6   IO-APIC\n\
            RES:        10         20   Rescheduling interrupts\n\
            CAL:         3          4   Function call interrupts\n";
        assert_eq!(count_interrupts(text), 37);
    }

    #[test]
    fn only_what_was_used_since_counts() {
        let cpu = |threads: &[(u32, u64)]| Cpu {
            threads: threads.iter().copied().collect(),
            ..Cpu::default()
        };
        // Thread 3 is new, thread 1 has ended.
        let (before, after) = (cpu(&[(1, 50), (2, 100)]), cpu(&[(2, 130), (3, 7)]));
        assert_eq!(after.nanos_since(&before), 37);
    }

    #[test]
    fn a_busy_thread_is_seen() {
        let meter = Meter::start(std::process::id()).unwrap();
        let mut sum = 0u64;
        // Ends when the meter has seen it.
        while meter.stop().unwrap().cpu_nanos < 1_000_000 {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        std::hint::black_box(sum);
    }
}
