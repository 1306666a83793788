//! The helper as a program of its own, for the tests; see `sandbox::inner`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::inner::main(std::env::args_os().skip(1))
}
