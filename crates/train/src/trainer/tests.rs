//! Runs learn, resume to the same bits, and stop where numbers do.

use std::time::Duration;

use corpus::{Document, Splits, Tokenizer};
use kernels::training::Machine;

use super::{Budget, Settings, TrainError, Trainer};
use crate::{
    Configuration, Mixer,
    checkpoint::Saved,
    optimiser::{Method, Optimisation},
    trainer::Steps,
};

fn settings() -> Settings {
    let optimisation = Optimisation {
        rate: 5e-3,
        ..Optimisation::default()
    };
    Settings {
        optimisation,
        model: Configuration {
            layers: 2,
            width: 32,
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
            hidden: 48,
            ..Configuration::default()
        },
        steps: Steps {
            sequences: 4,
            positions: 32,
            ..Steps::default()
        },
    }
}

fn splits() -> Splits {
    let text = |n: usize| {
        (0..60)
            .map(|i| format!("{} and {} make {}. ", i, n, i + n))
            .collect()
    };
    let document = |n: usize| Document {
        name: n.to_string(),
        text: text(n),
    };
    let documents: Vec<Document> = (1..6).map(document).collect();
    Splits::of(&documents, 1, 32, &Tokenizer::Bytes).expect("text")
}

fn trainer(settings: &Settings, threads: usize) -> Trainer {
    let machine = Machine::new(threads).expect("threads");
    Trainer::new(settings.clone(), Budget::Steps(40), splits(), machine).expect("a run")
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("sprag-train-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn a_run_learns() {
    let full = vec![Mixer::Full];
    for (method, mixers) in [
        (Method::Adamw, full.clone()),
        (Method::Muon, full),
        (Method::Adamw, vec![Mixer::GatedDelta, Mixer::Window]),
    ] {
        let mut settings = settings();
        settings.optimisation.method = method;
        settings.model.mixers = mixers;
        let mut trainer = trainer(&settings, 2);
        let before = trainer.evaluate();
        assert!((before.bits_per_byte - 8.0).abs() < 0.1, "{before:?}");
        while !trainer.is_done() {
            trainer.step().expect("finite numbers");
        }
        let after = trainer.evaluate();
        assert!(after.bits_per_byte < 4.5, "{method:?}: {after:?}");
        assert_eq!(after.bytes, splits().public.text_bytes());
    }
}

#[test]
fn a_resumed_run_has_the_same_bits_on_any_number_of_threads() {
    let mut settings = settings();
    settings.steps.accumulate = 2;
    settings.steps.average = 0.9;
    let folder = folder("resume");
    let path = folder.join("run.safetensors");
    let mut whole = trainer(&settings, 2);
    let mut first = trainer(&settings, 3);
    for _ in 0..12 {
        whole.step().expect("finite numbers");
    }
    for _ in 0..5 {
        first.step().expect("finite numbers");
    }
    first.save(&path).expect("a checkpoint");
    drop(first);
    let saved = Saved::open(&path).expect("a checkpoint");
    let mut second =
        Trainer::resume(&saved, splits(), Machine::new(1).expect("threads")).expect("a run");
    for _ in 0..7 {
        second.step().expect("finite numbers");
    }
    let bits = |trainer: &Trainer| {
        trainer
            .weights
            .all()
            .iter()
            .map(|w| w.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&whole), bits(&second));
    assert_eq!(whole.last_loss.to_bits(), second.last_loss.to_bits());
    assert_eq!(whole.evaluate(), second.evaluate());
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_run_that_diverges_says_where_and_keeps_its_weights() {
    let mut trainer = trainer(&settings(), 1);
    trainer.step().expect("finite numbers");
    let output = trainer.declared.len() - 1;
    trainer.weights.get_mut(crate::Parameter(output))[5] = f32::NAN;
    let before: Vec<u32> = trainer.weights.all().iter().map(|w| w.to_bits()).collect();
    let error = trainer.step().expect_err("not a number");
    assert!(
        matches!(error, TrainError::Diverged { step: 2, .. }),
        "{error}"
    );
    let after: Vec<u32> = trainer.weights.all().iter().map(|w| w.to_bits()).collect();
    assert_eq!(before, after);
}

#[test]
fn settings_without_sense_are_refused_by_name() {
    let refused = |change: fn(&mut Settings), budget| {
        let mut settings = settings();
        change(&mut settings);
        let machine = Machine::new(1).expect("threads");
        let run = Trainer::new(settings, budget, splits(), machine);
        run.err().expect("a refusal").to_string()
    };
    let budget = Budget::Steps(1);
    assert!(refused(|s| s.steps.accumulate = 0, budget).contains("accumulate"));
    assert!(refused(|s| s.optimisation.rate = f32::NAN, budget).contains("rate"));
    assert!(refused(|s| s.optimisation.clip = 0.0, budget).contains("clip"));
    assert!(refused(|s| s.model.vocabulary = 300, budget).contains("vocabulary"));
    assert!(refused(|s| s.model.layers = 100_000_000, budget).contains("1 to 256"));
    assert!(refused(|s| s.model.layers = 0, budget).contains("layers"));
    assert!(refused(|s| s.model.head_dim = 20, budget).contains("attention"));
    assert!(refused(|s| s.model.kv_heads = 0, budget).contains("attn_k"));
    assert!(refused(|_| (), Budget::Tokens(100)).contains("budget"));
    assert!(refused(|_| (), Budget::Time(Duration::ZERO)).contains("budget"));
}
