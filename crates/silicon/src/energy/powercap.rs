//! The processor's own counters: Linux powercap zones, known as RAPL.
//!
//! A zone counts microjoules and wraps at `max_energy_range_uj`. Only zones that do not contain each other are taken: packages, and
//! DRAM, which lies outside the package; `psys`, where it exists, is the whole platform. Since 2020 root alone may read them, because
//! the counters leak what other programs compute (CVE-2020-8694).

use super::{Covers, Found, Instrument};
use crate::probe::files::Files;

const POWERCAP: &str = "/sys/class/powercap";

/// What lets every user read the counters.
pub(super) const PERMISSION_REMEDY: &str = "run as root; or, until the next start, `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`; \
     or for good, in /etc/udev/rules.d/70-energy.rules: \
     SUBSYSTEM==\"powercap\", ACTION==\"add\", KERNEL==\"intel-rapl:*\", RUN+=\"/bin/chmod a+r /sys%p/energy_uj\" \
     (they are root's because they can leak what other programs compute, CVE-2020-8694)";

pub(super) fn find(files: &Files, hypervisor: Option<&str>, found: &mut Found) {
    let before = (found.sources.len(), found.unreadable.len());
    for folder in files.names(POWERCAP) {
        // The memory-mapped zones show the same packages a second time.
        if !folder.starts_with("intel-rapl-mmio") {
            zone(files, &folder, found);
        }
    }
    if before == (found.sources.len(), found.unreadable.len()) {
        let (reason, remedy) = match hypervisor {
            Some(name) if !name.is_empty() => (
                format!("this is a virtual machine ({name}), which has no energy counter"),
                "measure on the host, or on a bare machine",
            ),
            Some(_) => (
                format!("{POWERCAP} has no package or DRAM counter"),
                "load the kernel module: `sudo modprobe intel_rapl_msr`",
            ),
            None => (
                format!("{POWERCAP} has no package or DRAM counter"),
                "load the kernel module on a bare machine: `sudo modprobe intel_rapl_msr`; most virtual machines have no such counter",
            ),
        };
        found.unreadable("processor packages", reason, remedy);
    }
}

fn zone(files: &Files, folder: &str, found: &mut Found) {
    let path = format!("{POWERCAP}/{folder}");
    let Ok(name) = files.text(&format!("{path}/name")) else {
        return;
    };
    // Every socket has a zone of the name `dram`; on some machines several packages have one name too.
    let (scope, covers) = match name.as_str() {
        "dram" => (format!("dram of {folder}"), Covers::Dram),
        "psys" => ("psys".to_owned(), Covers::System),
        package if package.starts_with("package") => {
            let name = crate::probe::files::excerpt(package);
            let taken = found.sources.iter().any(|source| source.scope.name == name);
            let name = if taken {
                format!("{name} of {folder}")
            } else {
                name
            };
            (name, Covers::Package)
        }
        _ => return,
    };
    let counter = format!("{path}/energy_uj");
    let read = files
        .number::<u64>(&counter)
        .and_then(|_| files.number::<u64>(&format!("{path}/max_energy_range_uj")));
    match read {
        Ok(range_uj) => found.source(
            scope,
            covers,
            Instrument::Microjoules {
                path: counter,
                range_uj: Some(range_uj),
            },
        ),
        Err(reason) => {
            let remedy = if files.is_refused(&counter) {
                PERMISSION_REMEDY
            } else {
                "the driver gave no number: try again, or another kernel"
            };
            found.unreadable(scope, reason, remedy);
        }
    }
}
