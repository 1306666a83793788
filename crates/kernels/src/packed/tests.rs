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
