//! Does the lens charge a fault to its cause? Plants one after another, and holds the reports against those without, taken in turn.
//!
//! 1. Every barrier 200 us longer: `barriers` must take it.
//! 2. One part twice as slow: that part's kernel must take it.
//! 3. Each choice of a token 500 us longer: `sample` must take it.
//! 4. Another program that reads memory beside a model on one thread: the memory must take it, as giving less than presented.
//!
//! A cause takes a fault if it grows by at least 80% of its size. Sizes are known for 1 and 3; of 2 it is what the part took without the
//! fault, of 4 what the step lost. Ends with 1 if a cause takes less.
//!
//! `cargo run --release -p lens --features planted-faults --example planted_faults MODEL.gguf [ROUNDS]`

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{
    error::Error,
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use kernels::{
    RuntimeProfile,
    faults::{Fault, plant},
};
use lens::{
    Options, Report,
    report::{Layer, Regime, Waterfall},
};
use runtime::Engine;

const BARRIER: Duration = Duration::from_micros(200);
const SAMPLER: Duration = Duration::from_micros(500);
const SLOW_PART: &str = "ffn_gate_up";
/// Of a fault's size.
const LEAST: f64 = 0.8;
/// Higher than any machine's, so that the memory always gives less.
const PRESENTED_GB_S: f64 = 1000.0;
/// Read by the other program, beyond every cache.
const OTHERS_BYTES: usize = 512 << 20;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(model) = arguments.next().map(PathBuf::from) else {
        eprintln!("expected the path of a GGUF file");
        return ExitCode::from(2);
    };
    let rounds = arguments.next().and_then(|n| n.to_str()?.parse().ok());
    match all(&model, rounds.unwrap_or(2)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Reports without and with a fault, taken in turn.
struct Pair {
    without: Vec<Report>,
    with: Vec<Report>,
}

fn all(model: &Path, rounds: usize) -> Result<bool, Failure> {
    println!(
        "{:<34}{:>8}{:>10}{:>10}{:>7}",
        "planted", "", "size, ms", "charged", "share"
    );
    let mut good = true;
    let mut tell = |what: &str, regime: Regime, size: f64, charged: f64| {
        let share = charged / size;
        // So that NaN is bad.
        good &= share >= LEAST;
        let regime = regime.name();
        println!(
            "{what:<34}{regime:>8}{size:>10.3}{charged:>10.3}{:>6.0}%",
            100.0 * share
        );
    };
    let every = engine(model, RuntimeProfile::default().threads)?;
    let nodes = every.model().program.nodes().len() as f64;
    let both = [Regime::Prefill, Regime::Decode];

    let found = pair(&every, rounds, &|on| {
        plant(if on {
            Fault::Barrier(BARRIER)
        } else {
            Fault::None
        });
    })?;
    for regime in both {
        let fall = found.without[0].regime(regime);
        let barriers = nodes * fall.chunks as f64 / fall.tokens as f64;
        let charged = found.grown(|r| causes(r, regime, |name| name == "barriers"));
        tell(
            "barriers 200 us longer",
            regime,
            barriers * ms(BARRIER),
            charged,
        );
    }

    let found = pair(&every, rounds, &|on| {
        plant(if on {
            Fault::SlowPart(SLOW_PART)
        } else {
            Fault::None
        });
    })?;
    for regime in both {
        let busy = mean(&found.without, |r| {
            let mut parts = r.regime(regime).parts.iter();
            parts
                .find(|p| p.name == SLOW_PART)
                .map_or(f64::NAN, |p| p.in_step.busy_ms)
        });
        let charged = found.grown(|r| {
            causes(r, regime, |name| {
                name.starts_with(&format!("{SLOW_PART} kernel"))
            })
        });
        tell(&format!("{SLOW_PART} twice as slow"), regime, busy, charged);
    }

    let found = pair(&every, rounds, &|on| {
        plant(if on {
            Fault::Sampler(SAMPLER)
        } else {
            Fault::None
        });
    })?;
    let charged = found.grown(|r| causes(r, Regime::Decode, |name| name == "sample"));
    tell(
        "choosing a token 500 us longer",
        Regime::Decode,
        ms(SAMPLER),
        charged,
    );
    drop(every);

    let one = engine(model, 1)?;
    let (stop, running) = (AtomicBool::new(false), AtomicBool::new(false));
    let found = std::thread::scope(|scope| {
        scope.spawn(|| read_memory(&stop, &running));
        let found = pair(&one, rounds, &|on| running.store(on, Relaxed));
        stop.store(true, Relaxed);
        found
    })?;
    let at = |layer| move |r: &Report| level(r.regime(Regime::Decode), layer);
    let lost = found.grown(at(Layer::Step));
    tell(
        "memory read by another program",
        Regime::Decode,
        lost,
        found.grown(at(Layer::Silicon)),
    );
    Ok(good)
}

fn engine(model: &Path, threads: usize) -> Result<Engine, Failure> {
    let profile = RuntimeProfile {
        threads,
        ..RuntimeProfile::default()
    };
    Ok(Engine::open(model, profile, &mut |_, _| {})?)
}

fn pair(engine: &Engine, rounds: usize, plant: &dyn Fn(bool)) -> Result<Pair, Failure> {
    let options = Options {
        spec_bandwidth_gb_s: Some(PRESENTED_GB_S),
        ..Options::default()
    };
    let mut found = Pair {
        without: Vec::new(),
        with: Vec::new(),
    };
    for round in 0..rounds.max(1) {
        // With and without change places, so that a drift falls on both.
        for with in [round % 2 == 1, round % 2 == 0] {
            plant(with);
            let report = lens::measure(engine, &options, &mut |_, _| {});
            plant(false);
            if with {
                &mut found.with
            } else {
                &mut found.without
            }
            .push(report?);
        }
    }
    Ok(found)
}

impl Pair {
    /// How much more a reading is with the fault.
    fn grown(&self, of: impl Fn(&Report) -> f64) -> f64 {
        mean(&self.with, &of) - mean(&self.without, &of)
    }
}

fn mean(reports: &[Report], of: impl Fn(&Report) -> f64) -> f64 {
    reports.iter().map(of).sum::<f64>() / reports.len() as f64
}

/// Milliseconds per token of all causes of this name, on all levels.
fn causes(report: &Report, regime: Regime, is: impl Fn(&str) -> bool) -> f64 {
    let levels = &report.regime(regime).levels;
    let all = levels.iter().filter_map(|l| l.loss.as_ref());
    let all = all.flat_map(|loss| &loss.causes);
    all.filter(|c| is(&c.name)).map(|c| c.ms).sum()
}

fn level(fall: &Waterfall, layer: Layer) -> f64 {
    let level = fall.levels.iter().find(|l| l.layer == layer);
    level
        .and_then(|l| l.ms_per_token.value())
        .unwrap_or(f64::NAN)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Another program, as far as memory is concerned.
fn read_memory(stop: &AtomicBool, running: &AtomicBool) {
    let memory = vec![1u64; OTHERS_BYTES / size_of::<u64>()];
    while !stop.load(Relaxed) {
        for block in memory.chunks(1 << 16) {
            while !running.load(Relaxed) && !stop.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            black_box(block.iter().fold(0, |all, word| all | word));
        }
    }
}
