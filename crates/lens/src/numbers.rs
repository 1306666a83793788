//! Numbers for people: three significant digits, metric prefixes.

/// Three significant digits, without an exponent.
pub(crate) fn significant(x: f64) -> String {
    let magnitude = if x == 0.0 || !x.is_finite() {
        0
    } else {
        x.abs().log10().floor() as i32
    };
    // At most 5 decimals: a nanosecond is 0.000001 ms.
    let decimals = (2 - magnitude).clamp(0, 5) as usize;
    format!("{x:.decimals$}")
}

/// With a metric prefix.
pub(crate) fn amount(x: f64, unit: &str) -> String {
    let (scaled, prefix) = match x.abs() {
        a if a >= 1e12 => (x / 1e12, "T"),
        a if a >= 1e9 => (x / 1e9, "G"),
        a if a >= 1e6 => (x / 1e6, "M"),
        a if a >= 1e3 => (x / 1e3, "k"),
        _ => (x, ""),
    };
    format!("{} {prefix}{unit}", significant(scaled))
}
