//! Control groups, versions 1 and 2: how much processor time and memory a container really has.
//!
//! A limit may stand at any level between the process's own group and the root, so every ancestor is read and the tightest wins.
//! Inside a container the path in `/proc/self/cgroup` may not exist below `/sys/fs/cgroup`; missing files are simply no limit.

use super::files::Files;
use crate::Fact;

/// Version 1 states "no limit" as a number near 2^63; no machine has this much.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Processors' worth of time granted, as `quota / period`.
#[must_use]
pub fn quota_cpus(files: &Files) -> Fact<f64> {
    let mut tightest: Option<(f64, String)> = None;
    for folder in folders(files, "cpu") {
        let quota = match files.text(&format!("{folder}/cpu.max")) {
            Ok(text) => parse_cpu_max(&text),
            Err(_) => files
                .number::<f64>(&format!("{folder}/cpu.cfs_quota_us"))
                .ok()
                .zip(
                    files
                        .number::<f64>(&format!("{folder}/cpu.cfs_period_us"))
                        .ok(),
                )
                .and_then(|(quota, period)| ratio(quota, period)),
        };
        if let Some(cpus) = quota
            && tightest.as_ref().is_none_or(|(least, _)| cpus < *least)
        {
            tightest = Some((cpus, folder));
        }
    }
    match tightest {
        Some((cpus, folder)) => Fact::known(cpus, format!("cpu quota in {folder}")),
        None => Fact::unknown("no control group limits the processor time"),
    }
}

/// Bytes that the control groups still grant beyond what is in use: limit - usage, the smallest of all levels. Pages of files count
/// as usage, but the system takes them back when it needs memory, so they are granted too.
#[must_use]
pub fn memory_left_bytes(files: &Files) -> Fact<u64> {
    let mut tightest: Option<(u64, String)> = None;
    for folder in folders(files, "memory") {
        let pair = [
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ]
        .into_iter()
        .find_map(|(limit, usage)| {
            let limit = files.number::<u64>(&format!("{folder}/{limit}")).ok()?;
            let usage = files.number::<u64>(&format!("{folder}/{usage}")).ok()?;
            Some((limit, usage.saturating_sub(file_bytes(files, &folder))))
        });
        if let Some((limit, usage)) = pair
            && limit < NO_LIMIT_BYTES
            && tightest
                .as_ref()
                .is_none_or(|(least, _)| limit.saturating_sub(usage) < *least)
        {
            tightest = Some((limit.saturating_sub(usage), folder));
        }
    }
    match tightest {
        Some((bytes, folder)) => Fact::known(bytes, format!("memory limit less usage in {folder}")),
        None => Fact::unknown("no control group limits the memory"),
    }
}

/// Bytes of files' pages in a group's `memory.stat`; those of its children too, which version 1 tells apart.
fn file_bytes(files: &Files, folder: &str) -> u64 {
    let stat = files
        .text(&format!("{folder}/memory.stat"))
        .unwrap_or_default();
    let entry = |key: &str| {
        stat.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            (name == key).then(|| bytes.trim().parse::<u64>().ok())?
        })
    };
    ["inactive_file", "active_file"]
        .into_iter()
        .filter_map(|key| entry(&format!("total_{key}")).or_else(|| entry(key)))
        .fold(0, u64::saturating_add)
}

/// `cpu.max` of version 2: `max 100000` or `150000 100000`.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    ratio(quota, words.next().map_or(Ok(100_000.0), str::parse).ok()?)
}

/// A quota that is not positive (-1 in version 1) means no limit.
fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0 && quota.is_finite() && period.is_finite()).then(|| quota / period)
}

/// Folders of this process's group and its ancestors, for both versions.
fn folders(files: &Files, controller: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let groups = files.text("/proc/self/cgroup").unwrap_or_default();
    for line in groups.lines().take(64) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        if path.split('/').any(|part| part == "..") {
            continue;
        }
        let bases: Vec<String> = if controllers.is_empty() {
            vec!["/sys/fs/cgroup".into(), "/sys/fs/cgroup/unified".into()]
        } else if controllers.split(',').any(|name| name == controller) {
            vec![
                format!("/sys/fs/cgroup/{controllers}"),
                format!("/sys/fs/cgroup/{controller}"),
            ]
        } else {
            continue;
        };
        for base in bases {
            let mut level = path.trim_end_matches('/');
            loop {
                folders.push(format!("{base}{level}"));
                match level.rsplit_once('/') {
                    Some((parent, _)) => level = parent,
                    None => break,
                }
            }
        }
    }
    folders
}
