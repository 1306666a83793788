//! What the kernels' tests share: buffers laid out as a workspace lays them out, and the choices that must not change a bit.
//!
//! Padding is NaN, and there is exactly as much of it as the kernels are promised: whatever leaks from it into a result
//! shows, and a sanitizer sees any access beyond it.

use ops::Dtype;

use crate::{
    Isa, Pool, StoredRows,
    memory::Aligned,
    rows::{QuantRows, Rows},
};

/// Rows padded to whole vectors, with a vector of slack behind the last one.
pub(crate) struct Matrix {
    data: Aligned<f32>,
    width: usize,
    stride: usize,
    count: usize,
}

impl Matrix {
    /// The rows of `values`, `width` columns each.
    pub(crate) fn of(values: &[f32], width: usize) -> Self {
        assert!(values.len().is_multiple_of(width), "whole rows");
        let (count, stride) = (values.len() / width, width.next_multiple_of(16));
        let mut data = Aligned::zeroed(count * stride + 16).expect("memory");
        data.as_mut_slice().fill(f32::NAN);
        for (row, from) in data
            .as_mut_slice()
            .chunks_exact_mut(stride)
            .zip(values.chunks_exact(width))
        {
            row[..width].copy_from_slice(from);
        }
        Self {
            data,
            width,
            stride,
            count,
        }
    }

    /// `count` rows to be written: NaN until they are.
    pub(crate) fn empty(count: usize, width: usize) -> Self {
        Self::of(&vec![f32::NAN; count * width], width)
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows {
            pointer: self.data.as_mut_pointer(),
            stride: self.stride,
        }
    }

    /// What the rows hold, without padding.
    pub(crate) fn values(&self) -> Vec<f32> {
        let rows = self.data.as_slice().chunks_exact(self.stride);
        rows.take(self.count)
            .flat_map(|row| row[..self.width].iter().copied())
            .collect()
    }
}

/// Rows of 8-bit activations.
pub(crate) struct QuantMatrix {
    data: Aligned<u8>,
    cols: usize,
}

impl QuantMatrix {
    pub(crate) fn empty(count: usize, cols: usize) -> Self {
        let data = Aligned::zeroed(count * QuantRows::row_bytes(cols)).expect("memory");
        Self { data, cols }
    }

    pub(crate) fn rows(&self) -> QuantRows {
        QuantRows {
            pointer: self.data.as_mut_pointer(),
            cols: self.cols,
        }
    }

    /// Asserts that the rows are `x` rounded by the reference: codes and scales.
    pub(crate) fn assert_rounds(&self, x: &[f32]) {
        let want = ops::activation::reference(x);
        let codes = want.codes.chunks_exact(self.cols);
        let scales = want.scales.chunks_exact(self.cols / 32);
        for (token, (codes, scales)) in codes.zip(scales).enumerate() {
            // SAFETY: the row exists and holds its codes and scales.
            let (got_codes, got_scales) = unsafe {
                let row = self.rows().row(token);
                (
                    std::slice::from_raw_parts(row.codes(), self.cols),
                    std::slice::from_raw_parts(row.scales(), self.cols / 32),
                )
            };
            assert_eq!(got_codes, codes, "codes of row {token}");
            assert_eq!(got_scales, scales, "scales of row {token}");
        }
    }
}

/// An embedding table of pseudo-random weights.
pub(crate) struct Table {
    pub(crate) bytes: Vec<u8>,
    dtype: Dtype,
    rows: usize,
    cols: usize,
}

impl Table {
    pub(crate) fn of(dtype: Dtype, rows: usize, cols: usize) -> Self {
        Self {
            bytes: ops::input::weights(1, dtype, rows * cols),
            dtype,
            rows,
            cols,
        }
    }
}

impl StoredRows for Table {
    fn row(&self, row: usize) -> &[u8] {
        let len = self.bytes.len() / self.rows;
        &self.bytes[row * len..][..len]
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn cols(&self) -> usize {
        self.cols
    }
}

/// A vector of weights, padded to whole vectors with NaN.
pub(crate) fn padded(values: &[f32]) -> Vec<f32> {
    let mut out = values.to_vec();
    out.resize(values.len().next_multiple_of(16), f32::NAN);
    out
}

/// Runs `compute` on every instruction set with 1 and 3 threads, asserts that all give the same bits, and returns them.
pub(crate) fn same_everywhere(
    what: &str,
    mut compute: impl FnMut(Isa, &Pool) -> Vec<f32>,
) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        for isa in Isa::available() {
            let got = compute(isa, &pool);
            let first = first.get_or_insert_with(|| got.clone());
            assert_same_bits(
                &got,
                first,
                &format!("{what}, {} with {threads} threads", isa.name()),
            );
        }
    }
    first.unwrap_or_default()
}

/// Asserts equality bit for bit; the first difference is shown.
pub(crate) fn assert_same_bits(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
    if let Some(i) = got.iter().zip(want).position(differs) {
        panic!("{what}: element {i} is {:e}, not {:e}", got[i], want[i]);
    }
}

/// Asserts that `got` is within `tolerance` of the reference.
pub(crate) fn assert_near(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    let error = ops::relative_error(got, want);
    assert!(error <= tolerance, "{what}: {error:e}");
}
