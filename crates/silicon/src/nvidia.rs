//! NVIDIA's GPUs through the driver's own library (NVML), loaded when asked for: building needs nothing of it, and a machine without it
//! is simply a machine without such GPUs.
//!
//! Every query may be refused on its own: old cards have no energy counter, virtual ones no temperature. A machine that has a card but
//! not the library is told so.

pub(crate) use backend::Gpus;

use serde::{Deserialize, Serialize};

use crate::Fact;

/// What one GPU senses now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuSensors {
    /// The driver's number of it.
    pub index: u32,
    /// Its name.
    pub name: Fact<String>,
    /// Temperature of the die.
    pub temperature_c: Fact<f64>,
    /// Clock of its multiprocessors.
    pub clock_mhz: Fact<f64>,
    /// Why the clock is below its highest, in words; empty when nothing holds it back.
    pub throttle_reasons: Fact<Vec<String>>,
}

#[cfg(target_os = "linux")]
mod backend {
    use std::path::Path;
    use std::sync::Arc;

    use nvml_wrapper::bitmasks::device::ThrottleReasons;
    use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
    use nvml_wrapper::{Device, Nvml, error::NvmlError};

    use super::GpuSensors;
    use crate::Fact;
    use crate::energy::{Found, Unavailable};
    use crate::probe::files::{Files, excerpt};

    /// The name without a version belongs to the developer's package, which few machines have.
    const LIBRARY: &str = "libnvidia-ml.so.1";
    /// More than one machine holds.
    const MOST_GPUS: u32 = 64;

    /// The library and how many GPUs it sees.
    #[derive(Clone, Debug)]
    pub(crate) struct Gpus {
        nvml: Arc<Nvml>,
        count: u32,
    }

    impl Gpus {
        /// `None` where there is no such GPU.
        pub(crate) fn open() -> Result<Option<Self>, Unavailable> {
            let opened = Nvml::builder().lib_path(LIBRARY.as_ref()).init();
            match opened.and_then(|nvml| nvml.device_count().map(|count| (nvml, count))) {
                Ok((_, 0)) => Ok(None),
                Ok((nvml, count)) => Ok(Some(Self {
                    nvml: Arc::new(nvml),
                    count: count.min(MOST_GPUS),
                })),
                Err(_) if !has_card(&Files::under(Path::new("/"))) => Ok(None),
                Err(error) => Err(Unavailable {
                    reason: format!("there is an NVIDIA GPU, but {LIBRARY} does not open it: {error}"),
                    remedy: "install the driver with its nvidia-smi; in a container, start it with `--gpus all`".to_owned(),
                }),
            }
        }

        /// Finds the energy counter of each GPU, or else its power sensor.
        pub(crate) fn find(&self, found: &mut Found) {
            for index in 0..self.count {
                let name = self.ask(index, |device| device.name());
                let name = name.map_or_else(
                    |_| format!("gpu-{index}"),
                    |name| format!("gpu-{index} {}", excerpt(&name)),
                );
                match (self.energy_mj(index), self.power_w(index)) {
                    (Ok(_), _) => found.gpu_counter(name, index),
                    (Err(_), Ok(_)) => found.gpu_power(name, index),
                    (Err(counter), Err(power)) => found.unreadable(
                        name,
                        format!("{counter}; {power}"),
                        "a part of a GPU (MIG) and most virtual ones have neither: measure on the host",
                    ),
                }
            }
        }

        fn ask<T>(
            &self,
            index: u32,
            question: impl Fn(&Device<'_>) -> Result<T, NvmlError>,
        ) -> Result<T, String> {
            let device = self.nvml.device_by_index(index);
            let answer = device.and_then(|device| question(&device));
            answer.map_err(|error| format!("gpu-{index}: {error}"))
        }

        pub(crate) fn energy_mj(&self, index: u32) -> Result<u64, String> {
            self.ask(index, |device| device.total_energy_consumption())
        }

        pub(crate) fn power_w(&self, index: u32) -> Result<f64, String> {
            self.ask(index, |device| device.power_usage())
                .map(|mw| f64::from(mw) / 1e3)
        }

        pub(crate) fn sensors(&self) -> Vec<GpuSensors> {
            let of = |index| GpuSensors {
                index,
                name: Fact::from_result(self.ask(index, |device| device.name()), "NVML"),
                temperature_c: Fact::from_result(
                    self.ask(index, |device| device.temperature(TemperatureSensor::Gpu))
                        .map(f64::from),
                    "NVML",
                ),
                clock_mhz: Fact::from_result(
                    self.ask(index, |device| device.clock_info(Clock::SM))
                        .map(f64::from),
                    "NVML",
                ),
                throttle_reasons: Fact::from_result(
                    self.ask(index, |device| device.current_throttle_reasons())
                        .map(words),
                    "NVML",
                ),
            };
            (0..self.count).map(of).collect()
        }
    }

    /// Reasons in words. Idle is one of them: a clock is then low because nothing runs.
    fn words(reasons: ThrottleReasons) -> Vec<String> {
        const NAMES: [(ThrottleReasons, &str); 9] = [
            (ThrottleReasons::GPU_IDLE, "idle"),
            (
                ThrottleReasons::APPLICATIONS_CLOCKS_SETTING,
                "clocks set by the user",
            ),
            (ThrottleReasons::SW_POWER_CAP, "power limit"),
            (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
            (ThrottleReasons::SYNC_BOOST, "held back by another GPU"),
            (ThrottleReasons::SW_THERMAL_SLOWDOWN, "temperature"),
            (
                ThrottleReasons::HW_THERMAL_SLOWDOWN,
                "temperature, by hardware",
            ),
            (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
            (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display clocks"),
        ];
        let set = NAMES.iter().filter(|(reason, _)| reasons.contains(*reason));
        set.map(|(_, words)| (*words).to_owned()).collect()
    }

    /// Whether the PCI bus has a display controller of NVIDIA.
    fn has_card(files: &Files) -> bool {
        const DEVICES: &str = "/sys/bus/pci/devices";
        files.names(DEVICES).iter().any(|name| {
            let text = |file: &str| files.text(&format!("{DEVICES}/{name}/{file}"));
            text("vendor").is_ok_and(|vendor| vendor == "0x10de")
                && text("class").is_ok_and(|class| class.starts_with("0x03"))
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod backend {
    use super::GpuSensors;
    use crate::energy::{Found, Unavailable};

    /// There is none: the library is looked for on Linux only.
    #[derive(Clone, Debug)]
    pub(crate) enum Gpus {}

    impl Gpus {
        pub(crate) fn open() -> Result<Option<Self>, Unavailable> {
            Ok(None)
        }

        pub(crate) fn find(&self, _: &mut Found) {
            match *self {}
        }

        pub(crate) fn energy_mj(&self, _: u32) -> Result<u64, String> {
            match *self {}
        }

        pub(crate) fn power_w(&self, _: u32) -> Result<f64, String> {
            match *self {}
        }

        pub(crate) fn sensors(&self) -> Vec<GpuSensors> {
            match *self {}
        }
    }
}
