//! Linux: `/proc`, `/sys` and CPUID. Every file is optional.

use std::collections::BTreeSet;
use std::path::Path;

use super::files::{Files, cpu_list};
use super::{
    Cache, CacheKind, Clock, Cores, Cpu, Isa, Machine, Memory, System, cgroup, cpuid,
    cpuinfo::CpuInfo, dmi,
};
use crate::Fact;

const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// Reads the machine whose files lie under `root`. CPUID and the instruction sets are always those of the running machine.
#[must_use]
pub fn probe(root: &Path) -> Machine {
    let files = Files::under(root);
    let info = CpuInfo::parse(&files.text("/proc/cpuinfo").unwrap_or_default());
    let cores = cores(&files);
    let first = cores
        .allowed
        .value()
        .and_then(|allowed| allowed.first().copied())
        .unwrap_or(0);
    Machine {
        system: System {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            kernel: Fact::from_result(
                files.text("/proc/sys/kernel/osrelease"),
                "/proc/sys/kernel/osrelease",
            ),
            hypervisor: hypervisor(&files),
        },
        cpu: cpu(&files, &info),
        caches: caches(&files, first, &cores),
        isa: Isa::detect(),
        clock: clock(&files, &info, first),
        memory: memory(&files),
        numa_nodes: list_len(&files, "/sys/devices/system/node/online"),
        cores,
    }
}

fn hypervisor(files: &Files) -> Fact<String> {
    match cpuid::hypervisor() {
        Some(name) => Fact::known(name, "CPUID"),
        // ARM virtual machines name theirs in the device tree, if at all: silence proves nothing.
        None => Fact::from_result(
            files.text("/proc/device-tree/hypervisor/compatible"),
            "/proc/device-tree",
        ),
    }
}

fn cpu(files: &Files, info: &CpuInfo) -> Cpu {
    Cpu {
        vendor: info
            .first("vendor_id")
            .or_else(|| info.first("CPU implementer")),
        // ARM has no model name in /proc/cpuinfo; the board's name in the device tree is what people know it by.
        name: info.first("model name").or_else(|| {
            Fact::from_result(
                files.text("/proc/device-tree/model"),
                "/proc/device-tree/model",
            )
        }),
        family: info.first_number("cpu family"),
        model: info.first_number("model"),
        stepping: info.first_number("stepping"),
    }
}

fn cores(files: &Files) -> Cores {
    let allowed = allowed(files);
    let quota_cpus = cgroup::quota_cpus(files);
    let known = allowed.value().map_or_else(available_parallelism, Vec::len);
    // A quota of 1.5 processors feeds two threads, the second one half of the time.
    let granted = quota_cpus
        .value()
        .map_or(known, |cpus| cpus.ceil().clamp(1.0, 65_536.0) as usize);
    let topology = |name: &str| distinct(files, allowed.value().map_or(&[], Vec::as_slice), name);
    let sockets = topology("physical_package_id").map(|ids| ids.len());
    let physical = topology("thread_siblings_list").map(|siblings| siblings.len());
    let source = format!("{CPU_FOLDER}/cpu*/topology of the allowed processors");
    Cores {
        online: list_len(files, &format!("{CPU_FOLDER}/online")),
        usable: known.min(granted).max(1),
        physical: Fact::from_result(physical, source.clone()),
        sockets: Fact::from_result(sockets, source),
        smt: match files.text(&format!("{CPU_FOLDER}/smt/active")).as_deref() {
            Ok("1") => Fact::known(true, format!("{CPU_FOLDER}/smt/active")),
            Ok("0") => Fact::known(false, format!("{CPU_FOLDER}/smt/active")),
            _ => Fact::unknown(format!("{CPU_FOLDER}/smt/active says neither 0 nor 1")),
        },
        allowed,
        quota_cpus,
    }
}

/// The processors in this process's affinity mask, those of a core together, in the order of their numbers; none where the mask cannot be
/// read. Where a processor does not say which core it belongs to, each is taken for a core of its own.
#[must_use]
pub fn own_cores(root: &Path) -> Vec<Vec<usize>> {
    let files = Files::under(root);
    let allowed = allowed(&files);
    let allowed = allowed.value().map_or(&[][..], Vec::as_slice);
    let core_of = |cpu: &usize| {
        let path = format!("{CPU_FOLDER}/cpu{cpu}/topology/thread_siblings_list");
        files.text(&path).ok().as_deref().and_then(cpu_list)
    };
    let Some(siblings) = allowed.iter().map(core_of).collect::<Option<Vec<_>>>() else {
        return allowed.iter().map(|&cpu| vec![cpu]).collect();
    };
    let mut cores: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for (&cpu, siblings) in allowed.iter().zip(siblings) {
        match cores.iter_mut().find(|(core, _)| *core == siblings) {
            Some((_, ours)) => ours.push(cpu),
            None => cores.push((siblings, vec![cpu])),
        }
    }
    cores.into_iter().map(|(_, ours)| ours).collect()
}

fn available_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn allowed(files: &Files) -> Fact<Vec<usize>> {
    let status = files.text("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    match line.and_then(cpu_list) {
        Some(cpus) => Fact::known(cpus, "/proc/self/status, Cpus_allowed_list"),
        None => Fact::unknown("/proc/self/status has no readable Cpus_allowed_list"),
    }
}

