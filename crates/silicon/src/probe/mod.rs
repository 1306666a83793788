//! What the machine says it is.
//!
//! Nothing here is measured: these are the statements of the operating system, the processor and the firmware. A virtual machine
//! may mask any of them, which is why every one is a [`Fact`].
//!
//! One module per system reads them ([`linux`], [`fallback`]); the parsers ([`cpuinfo`], [`cgroup`], [`dmi`]) take text or bytes,
//! compile everywhere, and are tested against files of other machines.

pub mod cgroup;
pub mod cpuid;
pub mod cpuinfo;
pub mod dmi;
pub mod fallback;
pub mod files;
pub mod isa;
pub mod linux;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Fact;
pub use dmi::MemoryModule;
pub use isa::Isa;

/// Everything that the machine says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and hypervisor.
    pub system: System,
    /// Processor identity.
    pub cpu: Cpu,
    /// Cores, and how many of them are ours.
    pub cores: Cores,
    /// Caches of the first core that is ours, from the nearest.
    pub caches: Fact<Vec<Cache>>,
    /// Instruction sets that matter to the kernels.
    pub isa: Isa,
    /// Clock frequencies as stated.
    pub clock: Clock,
    /// Memory sizes and modules.
    pub memory: Memory,
    /// Number of NUMA nodes.
    pub numa_nodes: Fact<usize>,
}

/// Operating system and hypervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Name of the operating system, as Rust calls it.
    pub os: String,
    /// Architecture, as Rust calls it.
    pub arch: String,
    /// Kernel release.
    pub kernel: Fact<String>,
    /// Hypervisor's name; the empty string for a known bare machine.
    pub hypervisor: Fact<String>,
}

/// Processor identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Vendor, for example `GenuineIntel`.
    pub vendor: Fact<String>,
    /// Model name or, on small boards, the board's name.
    pub name: Fact<String>,
    /// Family number.
    pub family: Fact<u32>,
    /// Model number.
    pub model: Fact<u32>,
    /// Stepping.
    pub stepping: Fact<u32>,
}

/// Cores, and how many of them are ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cores {
    /// Logical processors that are online.
    pub online: Fact<usize>,
    /// Logical processors in this process's affinity mask.
    pub allowed: Fact<Vec<usize>>,
    /// Processors' worth of time that the control group grants; infinite grants are unknown with that reason.
    pub quota_cpus: Fact<f64>,
    /// Threads worth starting: affinity and quota respected, at least 1.
    pub usable: usize,
    /// Distinct physical cores among the allowed processors.
    pub physical: Fact<usize>,
    /// Distinct sockets among the allowed processors.
    pub sockets: Fact<usize>,
    /// Whether simultaneous multithreading is on.
    pub smt: Fact<bool>,
}

/// Contents of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Instructions only.
    Instruction,
    /// Both.
    Unified,
}

/// One cache as the first allowed core sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Level, 1 being the nearest.
    pub level: u32,
    /// Contents.
    pub kind: CacheKind,
    /// Size of this one cache.
    pub size_bytes: u64,
    /// Logical processors that share it, as stated.
    pub shared_by: usize,
    /// How many of those are ours.
    pub shared_by_ours: usize,
}

/// Clock frequencies as stated. The clock that a core really runs at is measured by the roofline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Nominal frequency.
    pub nominal_mhz: Fact<f64>,
    /// Highest frequency.
    pub max_mhz: Fact<f64>,
}

/// Memory sizes and modules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Installed (or granted to the virtual machine).
    pub total_bytes: Fact<u64>,
    /// Available without swapping, the control group's limit respected.
    pub available_bytes: Fact<u64>,
    /// Memory modules in use.
    pub modules: Fact<Vec<MemoryModule>>,
}

/// The processors that this process may use, those of a core together, in the order of their numbers; none where the system does not
/// tell. A container's quota of time does not count: it names no processors.
#[must_use]
pub fn own_cores() -> Vec<Vec<usize>> {
    if cfg!(target_os = "linux") {
        linux::own_cores(Path::new("/"))
    } else {
        Vec::new()
    }
}

impl Machine {
    /// Reads what this machine says about itself; a millisecond or so.
    #[must_use]
    pub fn probe() -> Self {
        if cfg!(target_os = "linux") {
            linux::probe(Path::new("/"))
        } else {
            fallback::probe()
        }
    }

    /// The outermost data cache, if the caches are known.
    #[must_use]
    pub fn last_cache(&self) -> Option<&Cache> {
        self.caches
            .value()?
            .iter()
            .filter(|cache| cache.kind != CacheKind::Instruction)
            .max_by_key(|cache| cache.level)
    }

    /// Bytes of the last cache that fall to our processors when its sharers get equal parts.
    #[must_use]
    pub fn last_cache_share_bytes(&self) -> Option<u64> {
        let cache = self.last_cache()?;
        let sharers = u64::try_from(cache.shared_by).ok()?.max(1);
        let ours = u64::try_from(cache.shared_by_ours).ok()?.max(1);
        Some(cache.size_bytes / sharers * ours.min(sharers))
    }

    /// Whether the system runs on a hypervisor; `None` when that is not known.
    #[must_use]
    pub fn is_virtual(&self) -> Option<bool> {
        self.system.hypervisor.value().map(|name| !name.is_empty())
    }
}
