//! Metrics of the process, under the names that all exporters use.

use std::fmt;
use std::fs;

use prometheus_client::metrics::MetricType;
use rustix::process::Resource;

use super::page::Page;

pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    page.process("process_cpu_seconds", "Processor time used", MetricType::Counter, seconds)?;
    // A metric that the kernel does not show is left out.
    if let Some(bytes) = resident_bytes() {
        page.process("process_resident_memory_bytes", "Memory in use", MetricType::Gauge, bytes as f64)?;
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.process("process_open_fds", "File descriptors in use", MetricType::Gauge, open.count() as f64)?;
    }
    // Without a limit there is no series.
    if let Some(limit) = rustix::process::getrlimit(Resource::Nofile).current {
        page.process("process_max_fds", "File descriptors there may be", MetricType::Gauge, limit as f64)?;
    }
    Ok(())
}

fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
