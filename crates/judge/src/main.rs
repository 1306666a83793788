//! The judge's parts as a program of their own, for the tests: `cell` becomes the sandbox's cell, `echo` the kernel judge's echo.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|word| word.to_str()) {
        Some("cell") => sandbox::inner::main(arguments),
        Some("echo") => match judge::kernel::echo() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => ExitCode::from(2),
    }
}
