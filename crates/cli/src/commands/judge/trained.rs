//! The judges of trained models, and the server of their text: bits for each raw byte of addresses that no candidate has seen.
//!
//! What a run leaves is either `model.safetensors`, a model of the declared family, which is scored by a forward pass of the judge's own; or
//! a program, which has to foretell each byte before it sees it (`judge language`). `plain-model` repeats a small stretch of the same bytes, in
//! double precision and by code of its own.

use std::{env, io, path::PathBuf, time::Instant};

use clap::Args;
use judge::{Split, Told};
use kernels::{RuntimeProfile, training::Machine};
use serde_json::{Value, json};
use train::{feed, model_file::ModelFile};

use super::sealed;
use crate::{
    addresses::{self, Part},
    failure::Failure,
};

/// Where the texts are from.
#[derive(Debug, Args)]
pub struct Texts {
    /// A sealed text whose score proposers may see, rounded; UTF-8, byte 0 between documents [default: addresses of 2014 to 2017, 128 KiB]
    #[arg(long, value_name = "FILE", requires = "hidden")]
    public: Option<PathBuf>,
    /// A hidden text, for races [default: addresses of 2018 to 2021, 128 KiB]
    #[arg(long, value_name = "FILE", requires = "public")]
    hidden: Option<PathBuf>,
    /// Tokens in each window at most (bytes, for a program); a window sees nothing before it
    #[arg(long, value_name = "TOKENS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..=65536))]
    window: u32,
    /// Bytes of the stretch that a second judge repeats
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(64..))]
    sample: u32,
}

/// How well a trained model foretells a text, in bits for each raw byte
#[derive(Debug, Args)]
pub struct Model {
    #[command(flatten)]
    texts: Texts,
    /// The program of an artefact that holds no model.safetensors, and its arguments; it speaks the protocol of `judge language`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The same of a stretch of the text, in double precision, by code of its own: a second judge
#[derive(Debug, Args)]
pub struct PlainModel {
    #[command(flatten)]
    texts: Texts,
    /// As for `model`: a program is asked again, in a process of its own
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Windows of a text, as they are asked for on standard input: the server of a track's budget
#[derive(Debug, Args)]
pub struct Feed {
    /// The text; byte 0 before each document [default: addresses of 1790 to 2013]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
}

/// The file of a model in an artefact.
const MODEL: &str = "model.safetensors";

/// Judges a model, or a program.
pub fn model(asked: &Model) -> Result<Value, Failure> {
    let told = sealed::told()?;
    let text = asked.texts.text(&told)?;
    let sample = asked.texts.sample(&text, &told)?;
    let path = told.artefact.join(MODEL);
    if !path.exists() && !asked.command.is_empty() {
        let window = asked.texts.window as usize;
        return sealed::program(&asked.command, &text, Some(sample), window);
    }
    let started = Instant::now();
    let file = match ModelFile::open(&path) {
        Ok(file) => file,
        // What the candidate left is its own fault.
        Err(error) => return Ok(json!({ "refused": error.to_string() })),
    };
    let threads = RuntimeProfile::default().threads;
    let mut machine = Machine::new(threads).map_err(|error| Failure::Judge(error.to_string()))?;
    let window = asked.texts.window as usize;
    let mut scored = |text: &[u8]| file.score(&mut machine, text, window);
    match (scored(&text), scored(sample)) {
        (Ok(all), Ok(of_sample)) => Ok(json!({
            "value": all.bits_per_byte,
            "sample": of_sample.bits_per_byte,
            "bytes": all.bytes,
            "tokens": all.tokens,
            "parameters": file.parameters(),
            "model": file.about().model,
            "seconds": started.elapsed().as_secs_f64(),
        })),
        (Err(error), _) | (_, Err(error)) => Ok(json!({ "refused": error.to_string() })),
    }
}

/// Judges the stretch again.
pub fn plain_model(asked: &PlainModel) -> Result<Value, Failure> {
    let told = sealed::told()?;
    let text = asked.texts.text(&told)?;
    let sample = asked.texts.sample(&text, &told)?;
    let path = told.artefact.join(MODEL);
    let window = asked.texts.window as usize;
    if !path.exists() && !asked.command.is_empty() {
        return sealed::program(&asked.command, sample, None, window);
    }
    let started = Instant::now();
    let threads = RuntimeProfile::default().threads;
    let scored =
        judge::model::Model::open(&path).and_then(|model| model.score(sample, window, threads));
    Ok(match scored {
        Ok(score) => json!({
            "value": score.bits_per_byte(),
            "bytes": score.bytes,
            "tokens": score.tokens,
            "seconds": started.elapsed().as_secs_f64(),
        }),
        Err(flaw) => json!({ "refused": flaw.to_string() }),
    })
}

/// Serves windows until nobody asks any more.
pub fn feed(asked: &Feed) -> Result<(), Failure> {
    let text = asked.text()?;
    let seed = env::var("SPRAG_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    feed::serve(
        &text,
        seed,
        &mut io::stdin().lock(),
        &mut io::stdout().lock(),
    )
    .map_err(|error| Failure::Judge(error.to_string()))
}

impl Feed {
    fn text(&self) -> Result<Vec<u8>, Failure> {
        match &self.text {
            None => addresses::part(Part::Train),
            Some(path) => read(path),
        }
    }
}

impl Texts {
    /// Of the split that is asked about.
    fn text(&self, told: &Told) -> Result<Vec<u8>, Failure> {
        let is_public = told.split == Split::Public;
        match (&self.public, &self.hidden) {
            (Some(public), Some(hidden)) => read(if is_public { public } else { hidden }),
            _ if is_public => addresses::part(Part::Public),
            _ => addresses::part(Part::Hidden),
        }
    }

    /// The stretch that two judges must agree about. Where there is nothing to foretell in it, that is the track's fault.
    fn sample<'a>(&self, text: &'a [u8], told: &Told) -> Result<&'a [u8], Failure> {
        let sample = judge::model::sample(text, self.sample as usize, told.seed);
        if sample.iter().all(|&byte| byte == 0) {
            let why = format!(
                "the text: expected documents with byte 0 between them, came {} bytes of nothing else",
                sample.len()
            );
            return Err(Failure::Judge(why));
        }
        Ok(sample)
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| {
        let path = path.display();
        Failure::Judge(format!("{path}: {source}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Feed, Part, addresses};

    #[test]
    fn nothing_that_is_scored_is_served() {
        let served = Feed { text: None }.text().expect("the corpus");
        for part in [Part::Public, Part::Hidden] {
            let text = addresses::part(part).expect("the corpus");
            for start in (0..text.len() - 200).step_by(20_000) {
                let stretch = &text[start..start + 200];
                let is_there = holds(&served, stretch);
                assert!(!is_there, "{part:?} at {start}");
            }
        }
    }

    /// Whether `text` holds `stretch`.
    fn holds(text: &[u8], stretch: &[u8]) -> bool {
        let first = stretch[0];
        text.iter()
            .enumerate()
            .any(|(at, &byte)| byte == first && text[at..].starts_with(stretch))
    }
}
