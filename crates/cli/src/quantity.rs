//! Numbers as people read them: three digits that matter, and the unit.

/// `98.4 MB`, in powers of 1000.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, &[" B", " kB", " MB", " GB", " TB", " PB"])
}

/// `135 M`, in powers of 1000.
pub fn count(n: u64) -> String {
    scaled(n as f64, &["", " k", " M", " G", " T", " P"])
}

/// `345 tokens/s`.
pub fn rate(tokens_per_second: f64) -> String {
    format!("{} tokens/s", digits(tokens_per_second))
}

/// `1.25 s`, or `12.5 ms` below a second.
pub fn duration_ms(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{} ms", digits(ms))
    } else {
        format!("{} s", digits(ms / 1000.0))
    }
}

fn scaled(mut x: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while x >= 999.5 && unit + 1 < units.len() {
        x /= 1000.0;
        unit += 1;
    }
    let number = if unit == 0 {
        format!("{x:.0}")
    } else {
        digits(x)
    };
    format!("{number}{}", units.get(unit).unwrap_or(&""))
}

/// Three digits that matter, and all before the point.
pub fn digits(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 99.95 => 0,
        a if a >= 9.995 => 1,
        _ => 2,
    };
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_matter() {
        assert_eq!(bytes(98_362_432), "98.4 MB");
        assert_eq!(bytes(999_900), "1.00 MB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(u64::MAX), "18447 PB");
        assert_eq!(count(134_515_008), "135 M");
        assert_eq!(duration_ms(1234.0), "1.23 s");
        assert_eq!(duration_ms(0.5), "0.50 ms");
        assert_eq!(rate(99.96), "100 tokens/s");
    }
}
