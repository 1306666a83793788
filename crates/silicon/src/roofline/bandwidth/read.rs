//! The readers: a loop of loads in the widest vectors that the processor has.
//!
//! Four streams run side by side through the slice, which keeps more requests in flight than one stream does. An OR into independent
//! accumulators is the least that keeps the loads alive. Passes are counted inside, because in L1 folding the accumulators after each
//! pass would take a tenth of its time.

use std::hint::black_box;

use super::{STREAMS, STRIDE_BYTES, UNIT_BYTES};

/// Reads a slice whose length is a multiple of 1024 bytes, so many times; the result keeps the loads alive.
pub(super) type Reader = fn(&[u8], usize) -> u64;

/// The widest reader of this processor.
pub(super) fn reader() -> Reader {
    readers().last().copied().unwrap_or(read_portable)
}

/// Every reader that was detected on this processor, the widest last.
pub(super) fn readers() -> Vec<Reader> {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_mut, reason = "only x86 adds to the list")
    )]
    let mut readers: Vec<Reader> = vec![read_portable];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: avx2 was detected above.
            readers.push(|bytes, passes| unsafe { x86::read_256(bytes, passes) });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: avx512f was detected above.
            readers.push(|bytes, passes| unsafe { x86::read_512(bytes, passes) });
        }
    }
    readers
}

fn read_portable(bytes: &[u8], passes: usize) -> u64 {
    let mut sums = [[0u64; 8]; STREAMS];
    let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
    let (chunks, _) = bytes.as_chunks::<64>();
    let per_stream = stream / 64;
    for _ in 0..passes {
        // To the compiler's eyes other bytes in each pass.
        let chunks = black_box(chunks);
        for at in 0..per_stream {
            for (index, sum) in sums.iter_mut().enumerate() {
                let (words, _) = chunks[index * per_stream + at].as_chunks::<8>();
                for (sum, word) in sum.iter_mut().zip(words) {
                    *sum |= u64::from_ne_bytes(*word);
                }
            }
        }
    }
    sums.iter().flatten().fold(0, |all, sum| all | sum)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_loadu_si256, _mm256_or_si256, _mm256_setzero_si256,
        _mm256_testz_si256, _mm512_loadu_si512, _mm512_or_si512, _mm512_reduce_or_epi64,
        _mm512_setzero_si512,
    };

    use std::hint::black_box;

    use super::{STREAMS, STRIDE_BYTES, UNIT_BYTES};

    const LOADS_512: usize = STRIDE_BYTES / size_of::<__m512i>();
    const LOADS_256: usize = STRIDE_BYTES / size_of::<__m256i>();

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_512(bytes: &[u8], passes: usize) -> u64 {
        let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
        let mut sums = [_mm512_setzero_si512(); LOADS_512];
        for _ in 0..passes {
            // To the compiler's eyes other bytes in each pass.
            let bytes = black_box(bytes);
            for at in (0..stream).step_by(STRIDE_BYTES) {
                for index in 0..STREAMS {
                    for (load, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: index < STREAMS, at + load * 64 + 64 <= stream, and STREAMS * stream <= bytes.len().
                        let value = unsafe {
                            _mm512_loadu_si512(
                                bytes.as_ptr().add(index * stream + at + load * 64).cast(),
                            )
                        };
                        *sum = _mm512_or_si512(*sum, value);
                    }
                }
            }
        }
        let all = sums
            .into_iter()
            .fold(_mm512_setzero_si512(), |all, sum| _mm512_or_si512(all, sum));
        _mm512_reduce_or_epi64(all) as u64
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn read_256(bytes: &[u8], passes: usize) -> u64 {
        let stream = bytes.len() / UNIT_BYTES * STRIDE_BYTES;
        let mut sums = [_mm256_setzero_si256(); LOADS_256];
        for _ in 0..passes {
            // To the compiler's eyes other bytes in each pass.
            let bytes = black_box(bytes);
            for at in (0..stream).step_by(STRIDE_BYTES) {
                for index in 0..STREAMS {
                    for (load, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: index < STREAMS, at + load * 32 + 32 <= stream, and STREAMS * stream <= bytes.len().
                        let value = unsafe {
                            _mm256_loadu_si256(
                                bytes.as_ptr().add(index * stream + at + load * 32).cast(),
                            )
                        };
                        *sum = _mm256_or_si256(*sum, value);
                    }
                }
            }
        }
        let all = sums
            .into_iter()
            .fold(_mm256_setzero_si256(), |all, sum| _mm256_or_si256(all, sum));
        _mm256_testz_si256(all, all) as u64
    }
}
