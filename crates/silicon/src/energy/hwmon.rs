//! Energy counters and power sensors of drivers: Linux hwmon.
//!
//! Each driver's folder is taken once: its energy counters if there are any, else its power sensors. What a sensor covers follows from
//! the driver; of a driver that is not in the list it is not known. Of a graphics driver only the first sensor counts, which is the
//! card's; the others are parts of it. Source: Linux `Documentation/hwmon/`.

use super::{Covers, Found, Instrument, microwatts};
use crate::probe::files::{Files, excerpt};

const HWMON: &str = "/sys/class/hwmon";

pub(super) fn find(files: &Files, found: &mut Found) {
    for folder in files.names(HWMON) {
        let path = format!("{HWMON}/{folder}");
        let driver = files
            .text(&format!("{path}/name"))
            .map_or_else(|_| folder.clone(), |name| excerpt(&name));
        let covers = covers(files, &path, &driver);
        // The package's own counters are the same ones.
        let has_package = |found: &Found| {
            let mut scopes = found.sources.iter().map(|source| &source.scope);
            scopes.any(|scope| scope.covers == Covers::Package)
        };
        if driver == "amd_energy" && has_package(found) {
            continue;
        }
        let names = files.names(&path);
        let mut sensors = sensors(&names, "energy", &["input"]);
        let counts = !sensors.is_empty();
        if !counts {
            sensors = self::sensors(&names, "power", &["average", "input"]);
        }
        if covers == Covers::Gpu {
            sensors.truncate(1);
        }
        for sensor in sensors {
            let label = label(files, &path, sensor);
            // Beside its sockets, this driver counts each core of them.
            if driver != "amd_energy" || label.starts_with("Esocket") {
                let name = format!("{driver} {label} ({folder})");
                take(
                    files,
                    name,
                    covers,
                    format!("{path}/{sensor}"),
                    counts,
                    found,
                );
            }
        }
    }
}

fn take(
    files: &Files,
    name: String,
    covers: Covers,
    path: String,
    counts: bool,
    found: &mut Found,
) {
    let read = if counts {
        files.number::<u64>(&path).map(|_| ())
    } else {
        microwatts(files, &path).map(|_| ())
    };
    match read {
        Ok(()) if counts => found.source(
            name,
            covers,
            Instrument::Microjoules {
                path,
                range_uj: None,
            },
        ),
        Ok(()) => found.source(name, covers, Instrument::Microwatts { path }),
        Err(reason) => {
            let remedy = if files.is_refused(&path) {
                format!("run as root, or `sudo chmod a+r {path}`")
            } else {
                "the driver shows no number now: a card that sleeps has none".to_owned()
            };
            found.unreadable(name, reason, remedy);
        }
    }
}

fn covers(files: &Files, path: &str, driver: &str) -> Covers {
    match driver {
        // Only a processor with graphics has a rail of this name; its sensor covers the package.
        "amdgpu" => match files.text(&format!("{path}/in1_label")) {
            Ok(label) if label == "vddnb" => Covers::Package,
            _ => Covers::Gpu,
        },
        "i915" | "xe" | "nouveau" => Covers::Gpu,
        "amd_energy" | "fam15h_power" => Covers::Package,
        "power_meter" => Covers::System,
        _ => Covers::Device,
    }
}

/// Files such as `power1_average`, in the order of their numbers; of one number, the first kind that exists.
fn sensors<'a>(names: &'a [String], what: &str, kinds: &[&str]) -> Vec<&'a str> {
    let mut sensors: Vec<(u32, usize, &str)> = names
        .iter()
        .filter_map(|name| {
            let (number, kind) = name.strip_prefix(what)?.split_once('_')?;
            let rank = kinds.iter().position(|wanted| *wanted == kind)?;
            Some((number.parse().ok()?, rank, name.as_str()))
        })
        .collect();
    sensors.sort_unstable();
    sensors.dedup_by_key(|(number, ..)| *number);
    sensors.into_iter().map(|(.., name)| name).collect()
}

/// The label that the driver gives the sensor, or the sensor's name.
fn label(files: &Files, path: &str, sensor: &str) -> String {
    let number = sensor.split('_').next().unwrap_or(sensor);
    match files.text(&format!("{path}/{number}_label")) {
        Ok(label) if !label.is_empty() => excerpt(&label),
        _ => sensor.to_owned(),
    }
}
