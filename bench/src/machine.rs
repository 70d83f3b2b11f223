//! What it ran on.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// Servers and the load share so many cores, on every machine.
const CORES: usize = 2;

/// Bytes touched before every measurement: more than a server takes up during one.
const TOUCHED: usize = 1536 << 20;

/// Leaves the kernel with free memory that the machine really has. Where a hypervisor takes free pages back, the first
/// touch of one costs 10 to 25 us, as much as hundreds of messages: it would be measured instead of the server, and
/// most of all where pages hold files.
pub fn touch_memory() {
    drop(std::hint::black_box(vec![1_u8; TOUCHED]));
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub date: String,
}

impl Machine {
    /// Binds this process, and the servers it will start, to the same few cores.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn bind() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask for the cores")?;
        let mut chosen = CpuSet::new();
        let free = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        free.take(CORES).for_each(|cpu| chosen.set(cpu));
        sched_setaffinity(None, &chosen).context("cannot bind to cores")?;
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = rustix::system::uname();
        Ok(Self {
            cpu: field(&cpus, "model name")
                .unwrap_or("unknown CPU")
                .to_owned(),
            cores: chosen.count() as usize,
            memory_gib: memory_gib(&memory),
            kernel: kernel.release().to_string_lossy().into_owned(),
            date: jiff::Zoned::now().date().to_string(),
        })
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Self {
            cpu,
            cores,
            memory_gib,
            kernel,
            date,
        } = self;
        format!("{date}, {cores} cores ({cpu}), {memory_gib} GiB, Linux {kernel}")
    }
}

/// The value of `name` in lines of `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn memory_gib(text: &str) -> u64 {
    let kib = field(text, "MemTotal").and_then(|value| value.split(' ').next()?.parse().ok());
    let kib: u64 = kib.unwrap_or(0);
    (kib + (1 << 19)) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let cpus = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(field(cpus, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(memory_gib("MemTotal:       16300000 kB\n"), 16);
        assert_eq!(memory_gib(""), 0);
    }
}
