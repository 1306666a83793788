//! Operations per cycle of one core, for the cores whose pipes are documented.
//!
//! f32: lanes x 2 (multiply and add) x FMA pipes. int8: the dot-product instructions do 4 products per 32-bit lane on the same
//! pipes, so 4 times f32; without them, AVX2 needs a multiply and a widening step on the same pipes, so 2 times f32. int16: two products per 32-bit lane, with or without
//! the dot product (the sum that it saves goes through other pipes), so 2 times f32.
//!
//! Sources: Intel 64 and IA-32 Architectures Optimization Reference Manual; AMD Software Optimization Guides for families 17h, 19h
//! and 1Ah. A core that is not listed is unknown: a guess of the number of pipes would be wrong by a factor of two.

use crate::probe::Machine;

/// What one core can start in one cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Width {
    /// f32 multiplications and additions.
    pub f32_ops_per_cycle: f64,
    /// int8 multiplications and additions.
    pub int8_ops_per_cycle: f64,
    /// int16 multiplications and additions.
    pub int16_ops_per_cycle: f64,
    /// Pipes and their source in words.
    pub why: &'static str,
}

/// The width of the machine's cores.
///
/// # Errors
/// A sentence that says why it is not known.
pub fn of(machine: &Machine, is_hybrid: bool) -> Result<Width, String> {
    if is_hybrid {
        return Err("this processor mixes kinds of cores, whose pipes differ".into());
    }
    let isa = &machine.isa;
    let vendor = machine.cpu.vendor.value().map_or("", String::as_str);
    let family = machine.cpu.family.value().copied();
    let model = machine.cpu.model.value().copied();
    let (lanes, pipes, why) = match (vendor, family, model) {
        // A virtual machine may mask the model number; only Xeons from Sapphire Rapids on have AMX.
        ("GenuineIntel", ..) if isa.avx512f && isa.amx_tile => {
            (16, 2, "Xeon with AMX, two 512-bit FMA pipes")
        }
        ("GenuineIntel", Some(6), Some(106 | 108)) if isa.avx512f => {
            (16, 2, "Ice Lake server, two 512-bit FMA pipes")
        }
        ("GenuineIntel", Some(6), Some(85)) if isa.avx512f => {
            return Err("Skylake and Cascade Lake servers have one or two 512-bit pipes, depending on the model".into());
        }
        ("GenuineIntel", Some(6), Some(125 | 126 | 140 | 141 | 167)) if isa.avx512f => {
            (16, 1, "client core with AVX-512, one 512-bit FMA pipe")
        }
        ("GenuineIntel", Some(6), Some(_))
            if isa.avx2 && isa.fma && !isa.avx512f && !isa.avx_vnni =>
        {
            (8, 2, "Intel core with AVX2, two 256-bit FMA pipes")
        }
        ("AuthenticAMD", Some(0x1A), Some(0x00..=0x1F | 0x40..=0x4F)) if isa.avx512f => {
            (16, 2, "Zen 5, two 512-bit FMA pipes")
        }
        ("AuthenticAMD", Some(0x19), Some(_)) if isa.avx512f => {
            (16, 1, "Zen 4, two 256-bit FMA pipes that pair up")
        }
        ("AuthenticAMD", Some(0x19), Some(_)) if isa.avx2 && isa.fma => {
            (8, 2, "Zen 3, two 256-bit FMA pipes")
        }
        ("AuthenticAMD", Some(0x17), Some(0x30..)) if isa.avx2 && isa.fma => {
            (8, 2, "Zen 2, two 256-bit FMA pipes")
        }
        ("AuthenticAMD", Some(0x17), Some(_)) if isa.avx2 && isa.fma => {
            (8, 1, "Zen 1, two 128-bit FMA pipes")
        }
        _ => {
            return Err(format!(
                "the FMA pipes of vendor '{vendor}', family {family:?}, model {model:?} are not in Sprag's list"
            ));
        }
    };
    let f32_ops_per_cycle = f64::from(lanes * 2 * pipes);
    let has_dot_product = isa.avx512_vnni || isa.avx_vnni;
    let int8_ops_per_cycle = f32_ops_per_cycle * if has_dot_product { 4.0 } else { 2.0 };
    Ok(Width {
        f32_ops_per_cycle,
        int8_ops_per_cycle,
        int16_ops_per_cycle: 2.0 * f32_ops_per_cycle,
        why,
    })
}
