//! How fast one thread encodes: million weights per second for each format. `cargo run --release -p ops --example encode_speed`
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::time::Instant;

use ops::{Dtype, encode::encode};

/// Weights in a call: a row of a larger matrix, within the second-level cache.
const WEIGHTS: usize = 1 << 16;
/// Calls; the fastest counts.
const REPEATS: usize = 12;

fn main() -> Result<(), ops::encode::EncodeError> {
    let row: Vec<f32> = (0..WEIGHTS)
        .map(|i| (i as f32 * 0.618_034).fract() - (i as f32 * 0.414_214).fract())
        .collect();
    let mut out = Vec::new();
    for dtype in Dtype::ALL {
        let mut fastest_s = f64::INFINITY;
        for _ in 0..REPEATS {
            out.clear();
            let began = Instant::now();
            encode(dtype, &row, &mut out)?;
            fastest_s = fastest_s.min(began.elapsed().as_secs_f64());
        }
        println!("{dtype:6} {:8.1} M/s", WEIGHTS as f64 / fastest_s / 1e6);
    }
    Ok(())
}
