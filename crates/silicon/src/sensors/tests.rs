//! Sensors of laid-out machines, and whatever this one has.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Reader, Sensors, read};

/// A fresh folder with the given files, gone with the test.
struct Root(PathBuf);

impl std::ops::Deref for Root {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root(name: &str, files: &[(&str, &str)]) -> Root {
    let root = std::env::temp_dir().join(format!("silicon-sensors-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("the test folder can be made");
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(path, text).expect("a file can be written");
    }
    Root(root)
}

#[test]
fn a_desktop_is_sensed() {
    let sensors = Reader::open_under(&root(
        "desktop",
        &[
            ("sys/class/hwmon/hwmon0/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "65250\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n"),
            ("sys/class/hwmon/hwmon0/temp3_input", "-273150\n"),
            ("sys/class/hwmon/hwmon0/temp4_input", "x\n"),
            ("sys/class/hwmon/hwmon0/temp1_crit", "95000\n"),
            ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61000\n"),
            ("sys/class/thermal/cooling_device0/type", "fan\n"),
            (
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
                "4850000\n",
            ),
            (
                "sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq",
                "400000\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
                "7\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
                "9\n",
            ),
            ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ],
    ))
    .read();
    let temperatures = sensors.temperatures.value().expect("two are sensed");
    let all: Vec<(&str, f64)> = temperatures
        .iter()
        .map(|each| (each.name.as_str(), each.celsius))
        .collect();
    assert_eq!(all, [("k10temp Tctl", 65.25), ("zone x86_pkg_temp", 61.0)]);
    let clocks = sensors.clocks.value().expect("two are stated");
    let all: Vec<(usize, f64)> = clocks.iter().map(|each| (each.cpu, each.mhz)).collect();
    assert_eq!(all, [(0, 4850.0), (10, 400.0)]);
    let throttles = sensors.throttles.value().expect("one is counted");
    assert_eq!(
        (
            throttles.len(),
            throttles[0].core_count,
            throttles[0].package_count
        ),
        (1, Some(7), Some(9))
    );
    assert!(sensors.gpus.value().is_none());
}

#[test]
fn a_clock_without_a_driver_is_what_the_system_says() {
    let sensors = Reader::open_under(&root(
        "cpuinfo",
        &[(
            "proc/cpuinfo",
            "processor : 0\ncpu MHz : 2445.4\n\nprocessor : 1\ncpu MHz : 0\n\nprocessor : x\ncpu MHz : 5\n\nprocessor : 3\n",
        )],
    ))
    .read();
    let clocks = sensors.clocks.value().expect("one is stated");
    assert_eq!((clocks.len(), clocks[0].cpu, clocks[0].mhz), (1, 0, 2445.4));
    assert!(sensors.clocks.why().contains("the system says"));
}

#[test]
fn what_is_missing_says_why() {
    let sensors = Reader::open_under(&root("nothing", &[])).read();
    for why in [
        sensors.temperatures.why(),
        sensors.clocks.why(),
        sensors.throttles.why(),
        sensors.gpus.why(),
    ] {
        assert!(why.len() > 20, "{why}");
    }
    assert!(sensors.temperatures.value().is_none() && sensors.clocks.value().is_none());
    assert!(sensors.throttles.value().is_none());
}

#[test]
fn this_machine_survives_json() {
    let sensors = read();
    let text = serde_json::to_string(&sensors).unwrap();
    assert_eq!(serde_json::from_str::<Sensors>(&text).unwrap(), sensors);
}
