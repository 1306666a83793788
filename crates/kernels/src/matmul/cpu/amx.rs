//! Products on AMX tiles, where the processor has them and the system lets this process use them.

pub(super) mod int8;
pub(super) mod split_bf16;
mod tiles;

/// Whether there are tiles of bytes (asked once).
pub(crate) fn has_int8() -> bool {
    tiles::kinds().int8
}

/// Whether there are tiles of bfloat16 (asked once).
pub(crate) fn has_bf16() -> bool {
    tiles::kinds().bf16
}
