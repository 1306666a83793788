//! What is *presented*: the figures that follow from spec sheets and from what the machine says of itself.
//!
//! - Memory bandwidth: channels x width x rate of the modules that the firmware lists; else the table `data/cpus.toml`; else unknown.
//! - Arithmetic: cores x clock x lanes x 2 x FMA pipes, for processors whose pipes are documented ([`width`]).
//!
//! A figure is a [`Claim`]: with its source, or unknown with the reason and what the user can do. A figure that the user gives
//! replaces any other and is marked as the user's.

pub mod table;
pub mod width;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::probe::{Machine, cpuid, dmi};
use width::Width;

/// Where a presented figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// From the maker's specification.
    Vendor,
    /// Measured by someone who shows how.
    Measured,
    /// Derived with an assumption, or from sources that disagree.
    Estimated,
    /// Derived from what this machine's firmware or processor states.
    Machine,
    /// Given by the user.
    User,
}

/// A presented figure, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Claim {
    /// The figure is presented.
    Presented {
        /// The figure, in the unit of the field that holds it.
        value: f64,
        /// How far the source can be trusted.
        status: Status,
        /// The source, or the derivation with its factors.
        source: String,
    },
    /// The figure is not known.
    Unknown {
        /// Why.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
}

impl Claim {
    /// For a field that reports of an earlier version lack.
    fn not_in_the_report() -> Self {
        Self::Unknown {
            reason: "the report was made by an earlier version".to_owned(),
            remedy: String::new(),
        }
    }

    /// The figure, if it is presented.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Presented { value, .. } => Some(*value),
            Self::Unknown { .. } => None,
        }
    }

    /// A figure that the user gives.
    ///
    /// # Errors
    /// [`SpecError`] unless it is finite and above zero.
    pub fn from_user(what: &'static str, value: f64) -> Result<Self, SpecError> {
        if value.is_finite() && value > 0.0 {
            Ok(Self::Presented {
                value,
                status: Status::User,
                source: format!("{what} given by the user"),
            })
        } else {
            Err(SpecError { what, value })
        }
    }
}

/// A figure that cannot be a spec.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "expected {what} as a finite number above zero, got {value}: take it from the machine's data sheet"
)]
pub struct SpecError {
    what: &'static str,
    value: f64,
}

/// The presented figures of a machine, over the cores and the memory that are ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Memory bandwidth.
    pub memory_gb_s: Claim,
    /// f32 multiply-adds, two operations each.
    pub f32_gflop_s: Claim,
    /// int8 multiply-adds of the vector units, two operations each.
    pub int8_vector_gop_s: Claim,
    /// int8 multiply-adds of the matrix units, two operations each.
    pub int8_matrix_gop_s: Claim,
    /// int16 multiply-adds of the vector units, two operations each.
    #[serde(default = "Claim::not_in_the_report")]
    pub int16_vector_gop_s: Claim,
    /// bf16 multiply-adds of the matrix units, two operations each.
    pub bf16_matrix_gflop_s: Claim,
}

impl Spec {
    /// Derives what can be derived from what the machine says.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        let clock = match (
            machine.clock.max_mhz.value(),
            machine.clock.nominal_mhz.value(),
        ) {
            (Some(max), _) => Ok((*max, "(highest)")),
            (None, Some(nominal)) => Ok((*nominal, "(nominal; the turbo clock is not stated)")),
            (None, None) => Err(format!("clock: {}", machine.clock.nominal_mhz.why())),
        };
        Self::at(machine, &clock)
    }

    /// The same arithmetic at a clock that was measured. A virtual machine often states the nominal clock only, and its cores run
    /// well above it: the peak at the nominal clock is then below what is measured.
    ///
    /// # Errors
    /// [`SpecError`] unless the clock is finite and above zero.
    pub fn at_measured_clock(machine: &Machine, clock_ghz: f64) -> Result<Self, SpecError> {
        if clock_ghz.is_finite() && clock_ghz > 0.0 {
            Ok(Self::at(machine, &Ok((clock_ghz * 1e3, "(measured)"))))
        } else {
            Err(SpecError {
                what: "the measured clock in GHz",
                value: clock_ghz,
            })
        }
    }

    fn at(machine: &Machine, clock: &Clock) -> Self {
        let width = width::of(machine, cpuid::is_hybrid());
        let vector = |ops: fn(&Width) -> f64| {
            let per_cycle = width.as_ref().map(|width| (ops(width), width.why));
            arithmetic(machine, clock, per_cycle.map_err(String::as_str))
        };
        let matrix = |present: bool, ops: f64| {
            let why =
                "AMX: a product of two 16-row tiles every 16 cycles (Intel optimization manual)";
            arithmetic(
                machine,
                clock,
                present.then_some((ops, why)).ok_or(NO_MATRIX_UNIT),
            )
        };
        Self {
            memory_gb_s: memory(machine),
            f32_gflop_s: vector(|width| width.f32_ops_per_cycle),
            int8_vector_gop_s: vector(|width| width.int8_ops_per_cycle),
            int16_vector_gop_s: vector(|width| width.int16_ops_per_cycle),
            // 16 x 16 results of 64 (int8) or 32 (bf16) multiply-adds in 16 cycles.
            int8_matrix_gop_s: matrix(machine.isa.amx_int8, 2048.0),
            bf16_matrix_gflop_s: matrix(machine.isa.amx_bf16, 1024.0),
        }
    }

    /// The same with the user's own memory bandwidth.
    ///
    /// # Errors
    /// [`SpecError`] unless it is finite and above zero.
    pub fn with_memory_gb_s(mut self, gb_s: f64) -> Result<Self, SpecError> {
        self.memory_gb_s = Claim::from_user("the memory bandwidth in GB/s", gb_s)?;
        Ok(self)
    }

    /// The same with the user's own f32 peak.
    ///
    /// # Errors
    /// [`SpecError`] unless it is finite and above zero.
    pub fn with_f32_gflop_s(mut self, gflop_s: f64) -> Result<Self, SpecError> {
        self.f32_gflop_s = Claim::from_user("the f32 peak in GFLOP/s", gflop_s)?;
        Ok(self)
    }
}

