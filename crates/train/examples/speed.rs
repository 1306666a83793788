//! Tokens per second of whole training steps (forward, backward, clipping, AdamW), for `bench/train.py`: one JSON line.
//!
//! ```text
//! cargo run --release -p train --example speed -- STEPS [f32|bf16] [full|hybrid] [SEQUENCES] [THREADS]
//! ```

use std::error::Error;

use corpus::{Document, Splits, Tokenizer};
use train::{Budget, Machine, Mixer, Settings, Trainer, trainer::Arithmetic};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize, otherwise: &str| {
        words
            .get(at)
            .cloned()
            .unwrap_or_else(|| otherwise.to_owned())
    };
    let steps: u64 = word(0, "6").parse()?;
    let mut settings = Settings::default();
    if word(1, "f32") == "bf16" {
        settings.steps.arithmetic = Arithmetic::Bf16;
    }
    if word(2, "full") == "hybrid" {
        let delta = Mixer::GatedDelta;
        settings.model.mixers = vec![delta, delta, delta, Mixer::Full];
    }
    settings.steps.sequences = word(3, "8").parse()?;
    let document = |n: u64| Document {
        name: n.to_string(),
        text: (0..4000)
            .map(|i| format!("{} ", (i * i + n) % 9973))
            .collect(),
    };
    let both = [document(1), document(2)];
    let splits = Splits::of(&both, 1, settings.steps.positions, &Tokenizer::Bytes)?;
    let machine = Machine::new(word(4, "2").parse()?)?;
    let mut trainer = Trainer::new(settings, Budget::Steps(steps), splits, machine)?;
    let mut seconds = Vec::new();
    while !trainer.is_done() {
        seconds.push(trainer.step()?.elapsed.as_secs_f64());
    }
    let said = serde_json::json!({
        "parameters": trainer.parameters(),
        "memory_bytes": trainer.memory_bytes(),
        "seconds": seconds,
    });
    // One line for the script that started this.
    std::io::Write::write_all(&mut std::io::stdout(), format!("{said}\n").as_bytes())?;
    Ok(())
}
