//! How much memory messages may take: a share of what the process may have.

use std::fs;

/// Bytes of message memory: what the chunks that hold messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Above this, backlogs go to disk.
    pub soft: usize,
    /// Above this, publishers wait.
    pub hard: usize,
    /// What commands that are still arriving may take together.
    pub input: usize,
}

impl MemoryBudget {
    /// `option`: bytes that the process may have; 0: what the cgroup allows, or the machine's
    /// memory where there is none.
    pub(crate) fn of_this_process(option: u64) -> Self {
        if option > 0 {
            return Self::of(std::iter::once(option), "");
        }
        let files = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let limits = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok());
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::of(limits.filter_map(|text| text.trim().parse().ok()), &machine)
    }

    /// `limits`: of cgroups, in bytes; `machine`: the text of `/proc/meminfo`.
    fn of(limits: impl Iterator<Item = u64>, machine: &str) -> Self {
        let total = machine.lines().find_map(|line| {
            let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
            kib.trim().parse::<u64>().ok()
        });
        let total = total.map(|kib| kib * 1024);
        let limit = limits.chain(total).min().unwrap_or(1 << 30) as usize;
        Self {
            soft: limit / 10 * 3,
            hard: limit / 2,
            input: limit / 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let meminfo = "MemTotal:       24000000 kB\nMemFree: 1 kB\n";
        let of = |limits: &[u64]| MemoryBudget::of(limits.iter().copied(), meminfo);
        assert_eq!(of(&[]).hard, 24_000_000 * 1024 / 2);
        assert_eq!(
            of(&[u64::MAX, 1000]),
            MemoryBudget {
                soft: 300,
                hard: 500,
                input: 125
            }
        );
    }
}
