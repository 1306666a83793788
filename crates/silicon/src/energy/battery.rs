//! The power that a battery gives, which is the whole machine's while it discharges, screen and losses included.

use super::{Covers, Found, Instrument};
use crate::probe::files::{Files, excerpt};

const SUPPLIES: &str = "/sys/class/power_supply";

pub(super) fn find(files: &Files, found: &mut Found) {
    for name in files.names(SUPPLIES) {
        let folder = format!("{SUPPLIES}/{name}");
        let text = |file: &str| files.text(&format!("{folder}/{file}"));
        let is_battery = text("type").is_ok_and(|kind| kind == "Battery");
        // A mouse has a battery too.
        let is_ours = text("scope").map_or(true, |scope| scope != "Device");
        if is_battery && is_ours {
            let scope = format!("battery {}", excerpt(&name));
            match power_w(files, &folder) {
                Ok(_) => found.source(scope, Covers::System, Instrument::Battery { folder }),
                Err(reason) => found.unreadable(scope, reason, "unplug the charger"),
            }
        }
    }
}

/// Watts now.
///
/// # Errors
/// A sentence: the battery does not discharge, or states no power.
pub(super) fn power_w(files: &Files, folder: &str) -> Result<f64, String> {
    let status = files.text(&format!("{folder}/status"))?;
    if status != "Discharging" {
        return Err(format!(
            "{folder}: the battery says '{}', so that its power is not what the machine takes",
            excerpt(&status)
        ));
    }
    let number = |file: &str| files.number::<f64>(&format!("{folder}/{file}"));
    let power_w = match number("power_now") {
        Ok(microwatts) => microwatts / 1e6,
        Err(_) => number("current_now")? / 1e6 * (number("voltage_now")? / 1e6),
    };
    // Some drivers show a discharge as a negative number.
    let power_w = power_w.abs();
    if power_w.is_finite() && power_w < 1e6 {
        Ok(power_w)
    } else {
        Err(format!("{folder}: expected a power, got {power_w} W"))
    }
}
