//! What the host can take: the bounds on all boxes together, and how the host does now.

use std::{fs, sync::Arc, time::Duration};

/// Bounds on all boxes of this process. Counts, bytes and durations.
#[derive(Clone)]
pub struct HostLimits {
    /// Actions in boxes at once; the next ones wait.
    pub boxes: usize,
    /// MCP servers in boxes at once; the next ones wait.
    pub servers: usize,
    /// Session sandboxes at once; the next ones wait a moment.
    pub sandboxes: usize,
    /// That may wait, of each kind; more are not sent.
    pub waiting: usize,
    /// Memory of all boxes together; `None`: three quarters of the host's.
    pub memory: Option<u64>,
    /// Memory that must be left on the host; `None`: a twentieth of it, and at most 1 GiB.
    pub spare: Option<u64>,
    /// The share of ten seconds in which everything may wait for memory, in hundredths of a percent.
    pub pressure: u16,
    /// How often it is looked.
    pub every: Duration,
    /// How the host is looked at.
    pub gauge: Arc<dyn Gauge>,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            boxes: 64,
            servers: 128,
            sandboxes: 64,
            waiting: 1024,
            memory: None,
            spare: None,
            pressure: 4000,
            every: Duration::from_millis(500),
            gauge: Arc::new(HostGauge),
        }
    }
}

impl std::fmt::Debug for HostLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostLimits").field("boxes", &self.boxes).field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// The host's memory. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that there is.
    pub total: Option<u64>,
    /// What can be had without taking it from anybody.
    pub available: Option<u64>,
    /// The share of the last ten seconds in which everything waited for memory, in hundredths of a percent.
    pub stalled: Option<u16>,
}

/// Looks at the host's memory.
pub trait Gauge: Send + Sync + 'static {
    /// How it is now.
    fn read(&self) -> Memory;
}

/// Linux's own figures: `/proc/meminfo`, and `/proc/pressure/memory` where the kernel keeps it (proc(5)).
#[derive(Clone, Copy, Debug, Default)]
pub struct HostGauge;

impl Gauge for HostGauge {
    fn read(&self) -> Memory {
        let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let pressure = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
        Memory { total: kib(&info, "MemTotal:"), available: kib(&info, "MemAvailable:"), stalled: full(&pressure) }
    }
}

fn kib(info: &str, key: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `avg10` of the line `full`.
fn full(pressure: &str) -> Option<u16> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("full "))?;
    let value = line.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let part = format!("{part:0<2}");
    whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(part.get(..2)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        assert_eq!(kib("MemTotal:       16384 kB\nMemAvailable:    8 kB\n", "MemAvailable:"), Some(8192));
        let pressure =
            "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull avg10=7.05 avg60=1.00 avg300=0.00 total=1\n";
        assert_eq!((full(pressure), full("")), (Some(705), None));
        let now = HostGauge.read();
        assert!(now.available.unwrap() <= now.total.unwrap() && now.total.unwrap() > 0);
    }
}
