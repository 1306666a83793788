//! A model of a real shape with random weights, on the GPU and on the processor: how far their logits are apart.
//!
//!     cargo run --release -p runtime --example gpu_against_cpu -- qwen3.5-0.8b bf16 [TOKENS [PROMPT [SEQUENCES]]]
//!
//! TOKENS are computed one by one, behind a prompt of PROMPT tokens that come in two pieces; then SEQUENCES sequences take their steps
//! together.
//!
//! The processor multiplies 4-bit and 8-bit weights with activations rounded to 8 bits, as the GPU does with Q4_0 for single tokens; bf16 weights it
//! multiplies with f32. The GPU keeps keys and values in f16, and what goes from one product to the next in bf16.

#![expect(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::{error::Error, sync::Arc, time::Instant};

use cuda::Device;
use kernels::{
    RuntimeProfile,
    cpu::{Member, Outputs, Step},
};
use models::{Placement, random};
use runtime::Engine;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let shape = arguments
        .next()
        .unwrap_or_else(|| "qwen3.5-0.8b".to_owned());
    let format = arguments.next().unwrap_or_else(|| "bf16".to_owned());
    let count: usize = arguments.next().map_or(Ok(96), |n| n.parse())?;
    let prompt: usize = arguments.next().map_or(Ok(0), |n| n.parse())?;
    let sequences: usize = arguments.next().map_or(Ok(0), |n| n.parse())?;
    let gguf = Arc::new(random(&shape, &format)?);
    let device = Arc::new(Device::open(0, None)?);
    let profile = RuntimeProfile::default();
    let gpu = Engine::on_gpu(Arc::clone(&gguf), profile.clone(), &device, &mut |_, _| {})?;
    println!(
        "loaded to {} in {:.1?}",
        device.properties().name,
        gpu.packed_in()
    );
    let cpu = Engine::placed(gguf, profile, &Placement::Memory, &mut |_, _| {})?;
    println!("packed for the processor in {:.1?}", cpu.packed_in());

    let tokens: Vec<u32> = (0..(prompt + count) as u32)
        .map(|i| (i * 7919 + 13) % 200_000)
        .collect();
    let (prompt, tokens) = tokens.split_at(prompt);
    let mut on_gpu = gpu.session_with_outputs(prompt.len() + count + 64, 32)?;
    let mut on_cpu = cpu.session_with_outputs(prompt.len() + count + 64, 32)?;
    let (early, late) = prompt.split_at(prompt.len() * 2 / 3);
    for piece in [early, late].into_iter().filter(|piece| !piece.is_empty()) {
        let started = Instant::now();
        on_gpu.step(piece, Outputs::Last, None)?;
        let taken = started.elapsed();
        for part in piece.chunks(32) {
            on_cpu.step(part, Outputs::Last, None)?;
        }
        let (Some(a), Some(b)) = (on_gpu.logits(0), on_cpu.logits(0)) else {
            return Err("no logits".into());
        };
        println!(
            "{} tokens of the prompt in {taken:.1?}: relative error {:.2e}",
            piece.len(),
            (apart(a, b) / apart(b, &vec![0.0; b.len()])).sqrt()
        );
    }
    let (mut worst, mut difference_of_all, mut all, mut same) = (0.0f64, 0.0f64, 0.0f64, 0);
    let (mut nll_gpu, mut nll_cpu, mut scored) = (0.0, 0.0, 0usize);
    for (part, piece) in tokens.chunks(32).enumerate() {
        on_gpu.step(piece, Outputs::All, None)?;
        on_cpu.step(piece, Outputs::All, None)?;
        for i in 0..piece.len() {
            let (Some(a), Some(b)) = (on_gpu.logits(i), on_cpu.logits(i)) else {
                return Err("no logits".into());
            };
            let difference = apart(a, b);
            let size = apart(b, &vec![0.0; b.len()]);
            let of_token = (difference / size).sqrt();
            worst = worst.max(of_token);
            if part == 0 && i < 4 {
                println!("token {i}: relative error {of_token:.2e}");
            }
            difference_of_all += difference;
            all += size;
            same += usize::from(largest(a) == largest(b));
            if let Some(&next) = tokens.get(32 * part + i + 1) {
                nll_gpu += surprise(a, next as usize);
                nll_cpu += surprise(b, next as usize);
                scored += 1;
            }
        }
    }
    let perplexity = |nll: f64| (nll / scored as f64).exp();
    let (of_gpu, of_cpu) = (perplexity(nll_gpu), perplexity(nll_cpu));
    println!(
        "{shape} {format}, {count} tokens: relative error of logits {:.2e} (worst of a token {worst:.2e}); likeliest token the same {same} times; \
         perplexity {of_gpu:.1} on the GPU, {of_cpu:.1} on the processor ({:+.3}%)",
        (difference_of_all / all).sqrt(),
        100.0 * (of_gpu / of_cpu - 1.0)
    );
    if sequences > 0 {
        side_by_side(&gpu, &cpu, sequences)?;
    }
    Ok(())
}

/// Sequences of different lengths: a piece of a prompt of the first, a token of each other at a time.
fn side_by_side(gpu: &Engine, cpu: &Engine, sequences: usize) -> Result<(), Box<dyn Error>> {
    let mut batches = [
        gpu.batch(sequences, Some(256))?,
        cpu.batch(sequences, Some(256))?,
    ];
    let token = |sequence: usize, i: usize| ((sequence * 31 + i) * 7919 % 200_000) as u32;
    for batch in &mut batches {
        for sequence in 0..sequences {
            let prompt: Vec<u32> = (0..=3 * sequence).map(|i| token(sequence, i)).collect();
            batch.prefill(sequence, &prompt, &mut |_| true)?;
        }
    }
    let (mut difference, mut size, mut same) = (0.0, 0.0, 0);
    for i in 0..8 {
        // The first goes on with a piece of a prompt.
        let count = |sequence: usize| if sequence == 0 { 20 } else { 1 };
        let tokens: Vec<Vec<u32>> = (0..sequences)
            .map(|s| (0..count(s)).map(|k| token(s, 1000 + 20 * i + k)).collect())
            .collect();
        let members: Vec<Member<'_>> = tokens
            .iter()
            .enumerate()
            .map(|(sequence, tokens)| Member {
                sequence,
                step: Step {
                    tokens,
                    outputs: Outputs::Last,
                },
            })
            .collect();
        for batch in &mut batches {
            batch.step(&members, None)?;
        }
        for sequence in 0..sequences {
            let [Some(a), Some(b)] = [&batches[0], &batches[1]].map(|b| b.logits(sequence)) else {
                return Err("no logits".into());
            };
            difference += apart(a, b);
            size += apart(b, &vec![0.0; b.len()]);
            same += usize::from(batches[0].likeliest(sequence)? as usize == largest(b));
        }
    }
    println!(
        "{sequences} sequences side by side, 8 steps: relative error of logits {:.2e}; likeliest token the same {same} times",
        (difference / size).sqrt()
    );
    Ok(())
}

/// The square of how far two rows are apart.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    a.iter().zip(b).map(|(a, b)| square(a - b)).sum()
}

fn largest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, &x) in logits.iter().enumerate() {
        if x > logits[best] {
            best = i;
        }
    }
    best
}

/// In nats.
fn surprise(logits: &[f32], token: usize) -> f64 {
    let top = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    sum.ln() - f64::from(logits[token] - top)
}
