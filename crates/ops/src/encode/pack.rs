//! Codes and scales into bits: the inverses of the unpackers in [`crate::dequantize`], which documents the layouts.

/// Codes below 16: the first half of `codes` into the low nibbles of `out`, the second into the high ones.
pub(super) fn nibbles(codes: &[u8], out: &mut [u8]) {
    let (low, high) = codes.split_at(codes.len() / 2);
    for ((&low, &high), out) in low.iter().zip(high).zip(out) {
        *out = low & 0x0f | high << 4;
    }
}

/// Bit 4 of code i becomes bit i of the bytes.
pub(super) fn fifth_bits(codes: &[u8], out: &mut [u8]) {
    for (codes, out) in codes.chunks_exact(8).zip(out) {
        *out = (0..8).fold(0, |bits, i| bits | (codes[i] >> 4 & 1) << i);
    }
}

/// Eight scales and eight minima of 6 bits into 12 bytes.
pub(super) fn scales_and_minima(scales: &[u8; 8], minima: &[u8; 8], out: &mut [u8]) {
    for i in 0..4 {
        out[i] = scales[i] | scales[i + 4] >> 4 << 6;
        out[i + 4] = minima[i] | minima[i + 4] >> 4 << 6;
        out[i + 8] = scales[i + 4] & 0x0f | minima[i + 4] << 4;
    }
}

/// 256 codes of 4 or 5 bits, 64 to 32 bytes of nibbles; `high` takes the fifth bits of group g as bit g, where there are any.
pub(super) fn groups_of_32(codes: &[u8; 256], low: &mut [u8], high: Option<&mut [u8]>) {
    for (codes, out) in codes.chunks_exact(64).zip(low.chunks_exact_mut(32)) {
        nibbles(codes, out);
    }
    let Some(high) = high else { return };
    for (group, codes) in codes.chunks_exact(32).enumerate() {
        for (&code, out) in codes.iter().zip(high.iter_mut()) {
            *out |= (code >> 4 & 1) << group;
        }
    }
}

/// 256 codes of 6 bits: 128 bytes of low nibbles and 64 of top bit pairs.
pub(super) fn six_bits(codes: &[u8; 256], low: &mut [u8], high: &mut [u8]) {
    for (half, codes) in codes.chunks_exact(128).enumerate() {
        nibbles(codes, &mut low[64 * half..][..64]);
        for (pair, codes) in codes.chunks_exact(32).enumerate() {
            for (&code, out) in codes.iter().zip(&mut high[32 * half..][..32]) {
                *out |= (code >> 4 & 3) << (2 * pair);
            }
        }
    }
}