const NO_MATRIX_UNIT: &str = "this processor states no matrix unit that Sprag can use";

/// A clock in MHz with what kind it is, or why there is none.
type Clock = Result<(f64, &'static str), String>;

/// cores x clock x operations per cycle.
fn arithmetic(machine: &Machine, clock: &Clock, per_cycle: Result<(f64, &str), &str>) -> Claim {
    let unknown = |reason: &str| Claim::Unknown {
        reason: reason.to_owned(),
        remedy: "the measured peak stands in its place".to_owned(),
    };
    let (ops, why) = match per_cycle {
        Ok(known) => known,
        Err(reason) => return unknown(reason),
    };
    let (clock, kind) = match clock {
        Ok(known) => *known,
        Err(reason) => return unknown(reason),
    };
    // Two threads of one core share its pipes.
    let (cores, counted) = match machine.cores.physical.value() {
        Some(physical) => (machine.cores.usable.min(*physical), "physical cores"),
        None => (machine.cores.usable, "threads, taken as cores"),
    };
    let mut source =
        format!("{cores} {counted} x {clock:.0} MHz {kind} x {ops} operations per cycle: {why}");
    if machine.is_virtual() == Some(true) {
        source += "; a virtual machine's cores may be half a physical core each";
    }
    Claim::Presented {
        value: cores as f64 * clock * ops / 1e3,
        status: Status::Machine,
        source,
    }
}

fn memory(machine: &Machine) -> Claim {
    let from_modules = match machine.memory.modules.value() {
        Some(modules) => dmi::bandwidth(modules),
        None => Err(machine.memory.modules.why().to_owned()),
    };
    let no_modules = match from_modules {
        Ok(sum) => {
            let (status, note) = if sum.channels_named {
                (Status::Machine, "")
            } else {
                (
                    Status::Estimated,
                    ", each module taken as a channel of its own because the slots name none",
                )
            };
            let source = format!("firmware's memory modules: {} channels{note}", sum.channels);
            return Claim::Presented {
                value: sum.gb_s,
                status,
                source,
            };
        }
        Err(reason) => reason,
    };
    let name = machine.cpu.name.value().map_or("", String::as_str);
    let rows = match table::rows() {
        Ok(rows) => rows,
        Err(error) => {
            return Claim::Unknown {
                reason: error.to_string(),
                remedy: REMEDY.into(),
            };
        }
    };
    if let Some(row) = table::find(&rows, name) {
        let sockets = machine.cores.sockets.value().copied().unwrap_or(1).max(1);
        let whole = if machine.is_virtual() == Some(true) {
            "; the whole socket's, of which a virtual machine gets a share"
        } else {
            ""
        };
        return Claim::Presented {
            value: row.memory_gb_s * sockets as f64,
            status: row.status,
            source: format!("{} x {sockets} sockets{whole}", row.source),
        };
    }
    let masked = if machine.is_virtual() == Some(true) {
        ", which a hypervisor may have masked"
    } else {
        ""
    };
    let name = if name.is_empty() { "(none)" } else { name };
    Claim::Unknown {
        reason: format!(
            "{no_modules}; and the table of processors has no row for the model name '{name}'{masked}"
        ),
        remedy: REMEDY.into(),
    }
}

const REMEDY: &str = "give the data sheet's figure with --spec-bandwidth GB_S, or run as root where the firmware's table exists";
