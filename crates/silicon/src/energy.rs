//! Energy used, from the kernel's counters (Linux powercap, "RAPL"), and power from hwmon sensors.
//!
//! A powercap counter counts microjoules, wraps at `max_energy_range_uj`, and is readable by root only on most systems. Only zones
//! that do not contain each other are counted: packages, and DRAM, which lies outside the package. One wrap between two readings is
//! corrected; a package at 500 W wraps after about 9 minutes at the usual range, so read at least every few minutes.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::probe::files::Files;

const POWERCAP: &str = "/sys/class/powercap";
const HWMON: &str = "/sys/class/hwmon";

/// No energy counter can be read.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("energy is unavailable: {reason}; {remedy}")]
pub struct Unavailable {
    /// Why.
    pub reason: String,
    /// What the user can do.
    pub remedy: String,
}

/// Counters that can be read, fixed when the meter was opened.
#[derive(Clone, Debug)]
pub struct Meter {
    files: Files,
    zones: Vec<Zone>,
}

#[derive(Clone, Debug)]
struct Zone {
    scope: String,
    counter: String,
    range_uj: u64,
}

/// Counters at one moment, in the meter's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    counters_uj: Vec<Result<u64, String>>,
}

/// Energy between two readings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// What the counter covers, for example `package-0`.
    pub scope: String,
    /// Joules.
    pub energy_j: f64,
}

/// Power that a sensor shows now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// Driver and sensor, for example `amdgpu power1_average`.
    pub scope: String,
    /// Watts.
    pub power_w: f64,
}

impl Meter {
    /// Finds the counters of this machine.
    ///
    /// # Errors
    /// [`Unavailable`] with its reason and a remedy.
    pub fn open() -> Result<Self, Unavailable> {
        Self::open_under(Path::new("/"))
    }

    /// Finds the counters of the machine whose files lie under `root`.
    ///
    /// # Errors
    /// [`Unavailable`] with its reason and a remedy.
    pub fn open_under(root: &Path) -> Result<Self, Unavailable> {
        let files = Files::under(root);
        let (mut zones, mut refused) = (Vec::new(), None);
        // The memory-mapped zones show the same packages a second time.
        for folder in files
            .names(POWERCAP)
            .iter()
            .filter(|name| !name.starts_with("intel-rapl-mmio"))
        {
            match zone(&files, &format!("{POWERCAP}/{folder}")) {
                Ok(zone) => zones.extend(zone),
                Err(reason) => refused = Some(reason),
            }
        }
        match (zones.is_empty(), refused) {
            (false, _) => Ok(Self { files, zones }),
            (true, Some(reason)) => Err(Unavailable {
                reason,
                remedy: "run as root, or let your user read energy_uj below /sys/class/powercap".into(),
            }),
            (true, None) => Err(Unavailable {
                reason: format!("{POWERCAP} has no package or DRAM counter"),
                remedy: "load the kernel module intel_rapl_msr on a bare machine; most virtual machines have no such counter".into(),
            }),
        }
    }

    /// Reads every counter.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            counters_uj: self
                .zones
                .iter()
                .map(|zone| self.files.number(&zone.counter))
                .collect(),
        }
    }

    /// Energy between two readings of this meter, one wrap corrected.
    ///
    /// # Errors
    /// [`Unavailable`] when a counter could not be read, or left its range.
    pub fn between(&self, earlier: &Reading, later: &Reading) -> Result<Vec<Used>, Unavailable> {
        let failed = |reason: String| Unavailable {
            reason,
            remedy: "read again".into(),
        };
        let counters = earlier.counters_uj.iter().zip(&later.counters_uj);
        let mut used = Vec::with_capacity(self.zones.len());
        for (zone, (before, after)) in self.zones.iter().zip(counters) {
            let before = *before.as_ref().map_err(|reason| failed(reason.clone()))?;
            let after = *after.as_ref().map_err(|reason| failed(reason.clone()))?;
            let uj = if after >= before {
                after - before
            } else {
                let rest = zone.range_uj.checked_sub(before);
                rest.and_then(|rest| rest.checked_add(after))
                    .ok_or_else(|| {
                        failed(format!(
                            "{} went back from {before} to {after} uJ, beyond its range",
                            zone.scope
                        ))
                    })?
            };
            used.push(Used {
                scope: zone.scope.clone(),
                energy_j: uj as f64 / 1e6,
            });
        }
        Ok(used)
    }
}

/// A zone that is counted; `None` for zones inside another one.
fn zone(files: &Files, folder: &str) -> Result<Option<Zone>, String> {
    let Ok(mut scope) = files.text(&format!("{folder}/name")) else {
        return Ok(None);
    };
    if !(scope.starts_with("package") || scope == "dram") {
        return Ok(None);
    }
    if scope == "dram" {
        // Every socket has a zone of this name.
        scope = format!("dram of {}", folder.rsplit('/').next().unwrap_or(folder));
    }
    let counter = format!("{folder}/energy_uj");
    files.number::<u64>(&counter)?;
    Ok(Some(Zone {
        scope,
        range_uj: files.number(&format!("{folder}/max_energy_range_uj"))?,
        counter,
    }))
}

/// Power sensors of this machine that can be read now; none is a common answer.
#[must_use]
pub fn power() -> Vec<Power> {
    power_under(Path::new("/"))
}

/// Power sensors of the machine whose files lie under `root`.
#[must_use]
pub fn power_under(root: &Path) -> Vec<Power> {
    let files = Files::under(root);
    let mut sensors = Vec::new();
    for folder in files.names(HWMON) {
        let driver = files
            .text(&format!("{HWMON}/{folder}/name"))
            .unwrap_or_else(|_| folder.clone());
        for sensor in ["power1_average", "power1_input"] {
            if let Ok(uw) = files.number::<u64>(&format!("{HWMON}/{folder}/{sensor}")) {
                sensors.push(Power {
                    scope: format!("{driver} {sensor}"),
                    power_w: uw as f64 / 1e6,
                });
                break;
            }
        }
    }
    sensors
}
