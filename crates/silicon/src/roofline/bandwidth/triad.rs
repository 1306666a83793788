//! STREAM's triad, a[i] = b[i] + s c[i] over f64: two arrays are read while a third is written.
//!
//! Bytes are counted as STREAM counts them, three arrays. With ordinary stores the memory moves four: a line that is going to be
//! written is read first (the "write allocate"), unless the processor sees that all of it will be overwritten. Streaming
//! ("non-temporal") stores go around the caches and save that read, so in memory they may show up to 4/3 of the figure; in a
//! cache they are far slower, because they leave it. What programs do is the ordinary store, so that is the figure of every size.
//!
//! Source: J. McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers" (1995).

use super::UNIT_BYTES;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Through the caches, as programs write.
    Ordinary,
    /// Around the caches.
    Streaming,
}

/// `triad(a, b, c)` over slices of one length, a multiple of 1024 bytes that starts at a multiple of 64 bytes.
pub(super) type Triad = fn(&mut [u8], &[u8], &[u8]);

/// STREAM's s.
const SCALAR: f64 = 3.0;

/// Length of each of the three arrays within a share: an odd number of KiB, so that no two of them start at the same place in a
/// page. Where they do, a store looks to the processor like the source of the next loads, which must then wait for it.
pub(super) fn third(share_bytes: usize) -> usize {
    let units = share_bytes / 3 / UNIT_BYTES;
    let odd = if units.is_multiple_of(2) {
        units.saturating_sub(1)
    } else {
        units
    };
    odd * UNIT_BYTES
}

/// Smallest share that has three arrays.
pub(super) const LEAST_BYTES: usize = 3 * UNIT_BYTES;

/// The widest triad of this processor; `None` where streaming stores are not implemented.
pub(super) fn widest(stores: Stores) -> Option<Triad> {
    all(stores).last().copied()
}

/// Every triad that was detected on this processor, the widest last.
pub(super) fn all(stores: Stores) -> Vec<Triad> {
    let mut triads: Vec<Triad> = Vec::new();
    if stores == Stores::Ordinary {
        triads.push(portable);
    }
    #[cfg(target_arch = "x86_64")]
    {
        let avx = is_x86_feature_detected!("avx") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f");
        match stores {
            Stores::Ordinary => {
                if avx {
                    // SAFETY: avx and fma were detected above.
                    triads.push(|a, b, c| unsafe { x86::ordinary_256(a, b, c) });
                }
                if avx512 {
                    // SAFETY: avx512f was detected above.
                    triads.push(|a, b, c| unsafe { x86::ordinary_512(a, b, c) });
                }
            }
            Stores::Streaming => {
                if avx {
                    // SAFETY: avx and fma were detected above.
                    triads.push(|a, b, c| unsafe { x86::streaming_256(a, b, c) });
                }
                if avx512 {
                    // SAFETY: avx512f was detected above.
                    triads.push(|a, b, c| unsafe { x86::streaming_512(a, b, c) });
                }
            }
        }
    }
    triads
}

fn portable(a: &mut [u8], b: &[u8], c: &[u8]) {
    let (a, b, c) = (
        a.as_chunks_mut::<8>().0,
        b.as_chunks::<8>().0,
        c.as_chunks::<8>().0,
    );
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = (f64::from_ne_bytes(*b) + SCALAR * f64::from_ne_bytes(*c)).to_ne_bytes();
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm_sfence, _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_set1_pd, _mm256_store_pd,
        _mm256_stream_pd, _mm512_fmadd_pd, _mm512_loadu_pd, _mm512_set1_pd, _mm512_store_pd,
        _mm512_stream_pd,
    };

    use super::SCALAR;

    /// Bytes of one turn of the loop.
    const TURN_BYTES: usize = 256;

    /// The same loop four times; stores that go around the caches are ordered by a fence at the end, which is also when they are done.
    macro_rules! triad {
        ($name:ident, $feature:literal, $bytes:literal, $set1:ident, $load:ident, $fma:ident, $store:ident, $end:block) => {
            #[target_feature(enable = $feature)]
            pub(super) fn $name(a: &mut [u8], b: &[u8], c: &[u8]) {
                assert!(
                    a.as_ptr().addr().is_multiple_of(64)
                        && b.len() == a.len()
                        && c.len() == a.len(),
                    "a triad wants arrays of one length that start at a cache line"
                );
                let scalar = $set1(SCALAR);
                for at in (0..a.len() / TURN_BYTES * TURN_BYTES).step_by(TURN_BYTES) {
                    for step in (at..at + TURN_BYTES).step_by($bytes) {
                        // SAFETY: step + $bytes <= at + TURN_BYTES <= the length of all three; a starts at a multiple of 64 and
                        // step is a multiple of the vector's size, as the aligned store wants.
                        unsafe {
                            let (b, c) = (
                                $load(b.as_ptr().add(step).cast()),
                                $load(c.as_ptr().add(step).cast()),
                            );
                            $store(a.as_mut_ptr().add(step).cast(), $fma(c, scalar, b));
                        }
                    }
                }
                $end
            }
        };
    }

    triad!(
        ordinary_256,
        "avx,fma",
        32,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_fmadd_pd,
        _mm256_store_pd,
        {}
    );
    triad!(
        streaming_256,
        "avx,fma",
        32,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_fmadd_pd,
        _mm256_stream_pd,
        { _mm_sfence() }
    );
    triad!(
        ordinary_512,
        "avx512f",
        64,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_fmadd_pd,
        _mm512_store_pd,
        {}
    );
    triad!(
        streaming_512,
        "avx512f",
        64,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_fmadd_pd,
        _mm512_stream_pd,
        { _mm_sfence() }
    );
}

#[cfg(test)]
mod tests;
