//! What the machine is, and what a process on it uses.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Clock ticks a second in `/proc`; 100 on every Linux.
const TICKS: f64 = 100.0;

/// Returns the machine in one line: nothing in it changes from day to day.
pub(crate) fn describe(data: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = read("/proc/sys/kernel/osrelease");
    let meminfo = read("/proc/meminfo");
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).and_then(kib).unwrap_or(0);
    format!(
        "{cores} cores ({model}), {} GiB of memory, {} file system, Linux {}",
        memory / (1 << 20),
        file_system(data, &read("/proc/mounts")),
        kernel.trim()
    )
}

fn file_system(path: &Path, mounts: &str) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let rows = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let under = rows.filter_map(|row| match row.as_slice() {
        [_, point, kind, ..] if path.starts_with(point) => Some((point.len(), (*kind).to_owned())),
        _ => None,
    });
    under.max().map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

fn kib(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn rss(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(kib).map(|kib| kib << 10).context("the process tells no memory")
}

/// Returns the processor time that a process used until now, in seconds.
pub(crate) fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("the process tells no times")?;
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}

/// Returns how many bytes a process handed to write calls until now.
///
/// What the kernel calls written counts a whole large page for every few bytes that change in it.
pub(crate) fn written(pid: u32) -> anyhow::Result<f64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).context("the process is gone")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).context("the process tells no writes")
}
