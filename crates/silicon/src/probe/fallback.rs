//! Systems without a module of their own: what the standard library and CPUID tell; the rest is unknown, and says so.

use super::{Clock, Cores, Cpu, Isa, Machine, Memory, System, cpuid};
use crate::Fact;

/// What can be known without system files.
#[must_use]
pub fn probe() -> Machine {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mhz = |pick: fn((u32, u32)) -> u32| match cpuid::frequencies_mhz().map(pick) {
        Some(mhz) if mhz > 0 => Fact::known(f64::from(mhz), "CPUID leaf 0x16"),
        _ => not_read("the clock"),
    };
    Machine {
        system: System {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            kernel: not_read("the kernel release"),
            hypervisor: cpuid::hypervisor().map_or_else(
                || not_read("the hypervisor"),
                |name| Fact::known(name, "CPUID"),
            ),
        },
        cpu: Cpu {
            vendor: not_read("the vendor"),
            name: not_read("the model name"),
            family: not_read("the family"),
            model: not_read("the model number"),
            stepping: not_read("the stepping"),
        },
        cores: Cores {
            online: not_read("the processors online"),
            allowed: not_read("the affinity mask"),
            quota_cpus: not_read("a quota"),
            usable,
            physical: not_read("the physical cores"),
            sockets: not_read("the sockets"),
            smt: not_read("multithreading"),
        },
        caches: not_read("the caches"),
        isa: Isa::detect(),
        clock: Clock {
            nominal_mhz: mhz(|(base, _)| base),
            max_mhz: mhz(|(_, max)| max),
        },
        memory: Memory {
            total_bytes: not_read("the memory size"),
            available_bytes: not_read("the available memory"),
            modules: not_read("the memory modules"),
        },
        numa_nodes: not_read("the NUMA nodes"),
    }
}

fn not_read<T>(what: &str) -> Fact<T> {
    Fact::unknown(format!(
        "{what} cannot be read on {} yet",
        std::env::consts::OS
    ))
}
