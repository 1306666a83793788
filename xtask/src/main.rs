//! House chores (being founded).
fn main() {}
