//! Temperatures, clocks and throttling: why a machine that was fast a minute ago is not now.
//!
//! These are the system's own statements, taken in a millisecond or so, once a second by whoever watches a long run. A clock that the
//! system states may be a guess (`/proc/cpuinfo` of a virtual machine shows the nominal one); what the core really does is
//! [`crate::roofline::clock_now_ghz`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Fact;
pub use crate::nvidia::GpuSensors;
use crate::nvidia::Gpus;
use crate::probe::cpuinfo::CpuInfo;
use crate::probe::files::{Files, excerpt};

const HWMON: &str = "/sys/class/hwmon";
const THERMAL: &str = "/sys/class/thermal";
const CPUS: &str = "/sys/devices/system/cpu";

/// Everything that is sensed, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensors {
    /// Temperatures of drivers and thermal zones.
    pub temperatures: Fact<Vec<Temperature>>,
    /// Clock of every processor, as the system states it.
    pub clocks: Fact<Vec<StatedClock>>,
    /// How often each core and package was throttled since the system started.
    pub throttles: Fact<Vec<Throttle>>,
    /// NVIDIA's GPUs.
    pub gpus: Fact<Vec<GpuSensors>>,
}

/// One temperature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// Driver and label, for example `k10temp Tctl`, or a zone, for example `zone x86_pkg_temp`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f64,
}

/// The clock of one processor as the system states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatedClock {
    /// Logical processor.
    pub cpu: usize,
    /// Megahertz.
    pub mhz: f64,
}

/// Throttle events of one processor since the system started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Logical processor.
    pub cpu: usize,
    /// Events of its core.
    pub core_count: Option<u64>,
    /// Events of its package, the same for every processor in it.
    pub package_count: Option<u64>,
}

/// Reads one moment after the other; the GPUs' library is loaded once.
#[derive(Clone, Debug)]
pub struct Reader {
    files: Files,
    gpus: Fact<Gpus>,
}

impl Reader {
    /// For this machine.
    #[must_use]
    pub fn open() -> Self {
        let gpus = match Gpus::open() {
            Ok(Some(gpus)) => Fact::known(gpus, "NVML"),
            Ok(None) => Fact::unknown("this machine has no NVIDIA GPU, and no other kind is asked"),
            Err(why) => Fact::unknown(format!("{}; {}", why.reason, why.remedy)),
        };
        Self {
            files: Files::under(Path::new("/")),
            gpus,
        }
    }

    /// For the machine whose files lie under `root`; GPUs that need a library are not asked.
    #[must_use]
    pub fn open_under(root: &Path) -> Self {
        Self {
            files: Files::under(root),
            gpus: Fact::unknown("the GPUs of another machine are not asked"),
        }
    }

    /// The temperatures now: the cheapest of all, for once a second.
    #[must_use]
    pub fn temperatures(&self) -> Fact<Vec<Temperature>> {
        temperatures(&self.files)
    }

    /// Reads everything now.
    #[must_use]
    pub fn read(&self) -> Sensors {
        Sensors {
            temperatures: self.temperatures(),
            clocks: clocks(&self.files),
            throttles: throttles(&self.files),
            gpus: match &self.gpus {
                Fact::Known { value, source } => Fact::known(value.sensors(), source.clone()),
                Fact::Unknown { reason } => Fact::unknown(reason.clone()),
            },
        }
    }
}

/// Reads everything of this machine once; a [`Reader`] is cheaper for more.
#[must_use]
pub fn read() -> Sensors {
    Reader::open().read()
}

