//! The `sprag` command (being founded).
fn main() {}
