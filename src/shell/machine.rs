//! Samples of the machine: processors, memory, file system, and the memory of this process.

use std::fs;

use rustix::fs::statvfs;

use crate::domain::metrics::Machine;

/// Takes samples. It keeps the last one, because the system reports processor times only as sums.
#[derive(Debug, Default)]
pub struct Sampler {
    /// The busy and the total time of the processors at the last sample, in ticks.
    times: Option<(u64, u64)>,
    last: Machine,
}

impl Sampler {
    /// A sampler whose first sample covers the time from now on.
    pub fn new() -> Self {
        Self {
            times: processor_times(),
            last: Machine::default(),
        }
    }

    /// Takes a sample. A value that the system never reported (no `/proc`) is `None`; one that it does not report now
    /// (no descriptor left) keeps its last value.
    pub fn sample(&mut self) -> Machine {
        if let Some((busy, total)) = processor_times() {
            let (busy_before, total_before) = self.times.unwrap_or_default();
            let spent = percent(
                busy.saturating_sub(busy_before),
                total.saturating_sub(total_before),
            );
            // No tick may have passed since the last sample; all sums are zero where the system hides them.
            let since_boot = || percent(busy, total);
            self.last.cpu = spent.or(self.last.cpu).or_else(since_boot);
            self.times = Some((busy, total));
        }
        self.last.memory = memory().or(self.last.memory);
        self.last.disk = disk().or(self.last.disk);
        self.last
    }
}

/// `None` of nothing: where the system hides the machine, its files may be there and have zeros only.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 100.0 / whole as f64).clamp(0.0, 100.0))
}

/// The busy and the total time of all processors, in ticks: the first line of `/proc/stat` (proc_stat(5)).
fn processor_times() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    // Guest time, from the ninth field on, is included in the first two fields.
    let times: Vec<u64> = fields
        .split_ascii_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total = times.iter().sum();
    let idle: u64 = times.get(3..5)?.iter().sum();
    Some((total - idle, total))
}

/// The memory that is not available, in percent, from `/proc/meminfo` (proc_meminfo(5)).
fn memory() -> Option<f64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let total = value("MemTotal:")?;
    percent(total.saturating_sub(value("MemAvailable:")?), total)
}

/// The use of the root file system, in percent, as `df` counts it: without the blocks reserved for root.
fn disk() -> Option<f64> {
    let system = statvfs("/").ok()?;
    let used = system.f_blocks.saturating_sub(system.f_bfree);
    percent(used, used + system.f_bavail)
}

/// The resident memory of this process, in bytes: the second field of `/proc/self/statm` (proc_pid_statm(5)) is in
/// pages.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
