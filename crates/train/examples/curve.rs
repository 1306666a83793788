//! A hundred steps for somebody else to repeat: writes the weights at the beginning, the batches and the losses into a folder.
//! `bench/torch_curve.py` repeats them with PyTorch.
//!
//! ```text
//! cargo run --release -p train --example curve -- FOLDER STEPS TEXT...
//! ```

use std::{error::Error, path::Path};

use corpus::{Splits, Tokenizer};
use train::{Budget, Machine, Settings, Trainer, checkpoint};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("FOLDER is missing")?;
    let steps: u64 = words.next().ok_or("STEPS are missing")?.parse()?;
    let mut documents = Vec::new();
    for text in words {
        documents.extend(corpus::read(Path::new(&text))?);
    }
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut settings = Settings::default();
    // Gentle: at a high rate two runs part by rounding alone, whoever computes them.
    settings.optimisation.rate = 3e-4;
    settings.optimisation.warm_up = 0.2;
    let shape = settings.steps;
    let splits = Splits::of(&documents, 1, shape.positions, &Tokenizer::Bytes)?;
    let stream = splits.train.clone();
    let mut trainer = Trainer::new(settings, Budget::Steps(steps), splits, Machine::new(2)?)?;
    checkpoint::write(
        &folder.join("initial.safetensors"),
        trainer.settings(),
        trainer.declared(),
        &[("weights", trainer.result())],
    )?;
    let batch = train::Batch {
        sequences: shape.sequences,
        positions: shape.positions,
    };
    let (mut tokens, mut targets, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..steps {
        stream.windows(batch, shape.seed, number, &mut tokens, &mut targets);
        batches.extend(tokens.iter().chain(&targets).map(|&token| token as u8));
    }
    std::fs::write(folder.join("batches.bin"), batches)?;
    let mut losses = Vec::new();
    while !trainer.is_done() {
        let step = trainer.step()?;
        losses.push((step.loss, step.gradient_norm, step.rate));
    }
    std::fs::write(folder.join("losses.json"), serde_json::to_vec(&losses)?)?;
    Ok(())
}
