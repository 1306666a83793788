//! How long a training step takes, and what each operation of it takes.
use std::time::Instant;

use train::{Batch, Configuration, Into, Machine, Precision, Program, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut machine = Machine::new(2)?;
    let batch = Batch { sequences: 8, positions: 256 };
    let graph = Configuration::default().graph(batch)?;
    let declared = graph.parameters().to_vec();
    let mut program = Program::new(graph, Precision::F32, &mut machine)?;
    let weights = Weights::initial(&declared, 1)?;
    let mut gradients = Weights::zeroed(&declared)?;
    let tokens: Vec<u32> = (0..batch.tokens()).map(|i| (i * 7919 % 251) as u32).collect();
    for _ in 0..5 {
        let start = Instant::now();
        let loss = program.gradients(&machine, &weights, (&tokens, &tokens), 1.0, (&mut gradients, Into::Set));
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("loss {loss:.4}, {seconds:.3} s, {:.0} tokens/s", batch.tokens() as f64 / seconds);
    }
    eprintln!("{:.1} MB of activations, isa {}", program.activation_bytes() as f64 / 1e6, machine.isa().name());
    Ok(())
}
