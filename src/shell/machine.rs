//! Samples of the machine: processors, memory, file system, and our own memory.

use std::fs;

use rustix::fs::statvfs;

use crate::domain::metrics::Machine;

/// Reads the machine, with what it read before: processors tell sums only.
#[derive(Debug, Default)]
pub struct Sampler {
    busy: u64,
    total: u64,
    last: Machine,
}

impl Sampler {
    /// A sampler whose first sample tells of the time from now on.
    pub fn new() -> Self {
        let (busy, total) = processor_times().unwrap_or_default();
        Self {
            busy,
            total,
            last: Machine::default(),
        }
    }

    /// The machine now. What the system does not tell is 0, and what it does not tell for a moment (no descriptor is
    /// left) stays as it was.
    pub fn sample(&mut self) -> Machine {
        if let Some((busy, total)) = processor_times() {
            self.last.cpu = percent(
                busy.saturating_sub(self.busy),
                total.saturating_sub(self.total),
            );
            (self.busy, self.total) = (busy, total);
        }
        self.last.memory = memory().unwrap_or(self.last.memory);
        self.last.disk = disk().unwrap_or(self.last.disk);
        self.last
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 * 100.0 / whole as f64).clamp(0.0, 100.0)
    }
}

/// Busy and all time of all processors, in ticks: the first line of `/proc/stat` (proc_stat(5)).
fn processor_times() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    // Guest time, from the ninth field on, is part of the first two.
    let times: Vec<u64> = fields
        .split_ascii_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total = times.iter().sum();
    let idle: u64 = times.get(3..5)?.iter().sum();
    Some((total - idle, total))
}

/// Memory that is not available, by `/proc/meminfo` (proc_meminfo(5)).
fn memory() -> Option<f64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let total = value("MemTotal:")?;
    Some(percent(
        total.saturating_sub(value("MemAvailable:")?),
        total,
    ))
}

/// The root file system's use, as `df` counts it: without what only root may use.
fn disk() -> Option<f64> {
    let system = statvfs("/").ok()?;
    let used = system.f_blocks.saturating_sub(system.f_bfree);
    Some(percent(used, used + system.f_bavail))
}

/// Memory of this process, in bytes: the second field of `/proc/self/statm` (proc_pid_statm(5)), in pages.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
