//! candle's prefill and decode speed of a `llama` GGUF file, reported in the shape of `sprag bench --json`.
//!
//! Usage: `candle-bench MODEL [--prefill 512] [--decode 128] [--threads 2] [--repeat 3]`. As for the other peers: pseudo-random
//! token ids, one untimed warm-up of both phases, an empty cache before every sample (a position of 0 empties it). Build with
//! `RUSTFLAGS="-C target-cpu=native"`, as candle's own instructions say.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Write as _},
    time::Instant,
};

use candle_core::{Device, Tensor, quantized::gguf_file};
use candle_transformers::models::quantized_llama::ModelWeights;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("expected a model file")?;
    let (mut prefill, mut decode, mut threads, mut repeat) = (512, 128, 2, 3);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--prefill" => prefill = value.parse()?,
            "--decode" => decode = value.parse()?,
            "--threads" => threads = value.parse::<usize>()?,
            "--repeat" => repeat = value.parse()?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if env::var("RAYON_NUM_THREADS") != Ok(threads.to_string()) {
        return Err(
            "expected RAYON_NUM_THREADS, from which candle takes its threads, to be --threads"
                .into(),
        );
    }
    let mut file = File::open(&path)?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    let ids: Vec<u32> = (0..prefill.max(decode) as u32)
        .map(|i| i.wrapping_mul(2_654_435_761) % 40_000)
        .collect();
    let prompt = |model: &mut ModelWeights| -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        let input = Tensor::new(&ids[..prefill], &Device::Cpu)?.unsqueeze(0)?;
        model.forward(&input, 0)?;
        Ok(prefill as f64 / start.elapsed().as_secs_f64())
    };
    let answer = |model: &mut ModelWeights| -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        for (position, id) in ids[..decode].iter().enumerate() {
            let input = Tensor::new(&[*id], &Device::Cpu)?.unsqueeze(0)?;
            model.forward(&input, position)?;
        }
        Ok(decode as f64 / start.elapsed().as_secs_f64())
    };
    prompt(&mut model)?;
    answer(&mut model)?;
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        fast.push(prompt(&mut model)?);
        slow.push(answer(&mut model)?);
    }
    let report = serde_json::json!({
        "engine": "candle",
        "threads": threads,
        "prefill": { "tokens": prefill, "tokens_per_second": fast },
        "decode": { "tokens": decode, "tokens_per_second": slow },
    });
    writeln!(io::stdout(), "{report}")?;
    Ok(())
}