/// Distinct contents of a topology file over the given processors.
fn distinct(files: &Files, cpus: &[usize], name: &str) -> Result<BTreeSet<String>, String> {
    if cpus.is_empty() {
        return Err("the processors of this process are not known".into());
    }
    cpus.iter()
        .map(|cpu| files.text(&format!("{CPU_FOLDER}/cpu{cpu}/topology/{name}")))
        .collect()
}

fn list_len(files: &Files, path: &str) -> Fact<usize> {
    let text = match files.text(path) {
        Ok(text) => text,
        Err(reason) => return Fact::unknown(reason),
    };
    match cpu_list(&text) {
        Some(list) => Fact::known(list.len(), path),
        None => Fact::unknown(format!(
            "{path}: expected a list such as 0-3,8, got '{}'",
            super::files::excerpt(&text)
        )),
    }
}

fn caches(files: &Files, cpu: usize, cores: &Cores) -> Fact<Vec<Cache>> {
    let folder = format!("{CPU_FOLDER}/cpu{cpu}/cache");
    let allowed = cores.allowed.value().map_or(&[][..], Vec::as_slice);
    let mut caches: Vec<Cache> = files
        .names(&folder)
        .iter()
        .filter(|name| name.starts_with("index"))
        .filter_map(|name| cache(files, &format!("{folder}/{name}"), allowed))
        .collect();
    caches.sort_by_key(|cache| (cache.level, cache.kind == CacheKind::Instruction));
    if caches.is_empty() {
        Fact::unknown(format!("{folder} describes no cache"))
    } else {
        Fact::known(caches, folder)
    }
}

fn cache(files: &Files, folder: &str, allowed: &[usize]) -> Option<Cache> {
    let sharers = cpu_list(&files.text(&format!("{folder}/shared_cpu_list")).ok()?)?;
    Some(Cache {
        level: files.number(&format!("{folder}/level")).ok()?,
        kind: match files.text(&format!("{folder}/type")).ok()?.as_str() {
            "Data" => CacheKind::Data,
            "Instruction" => CacheKind::Instruction,
            "Unified" => CacheKind::Unified,
            _ => return None,
        },
        size_bytes: size_bytes(&files.text(&format!("{folder}/size")).ok()?)?,
        shared_by: sharers.len(),
        shared_by_ours: sharers.iter().filter(|cpu| allowed.contains(cpu)).count(),
    })
}

/// A size such as `48K`, `32M` or plain bytes.
fn size_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.trim().as_bytes().last()? {
        b'K' => (text.trim().trim_end_matches('K'), 10),
        b'M' => (text.trim().trim_end_matches('M'), 20),
        b'G' => (text.trim().trim_end_matches('G'), 30),
        _ => (text.trim(), 0),
    };
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
}

fn clock(files: &Files, info: &CpuInfo, cpu: usize) -> Clock {
    let folder = format!("{CPU_FOLDER}/cpu{cpu}/cpufreq");
    let from_file = |name: &str| {
        let path = format!("{folder}/{name}");
        Fact::from_result(files.number::<f64>(&path).map(|khz| khz / 1e3), path)
    };
    let from_cpuid = |mhz: Option<u32>| match mhz {
        Some(mhz) if mhz > 0 => Fact::known(f64::from(mhz), "CPUID leaf 0x16"),
        _ => Fact::unknown("neither cpufreq nor CPUID leaf 0x16 states it"),
    };
    let stated = cpuid::frequencies_mhz();
    // Last resort: what /proc/cpuinfo shows now. On a virtual machine that is the host's nominal frequency.
    let nominal_mhz = from_file("base_frequency")
        .or_else(|| from_cpuid(stated.map(|(base, _)| base)))
        .or_else(|| info.first_number("cpu MHz"));
    Clock {
        nominal_mhz: plausible(nominal_mhz),
        max_mhz: plausible(
            from_file("cpuinfo_max_freq").or_else(|| from_cpuid(stated.map(|(_, max)| max))),
        ),
    }
}

/// A frequency outside 10 MHz to 100 GHz is a broken file.
fn plausible(mhz: Fact<f64>) -> Fact<f64> {
    match mhz {
        Fact::Known { value, source } if !(10.0..=100_000.0).contains(&value) => Fact::unknown(
            format!("{source} says {value} MHz, which no processor runs at"),
        ),
        other => other,
    }
}

fn memory(files: &Files) -> Memory {
    let info = files.text("/proc/meminfo").unwrap_or_default();
    let entry = |key: &str| {
        let kib = info.lines().find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix(':')?;
            value
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()?
                .checked_mul(1024)
        });
        match kib {
            Some(bytes) => Fact::known(bytes, format!("/proc/meminfo, {key}")),
            None => Fact::unknown(format!("/proc/meminfo has no '{key}'")),
        }
    };
    let available_bytes = match (entry("MemAvailable"), cgroup::memory_left_bytes(files)) {
        (Fact::Known { value: host, .. }, left @ Fact::Known { value: group, .. })
            if group < host =>
        {
            left
        }
        (host, _) => host,
    };
    Memory {
        total_bytes: entry("MemTotal"),
        available_bytes,
        modules: modules(files),
    }
}

fn modules(files: &Files) -> Fact<Vec<dmi::MemoryModule>> {
    const TABLE: &str = "/sys/firmware/dmi/tables/DMI";
    match files.bytes(TABLE) {
        Ok(table) => Fact::known(dmi::memory_modules(&table), TABLE),
        Err(reason) => Fact::unknown(format!(
            "{reason} (it holds the memory modules; reading it takes root, and many virtual machines have none)"
        )),
    }
}
