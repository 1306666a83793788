//! Memory modules from the firmware's SMBIOS table.
//!
//! The table is a run of structures: a header (type, length, handle), a formatted area of `length` bytes, then strings that end in
//! zero, the last one followed by another zero. Type 17 describes one memory slot. Source: DMTF DSP0134, sections 6.1 and 7.18.
//!
//! The table is foreign data: every offset is checked, and a table that stops early gives what came before it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

const TYPE_MEMORY_DEVICE: u8 = 17;
const TYPE_END: u8 = 127;
const HEADER_BYTES: usize = 4;

/// One populated memory slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryModule {
    /// Slot, for example `DIMM_A1`.
    pub locator: String,
    /// Bank, for example `P0 CHANNEL A`.
    pub bank: String,
    /// Technology, for example `DDR5`.
    pub technology: String,
    /// Size, if stated.
    pub size_mib: Option<u64>,
    /// Width of the data bus without check bits, if stated.
    pub data_bits: Option<u16>,
    /// Transfers per second that the module is configured for, else those it is rated for.
    pub rate_mt_s: Option<u32>,
}

/// Populated memory slots of a raw SMBIOS table.
#[must_use]
pub fn memory_modules(table: &[u8]) -> Vec<MemoryModule> {
    let mut modules = Vec::new();
    let mut rest = table;
    while let Some((structure, strings, after)) = next_structure(rest) {
        match structure[0] {
            TYPE_MEMORY_DEVICE => modules.extend(memory_module(structure, strings)),
            TYPE_END => break,
            _ => {}
        }
        rest = after;
    }
    modules
}

/// Splits off the formatted area and the string area of the first structure.
fn next_structure(table: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = usize::from(*table.get(1)?);
    if length < HEADER_BYTES {
        return None;
    }
    let (structure, tail) = table.split_at_checked(length)?;
    let end = tail.windows(2).position(|pair| pair == [0, 0])?;
    Some((structure, &tail[..end], &tail[end + 2..]))
}

fn memory_module(structure: &[u8], strings: &[u8]) -> Option<MemoryModule> {
    // Bit 15 of the size says KiB; 0x7FFF sends the reader to the extended size; 0 is an empty slot; 0xFFFF is unknown.
    let size_mib = match word(structure, 0x0C)? {
        0 => return None,
        0xFFFF => None,
        0x7FFF => double_word(structure, 0x1C).map(|size| u64::from(size & 0x7FFF_FFFF)),
        kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7FFF) / 1024),
        mib => Some(u64::from(mib)),
    };
    let rate_mt_s = rate(structure, 0x20, 0x58).or_else(|| rate(structure, 0x15, 0x54));
    Some(MemoryModule {
        locator: string(structure, strings, 0x10),
        bank: string(structure, strings, 0x11),
        technology: technology(structure.get(0x12).copied().unwrap_or(0)).to_owned(),
        size_mib,
        data_bits: word(structure, 0x0A).filter(|bits| (1..=1024).contains(bits)),
        rate_mt_s,
    })
}

/// A speed field; 0 is unknown, 0xFFFF sends the reader to the extended field.
fn rate(structure: &[u8], at: usize, extended_at: usize) -> Option<u32> {
    let rate = match word(structure, at)? {
        0xFFFF => double_word(structure, extended_at)? & 0x7FFF_FFFF,
        rate => u32::from(rate),
    };
    (rate > 0).then_some(rate)
}

fn word(structure: &[u8], at: usize) -> Option<u16> {
    structure
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_le_bytes)
}

fn double_word(structure: &[u8], at: usize) -> Option<u32> {
    structure
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

/// The string whose number (from 1) stands at `at`; empty when there is none. At most 64 characters, none of them control codes.
fn string(structure: &[u8], strings: &[u8], at: usize) -> String {
    let number = structure.get(at).copied().unwrap_or(0);
    let Some(index) = usize::from(number).checked_sub(1) else {
        return String::new();
    };
    let bytes = strings
        .split(|byte| *byte == 0)
        .nth(index)
        .unwrap_or_default();
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn technology(code: u8) -> &'static str {
    match code {
        0x18 => "DDR3",
        0x1A => "DDR4",
        0x1B => "LPDDR",
        0x1C => "LPDDR2",
        0x1D => "LPDDR3",
        0x1E => "LPDDR4",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x24 => "HBM3",
        _ => "unnamed technology",
    }
}

/// The bandwidth that a set of modules presents.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleBandwidth {
    /// Sum over the channels of width times rate.
    pub gb_s: f64,
    /// Channels that were counted.
    pub channels: usize,
    /// Whether every module named its channel; otherwise each was taken as a channel of its own.
    pub channels_named: bool,
}

/// Adds up one module per channel: a second module on a channel adds capacity and no bandwidth.
///
/// # Errors
/// A sentence that names the module and what is missing.
pub fn bandwidth(modules: &[MemoryModule]) -> Result<ModuleBandwidth, String> {
    if modules.is_empty() {
        return Err("the firmware lists no populated memory module".into());
    }
    let mut channels = BTreeSet::new();
    let (mut gb_s, mut channels_named) = (0.0, true);
    for (index, module) in modules.iter().enumerate() {
        let channel = channel(module).unwrap_or_else(|| {
            channels_named = false;
            format!("module {index}")
        });
        if !channels.insert(channel) {
            continue;
        }
        let missing = |what| {
            format!(
                "the firmware does not state the {what} of memory module '{}'",
                module.locator
            )
        };
        let bits = module.data_bits.ok_or_else(|| missing("width"))?;
        let rate_mt_s = module.rate_mt_s.ok_or_else(|| missing("speed"))?;
        gb_s += f64::from(bits) / 8.0 * f64::from(rate_mt_s) / 1e3;
    }
    Ok(ModuleBandwidth {
        gb_s,
        channels: channels.len(),
        channels_named,
    })
}

/// The channel that a module names: the bank or slot up to the word after `CHANNEL`, or a slot such as `DIMM_A2` without its number.
fn channel(module: &MemoryModule) -> Option<String> {
    for name in [&module.bank, &module.locator] {
        let upper = name.to_ascii_uppercase();
        if let Some(at) = upper.find("CHANNEL") {
            let after = at + "CHANNEL".len();
            let is_separator = |c: char| c == ' ' || c == '_' || c == '-';
            let skipped =
                upper[after..].len() - upper[after..].trim_start_matches(is_separator).len();
            let name_len = upper[after + skipped..].find(|c: char| !c.is_ascii_alphanumeric());
            let end = name_len.map_or(upper.len(), |len| after + skipped + len);
            // The slot may repeat per socket or controller: what stands before the word stays part of the channel's name.
            return (end > after + skipped).then(|| upper[..end].to_owned());
        }
    }
    let upper = module.locator.to_ascii_uppercase();
    let slot = upper.trim_end_matches(|c: char| c.is_ascii_digit());
    let lettered = slot.len() < upper.len() && slot.ends_with(|c: char| c.is_ascii_alphabetic());
    (lettered && !slot.ends_with("DIMM") && !slot.ends_with("SLOT"))
        .then(|| format!("{} {slot}", module.bank))
}
