//! Compiles the kernels for every architecture that they are for, by NVIDIA's runtime compiler alone; no GPU is needed.
//!
//!     LD_LIBRARY_PATH=/path/to/libnvrtc cargo run -p cuda --example compile_kernels

#![expect(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::{process::ExitCode, time::Instant};

/// Hopper, and the two kinds of Blackwell.
const ARCHITECTURES: [&str; 3] = ["sm_90a", "sm_100a", "sm_120a"];
/// Places of a ring, all that plans choose from.
const DEPTHS: [u32; 3] = [2, 3, 4];

fn main() -> ExitCode {
    let text = cuda::source::text();
    let mut verdict = ExitCode::SUCCESS;
    for architecture in ARCHITECTURES {
        for depth in DEPTHS {
            let started = Instant::now();
            let options = cuda::source::options(architecture, depth);
            match cuda::source::compile(&text, &options, architecture) {
                Ok(code) => println!(
                    "{architecture}, rings of {depth}: {} bytes in {:.1?}",
                    code.len(),
                    started.elapsed()
                ),
                Err(error) => {
                    eprintln!("{architecture}, rings of {depth}: {error}");
                    verdict = ExitCode::FAILURE;
                }
            }
        }
    }
    verdict
}
