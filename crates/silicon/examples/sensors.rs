//! What this machine lets us read of energy, temperatures and clocks, as JSON: scopes, the reasons for those that are missing, two
//! seconds of idle power, and the sensors.

use std::process::ExitCode;
use std::time::Duration;

use silicon::energy::{Idle, Scope, Sources, Tally, totals};
use silicon::{roofline, sensors};

#[expect(
    clippy::print_stdout,
    reason = "the readings are this program's output"
)]
fn main() -> ExitCode {
    let sources = Sources::open();
    let scopes: Vec<&Scope> = sources.scopes().collect();
    let idle = Idle::measure(&sources, Duration::from_secs(2));
    let mut tally = Tally::start(&sources);
    let clock = roofline::clock_now_ghz();
    tally.tick(&sources);
    let all = serde_json::json!({
        "scopes": scopes,
        "unreadable": sources.unreadable(),
        "idle": idle,
        "used_by_the_clock_measurement": tally.used(),
        "totals": totals(tally.used()),
        "clock_now_ghz": clock,
        "sensors": sensors::read(),
    });
    match serde_json::to_string_pretty(&all) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
