//! `sprag ratchet gate simulate`: what the gate's rules do when the truth is known.

use clap::{Args, Subcommand, ValueEnum};
use gate::{
    Kind, Settings,
    simulate::{Plan, Shape, Table},
};
use serde_json::json;

use crate::{
    failure::Failure,
    report,
    terminal::{Terminal, say},
};

/// What the gate's rules do
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Simulate(Simulate),
}

/// Simulate many tracks whose truth is known, with this gate and with the rule "a new best score is a merge"
#[derive(Debug, Args)]
pub struct Simulate {
    /// Readings: scores, timing blocks, or cases
    #[arg(long, value_enum, default_value = "score")]
    pub kind: Readings,
    /// True improvements in standard deviations of a reading; several with commas, 0 for changes that do nothing
    #[arg(
        long,
        value_name = "SIGMA,..",
        default_value = "0,1,2,4",
        value_delimiter = ','
    )]
    pub effect: Vec<f64>,
    /// Tracks
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: u32,
    /// Candidates of each
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub experiments: u32,
    /// Share of the candidates that are truly better
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub share: f64,
    /// Shape of the noise
    #[arg(long, value_enum, default_value = "normal")]
    pub noise: Noise,
    /// Provisional keeps that make a race
    #[arg(long, value_name = "J")]
    pub unit: Option<u32>,
    /// Blocks before which a timing race is not dropped for its mean
    #[arg(long, value_name = "N")]
    pub drop_runs: Option<u32>,
    /// The track ends with its first epoch, and may spend all of its error there
    #[arg(long)]
    pub one_epoch: bool,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Report as JSON (schema sprag.gate-simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// Kinds of readings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Readings {
    Score,
    Timing,
    Cases,
}

/// Shapes of noise.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Noise {
    /// Normal and independent
    Normal,
    /// Heavy tails: Student's t with 3 degrees of freedom
    Student3,
    /// Neighbours alike, and bursts of twice the spread
    Drift,
}

/// Simulates.
pub fn run(arguments: &Arguments, _terminal: &Terminal) -> Result<(), Failure> {
    let Command::Simulate(asked) = &arguments.command;
    let kind = match asked.kind {
        Readings::Score => Kind::Score,
        Readings::Timing => Kind::Timing,
        Readings::Cases => Kind::Cases,
    };
    if !(0.0..=1.0).contains(&asked.share)
        || asked
            .effect
            .iter()
            .any(|effect| !effect.is_finite() || *effect < 0.0)
    {
        return Err(Failure::Usage(
            "expected effects from 0 on and a share from 0 to 1".to_owned(),
        ));
    }
    let mut tables: Vec<Table> = Vec::new();
    for effect in &asked.effect {
        let mut plan = Plan::of(kind);
        if let Some(unit) = asked.unit {
            plan.settings = Settings::with_unit(kind, plan.settings.better, unit);
        }
        if let Some(runs) = asked.drop_runs {
            plan.settings.drop_runs = runs;
        }
        plan.settings.ends_with_first_epoch = asked.one_epoch;
        plan.runs = asked.runs;
        plan.experiments = asked.experiments;
        plan.effect_sigma = *effect;
        plan.share_of_true = asked.share;
        plan.noise = match asked.noise {
            Noise::Normal => Shape::Normal,
            Noise::Student3 => Shape::Student3,
            Noise::Drift => Shape::Drift,
        };
        plan.seed = asked.seed;
        let table = plan
            .simulate()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        if !asked.json {
            say(&format!("{table}\n"))?;
        }
        tables.push(table);
    }
    if asked.json {
        return report::json(&json!({ "schema": "sprag.gate-simulation/1", "tables": tables }));
    }
    Ok(())
}
