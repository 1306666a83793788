//! GFLOP/s of the dense products of a training step.
use std::time::Instant;

use kernels::training::{Into, Machine, Matrix, MatrixMut, Precision, gemm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let machine = Machine::new(2)?;
    for (m, k, n) in [(2048, 384, 384), (2048, 384, 1024), (2048, 1024, 384), (1024, 2048, 384), (384, 2048, 384), (1024, 1024, 1024)] {
        let a = vec![0.5f32; m * k];
        let b = vec![0.25f32; k * n];
        let mut c = vec![0.0f32; m * n];
        for layout in ["nn", "nt", "tn"] {
            let mut best = f64::INFINITY;
            let mut all = Vec::new();
            for _ in 0..30 {
                let start = Instant::now();
                let a = if layout == "tn" { Matrix::of(&a, k, m).transposed() } else { Matrix::of(&a, m, k) };
                let b = if layout == "nt" { Matrix::of(&b, n, k).transposed() } else { Matrix::of(&b, k, n) };
                gemm(&machine, Precision::F32, a, b, Into::Set, MatrixMut::of(&mut c, m, n));
                let s = start.elapsed().as_secs_f64();
                best = best.min(s);
                all.push(s);
            }
            all.sort_by(f64::total_cmp);
            let flops = 2.0 * (m * k * n) as f64;
            eprintln!("{m} x {k} x {n} {layout}: {:.1} GFLOP/s median, {:.1} best", flops / all[15] / 1e9, flops / best / 1e9);
        }
    }
    Ok(())
}
