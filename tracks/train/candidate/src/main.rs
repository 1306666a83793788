//! A training program: a small language model from windows of a text, as good as a budget allows, left in `model.safetensors`.
//!
//! `program.md` says what it may do. It asks for text on standard output (`train::feed`), writes its loss on the way to `curve.jsonl`, and says
//! what it has to say on standard error. `program --smoke` makes one step on made-up text, so that what cannot work costs no run.

use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use train::{
    Batch, Graph, Into, Machine, Precision, Program, Weights, model_file, optimiser::Optimiser,
    trainer::Arithmetic,
};

mod knobs;
mod pairs;
mod text;

use knobs::Knobs;
use text::{Rows, Text};

/// Of the budget of time, to begin, write the model and end; and of a longer one this part, for a machine that is not always as fast.
const RESERVE: Duration = Duration::from_millis(500);
const RESERVED_PART: f64 = 0.03;
/// Part of the budget over which the curve is smoothed.
const SMOOTH: f64 = 0.03;
/// Points of the curve.
const POINTS: f64 = 20.0;

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let knobs = Knobs::read("candidate/knobs.toml")?;
    if std::env::args().nth(1).as_deref() == Some("--smoke") {
        return Training::new(&knobs, 256 + knobs.merges, started)?.smoke();
    }
    let mut text = Text::new(knobs.merges)?;
    let mut training = Training::new(&knobs, text.tokenizer().vocabulary(), started)?;
    training.run(&mut text)?;
    let Training {
        model,
        graph,
        weights,
        average,
        ..
    } = &training;
    let path = Path::new("model.safetensors");
    let result = average.as_ref().unwrap_or(weights);
    let both = (graph.parameters(), result);
    model_file::write(path, model, knobs.positions, text.tokenizer(), both)?;
    Ok(())
}

/// Everything that a step needs.
struct Training<'a> {
    knobs: &'a Knobs,
    started: Instant,
    model: train::Configuration,
    graph: Graph,
    machine: Machine,
    program: Program,
    weights: Weights,
    average: Option<Weights>,
    gradients: Weights,
    optimiser: Optimiser,
}

impl<'a> Training<'a> {
    fn new(knobs: &'a Knobs, vocabulary: usize, started: Instant) -> Result<Self, Box<dyn Error>> {
        let model = knobs.model(vocabulary)?;
        let graph = model.graph(Batch {
            sequences: knobs.sequences,
            positions: knobs.positions,
        })?;
        let threads = std::thread::available_parallelism()?.get();
        let mut machine = Machine::new(threads)?;
        let precision = match knobs.arithmetic {
            Arithmetic::F32 => Precision::F32,
            Arithmetic::Bf16 => Precision::Bf16,
        };
        let seed = std::env::var("SPRAG_SEED").unwrap_or_default();
        let weights = || Weights::initial(graph.parameters(), seed.parse().unwrap_or(1));
        Ok(Self {
            knobs,
            started,
            program: Program::new(graph.clone(), precision, &mut machine)?,
            average: (knobs.average > 0.0).then(weights).transpose()?,
            weights: weights()?,
            gradients: Weights::zeroed(graph.parameters())?,
            optimiser: Optimiser::new(graph.parameters(), knobs.optimisation())?,
            model,
            graph,
            machine,
        })
    }

    /// Steps until the time or the text is used up.
    fn run(&mut self, text: &mut Text) -> Result<(), Box<dyn Error>> {
        let seconds: f64 = std::env::var("SPRAG_SECONDS")?.parse()?;
        let most = seconds * (1.0 - RESERVED_PART) - RESERVE.as_secs_f64();
        let (count, positions) = (self.knobs.sequences, self.knobs.positions);
        let mut curve = File::create("curve.jsonl")?;
        let (mut all, mut points, mut smooth) = (None, 0.0, None);
        let mut before = 0.0;
        let (mut steps, mut longest) = (0, 0.0f64);
        loop {
            let began = self.started.elapsed().as_secs_f64();
            if began + 1.5 * longest >= most {
                break;
            }
            // Of the text before this step and of the time, whatever is used up sooner.
            let before_step = text.left();
            let Some(rows) = text.rows(count, positions)? else {
                break;
            };
            let left = before_step.min(text.left() + rows.bytes as u64);
            let spent = 1.0 - left as f64 / *all.get_or_insert(left) as f64;
            let done = spent.max(began / most).min(1.0);
            let loss = self.step(&rows, done)?;
            steps += 1;
            longest = longest.max(self.started.elapsed().as_secs_f64() - began);
            // Over the same part of the budget, however many steps that has.
            let keep = ((before - done) / SMOOTH).exp();
            before = done;
            let smoothed =
                *smooth.insert(smooth.map_or(loss, |old| keep * old + (1.0 - keep) * loss));
            if done * POINTS >= points {
                writeln!(curve, "{{\"done\": {done:.4}, \"value\": {smoothed:.5}}}")?;
                points = (done * POINTS).floor() + 1.0;
            }
        }
        let parameters = self.weights.all().len();
        writeln!(
            io::stderr(),
            "{parameters} parameters, {steps} steps, {:.4} bits a byte in training",
            smooth.unwrap_or(f64::NAN)
        )?;
        if steps == 0 {
            return Err("the budget is too small for one step".into());
        }
        Ok(())
    }

    /// One step; its loss in bits a byte.
    fn step(&mut self, rows: &Rows, done: f64) -> Result<f64, Box<dyn Error>> {
        let gradients = (&mut self.gradients, Into::Set);
        let batch = (&rows.tokens[..], &rows.targets[..]);
        let nats = self
            .program
            .gradients(&self.machine, &self.weights, batch, 1.0, gradients);
        let moved = self
            .optimiser
            .step(&self.machine, &mut self.weights, &self.gradients, done);
        if !(nats.is_finite() && moved.gradient_norm.is_finite()) {
            return Err(format!("diverged: loss {nats}, gradients {}", moved.gradient_norm).into());
        }
        if let Some(average) = &mut self.average {
            let keep = self.knobs.average;
            for (average, weight) in average.all_mut().iter_mut().zip(self.weights.all()) {
                *average = keep * *average + (1.0 - keep) * weight;
            }
        }
        let tokens_per_byte = rows.targets.len() as f64 / rows.bytes.max(1) as f64;
        Ok(nats * tokens_per_byte / std::f64::consts::LN_2)
    }

    fn smoke(&mut self) -> Result<(), Box<dyn Error>> {
        let count = self.knobs.sequences * self.knobs.positions;
        let token = |i: usize| (i * i % self.model.vocabulary) as u32;
        let rows = Rows {
            tokens: (0..count).map(token).collect(),
            targets: (1..=count).map(token).collect(),
            bytes: count,
        };
        self.step(&rows, 0.5).map(|_| ())
    }
}
