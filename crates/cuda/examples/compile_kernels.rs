//! Compiles the kernels for every architecture that they are for, by NVIDIA's runtime compiler alone; no GPU is needed.
//!
//!     LD_LIBRARY_PATH=/path/to/libnvrtc cargo run -p cuda --example compile_kernels

#![expect(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::{process::ExitCode, time::Instant};

use cuda::source::{Unit, compile};

/// Hopper, and the two kinds of Blackwell.
const ARCHITECTURES: [&str; 3] = ["sm_90a", "sm_100a", "sm_120a"];
/// Places of a ring, all that plans choose from.
const DEPTHS: [u32; 3] = [2, 3, 4];

fn main() -> ExitCode {
    let mut verdict = ExitCode::SUCCESS;
    for architecture in ARCHITECTURES {
        let tokens = DEPTHS.map(|depth| Unit::Token { depth });
        for unit in tokens.into_iter().chain([Unit::Many]) {
            let started = Instant::now();
            match compile(&unit.text(), &unit.options(architecture), architecture) {
                Ok(code) => println!(
                    "{architecture}, {unit:?}: {} bytes in {:.1?}",
                    code.len(),
                    started.elapsed()
                ),
                Err(error) => {
                    eprintln!("{architecture}, {unit:?}: {error}");
                    verdict = ExitCode::FAILURE;
                }
            }
        }
    }
    verdict
}
