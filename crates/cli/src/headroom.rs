//! Room in the process's own address space (`ulimit -v`), looked at before anything is taken.
//!
//! What Sprag takes much of, it asks for and may be refused. The small allocations of a start can't be refused: Rust and the C library abort, and so
//! close to the limit there is only one place for a message, the beginning.

/// Stacks of two threads and what the C library takes for them; with less, starts were seen to abort.
const LEAST_BYTES: u64 = 8 << 20;

/// What to say where this process was given too little room to work in.
#[cfg(target_os = "linux")]
pub fn lacking() -> Option<String> {
    use rustix::{
        param::page_size,
        process::{Resource, getrlimit},
    };

    let limit = getrlimit(Resource::As).current?;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    let taken = pages.checked_mul(page_size().try_into().ok()?)?;
    let left = limit.saturating_sub(taken);
    (left < LEAST_BYTES).then(|| {
        format!(
            "error: this process may take {} KiB of memory in all, and the program itself takes {} KiB of it; there is no room left to work in\n\
             hint: raise the limit: ulimit -v {} or more, or ulimit -v unlimited",
            limit >> 10,
            taken >> 10,
            (taken + 4 * LEAST_BYTES) >> 10,
        )
    })
}

/// Other systems know no limit of a process's address space, or none that is kept.
#[cfg(not(target_os = "linux"))]
pub fn lacking() -> Option<String> {
    None
}