fn temperatures(files: &Files) -> Fact<Vec<Temperature>> {
    let mut found = Vec::new();
    for folder in files.names(HWMON) {
        let path = format!("{HWMON}/{folder}");
        let driver = files
            .text(&format!("{path}/name"))
            .unwrap_or_else(|_| folder.clone());
        for input in files.names(&path) {
            let Some(sensor) = input
                .strip_suffix("_input")
                .filter(|name| name.starts_with("temp"))
            else {
                continue;
            };
            let label = files
                .text(&format!("{path}/{sensor}_label"))
                .unwrap_or_else(|_| sensor.to_owned());
            let name = format!("{} {}", excerpt(&driver), excerpt(&label));
            found.extend(temperature(files, name, &format!("{path}/{input}")));
        }
    }
    for zone in files.names(THERMAL) {
        let path = format!("{THERMAL}/{zone}");
        if zone.starts_with("thermal_zone") {
            let kind = files.text(&format!("{path}/type")).unwrap_or(zone);
            let name = format!("zone {}", excerpt(&kind));
            found.extend(temperature(files, name, &format!("{path}/temp")));
        }
    }
    if found.is_empty() {
        return Fact::unknown(format!(
            "{HWMON} and {THERMAL} show no temperature; virtual machines have none, and on a bare one `sudo sensors-detect` finds the driver"
        ));
    }
    Fact::known(found, format!("{HWMON} and {THERMAL}"))
}

/// A sensor that is not connected shows nonsense, and one that sleeps an error: neither is a temperature.
fn temperature(files: &Files, name: String, path: &str) -> Option<Temperature> {
    let celsius = files.number::<i64>(path).ok()? as f64 / 1e3;
    let plausible = (-60.0..=250.0).contains(&celsius);
    plausible.then_some(Temperature { name, celsius })
}

fn clocks(files: &Files) -> Fact<Vec<StatedClock>> {
    let from_driver = cpus(files).into_iter().filter_map(|cpu| {
        let path = format!("{CPUS}/cpu{cpu}/cpufreq/scaling_cur_freq");
        clock(cpu, files.number::<f64>(&path).ok()? / 1e3)
    });
    let from_driver: Vec<StatedClock> = from_driver.collect();
    if !from_driver.is_empty() {
        return Fact::known(from_driver, "cpufreq, scaling_cur_freq");
    }
    let info = CpuInfo::parse(&files.text("/proc/cpuinfo").unwrap_or_default());
    let stated = info.each("processor", "cpu MHz");
    let stated: Vec<StatedClock> = stated
        .into_iter()
        .filter_map(|(cpu, mhz)| clock(cpu.parse().ok()?, mhz.parse().ok()?))
        .collect();
    if stated.is_empty() {
        return Fact::unknown(format!(
            "{CPUS} has no cpufreq and /proc/cpuinfo no 'cpu MHz'; the measured clock stands in its place"
        ));
    }
    Fact::known(
        stated,
        "/proc/cpuinfo, cpu MHz: what the system says, which need not follow the real clock",
    )
}

fn clock(cpu: usize, mhz: f64) -> Option<StatedClock> {
    (mhz.is_finite() && mhz > 0.0).then_some(StatedClock { cpu, mhz })
}

fn throttles(files: &Files) -> Fact<Vec<Throttle>> {
    let of = |cpu| {
        let count = |scope: &str| {
            let path = format!("{CPUS}/cpu{cpu}/thermal_throttle/{scope}_throttle_count");
            files.number::<u64>(&path).ok()
        };
        let (core_count, package_count) = (count("core"), count("package"));
        (core_count.is_some() || package_count.is_some()).then_some(Throttle {
            cpu,
            core_count,
            package_count,
        })
    };
    let found: Vec<Throttle> = cpus(files).into_iter().filter_map(of).collect();
    if found.is_empty() {
        return Fact::unknown(format!(
            "{CPUS} counts no throttling: only Intel's processors do, and not in virtual machines; a falling measured clock shows it too"
        ));
    }
    Fact::known(found, "thermal_throttle, since the system started")
}

/// Numbers of the processors that have a folder.
fn cpus(files: &Files) -> Vec<usize> {
    let names = files.names(CPUS);
    let mut cpus: Vec<usize> = names
        .iter()
        .filter_map(|name| name.strip_prefix("cpu")?.parse().ok())
        .collect();
    cpus.sort_unstable();
    cpus
}

#[cfg(test)]
mod tests;
