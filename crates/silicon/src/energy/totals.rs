//! Sums over scopes that do not contain each other.

use serde::{Deserialize, Serialize};

use super::{Covers, How, Used};

/// A sum and what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// Joules.
    pub energy_j: f64,
    /// Names of the scopes that were added.
    pub scopes: Vec<String>,
}

/// Two views of the same energy, which must not be added to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The whole machine, as its battery or power meter has it.
    pub system: Option<Sum>,
    /// Packages, memory and graphics cards, as far as each has a source.
    pub parts: Option<Sum>,
}

/// Adds what may be added. Of two kinds of source for one thing counters win; a scope that is unknown is left out, as the names show.
#[must_use]
pub fn totals(used: &[Used]) -> Totals {
    let mut parts = Vec::new();
    for covers in [Covers::Package, Covers::Dram, Covers::Gpu] {
        let of = |how| {
            let wanted = move |used: &&Used| {
                used.scope.covers == covers
                    && used.scope.how == how
                    && used.energy_j.value().is_some()
            };
            used.iter().filter(wanted)
        };
        let counted = of(How::Counter).next().is_some();
        // Two cards may have different kinds of source; two kinds for one package are the same energy twice.
        if counted || covers == Covers::Gpu {
            parts.extend(of(How::Counter));
        }
        if !counted || covers == Covers::Gpu {
            parts.extend(of(How::IntegratedPower));
        }
    }
    // Several batteries feed one machine together, while a meter beside them would see the same power again.
    let system = used
        .iter()
        .filter(|used| used.scope.covers == Covers::System);
    let (batteries, meters): (Vec<&Used>, Vec<&Used>) =
        system.partition(|used| used.scope.name.starts_with("battery"));
    let meter = meters
        .into_iter()
        .find(|used| used.energy_j.value().is_some());
    Totals {
        system: meter.map_or_else(|| whole(&batteries), |meter| sum(&[meter])),
        parts: sum(&parts),
    }
}

/// The sum of batteries that are all known: one that is missing would be missed.
fn whole(batteries: &[&Used]) -> Option<Sum> {
    let all = batteries.iter().all(|used| used.energy_j.value().is_some());
    if all { sum(batteries) } else { None }
}

fn sum(used: &[&Used]) -> Option<Sum> {
    let known = used
        .iter()
        .filter_map(|used| Some((*used.energy_j.value()?, &used.scope.name)));
    let (joules, scopes): (Vec<f64>, Vec<String>) =
        known.map(|(j, name)| (j, name.clone())).unzip();
    (!scopes.is_empty()).then(|| Sum {
        energy_j: joules.iter().sum(),
        scopes,
    })
}
