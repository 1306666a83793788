//! Packing refuses what is not finite or does not fit; that it is right is proven by the products' tests.

use ops::Dtype;

use super::{PackError, PackedMatrix, StoredMatrix};
use crate::memory::{Arena, Pages};

fn pack(dtype: Dtype, rows: usize, cols: usize, bytes: &[u8]) -> Result<PackedMatrix, PackError> {
    PackedMatrix::pack(
        StoredMatrix {
            dtype,
            rows,
            cols,
            bytes,
        },
        rows,
        &|r| r,
        2,
        &mut Arena::new(Pages::Huge),
        &mut |_| {},
    )
}

#[test]
fn a_scale_that_is_not_finite_is_named() {
    let (rows, cols) = (40, 64);
    let mut bytes = ops::input::weights(1, Dtype::Q4_0, rows * cols);
    let block = 33 * 2 + 1;
    bytes[block * 18..][..2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    assert_eq!(
        pack(Dtype::Q4_0, rows, cols, &bytes).err(),
        Some(PackError::NotFinite { row: 33, col: 32 })
    );
}

#[test]
fn a_float_that_is_not_finite_is_named() {
    let mut bytes = ops::input::weights(1, Dtype::F16, 4 * 8);
    bytes[2 * (2 * 8 + 5)..][..2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    assert_eq!(
        pack(Dtype::F16, 4, 8, &bytes).err(),
        Some(PackError::NotFinite { row: 2, col: 5 })
    );
}

#[test]
fn bytes_that_do_not_fit_are_refused() {
    let bytes = ops::input::weights(1, Dtype::Q8_0, 64);
    assert!(matches!(
        pack(Dtype::Q8_0, 3, 32, &bytes),
        Err(PackError::Shape(_))
    ));
    assert!(matches!(
        pack(Dtype::Q8_0, 4, 16, &bytes),
        Err(PackError::Shape(_))
    ));
}

#[test]
fn sizes_are_those_of_the_file_but_for_byte_sized_scales() {
    for dtype in Dtype::ALL {
        let (rows, cols) = (32, 512);
        let bytes = ops::input::weights(1, dtype, rows * cols);
        let packed = pack(dtype, rows, cols, &bytes)
            .expect("valid weights")
            .bytes();
        match dtype {
            Dtype::Q4K | Dtype::Q5K => assert_eq!(packed - bytes.len(), rows * cols / 256 * 4),
            _ => assert_eq!(packed, bytes.len(), "{dtype}"),
        }
    }
}

/// Bytes on a cache line, as a map has them.
struct Kept(crate::memory::Aligned<u8>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

#[test]
fn kept_bytes_are_taken_where_they_are_this_matrix() {
    let (rows, cols) = (80, 64);
    let bytes = ops::input::weights(1, Dtype::Q4_0, rows * cols);
    let packed = pack(Dtype::Q4_0, rows, cols, &bytes).unwrap();
    let mut copy = crate::memory::Aligned::zeroed(packed.packed_bytes().len()).unwrap();
    copy.as_mut_slice().copy_from_slice(packed.packed_bytes());
    let lender: std::sync::Arc<dyn crate::memory::Lender> = std::sync::Arc::new(Kept(copy));
    let kept = |rows: usize, bytes: &[u8], is_copied: bool| {
        let mut arena = Arena::new(Pages::Huge);
        let stored = StoredMatrix {
            dtype: Dtype::Q4_0,
            rows,
            cols,
            bytes,
        };
        let copy = is_copied.then_some((2, &mut arena));
        PackedMatrix::kept(stored, rows, &|r| r, &lender, copy, &mut |_| {})
    };
    for is_copied in [true, false] {
        let again = kept(rows, &bytes, is_copied).unwrap();
        assert_eq!(again.packed_bytes(), packed.packed_bytes());
        let other = ops::input::weights(2, Dtype::Q4_0, rows * cols);
        assert_eq!(kept(rows, &other, is_copied).err(), Some(PackError::Kept));
        let fewer = &bytes[..bytes.len() / 5];
        assert_eq!(
            kept(rows / 5, fewer, is_copied).err(),
            Some(PackError::Kept)
        );
    }
}
