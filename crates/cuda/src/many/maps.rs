//! Descriptions of arrays for the copy engine, which brings tiles of them as the tensor cores read them.

use std::mem::MaybeUninit;

use cudarc::driver::sys::{
    CUtensorMap, CUtensorMapDataType_enum as Type, CUtensorMapFloatOOBfill_enum as Fill,
    CUtensorMapInterleave_enum as Interleave, CUtensorMapL2promotion_enum as Promotion,
    CUtensorMapSwizzle_enum as Swizzle, cuTensorMapEncodeTiled,
};

use super::op::TensorMap;
use crate::{CudaError, error::at, op::At, plan::TILE};

/// Rows of `width` values of 16 bits, 64 columns of `at_once` rows at a time.
pub(super) fn rows(
    at: At,
    width: usize,
    rows: usize,
    at_once: usize,
) -> Result<TensorMap, CudaError> {
    let (width, rows) = (width as u64, rows as u64);
    tiled(
        (at, Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16),
        &[width, rows],
        &[2 * width],
        &[64, at_once as u32],
        Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    )
}

/// Panels of weights in bf16 (`kernels/product.cuh`), 64 columns of 32 panels at a time.
pub(super) fn panels(at: At, chunks: usize, panels: usize) -> Result<TensorMap, CudaError> {
    let (chunks, panels) = (chunks as u64, panels as u64);
    tiled(
        (at, Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16),
        &[256, 4, chunks, panels],
        &[512, 2048, 2048 * chunks],
        &[64, 4, 1, 32],
        Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    )
}

/// A cache of `tiles` tiles (`kernels/attend.cuh`), keys or values of `at_once` of them at a time.
pub(super) fn cache(at: At, tiles: usize, at_once: u32) -> Result<TensorMap, CudaError> {
    let tile = TILE as u64;
    let piece = tile * tile * 2;
    tiled(
        (at, Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16),
        &[tile, tile, tiles as u64, 16],
        &[tile * 2, 16 * piece, piece],
        &[TILE as u32, TILE as u32, at_once, 8],
        Swizzle::CU_TENSOR_MAP_SWIZZLE_64B,
    )
}

fn tiled(
    (address, of): (At, Type),
    sizes: &[u64],
    strides: &[u64],
    tile: &[u32],
    swizzle: Swizzle,
) -> Result<TensorMap, CudaError> {
    debug_assert!(strides.len() + 1 == sizes.len() && tile.len() == sizes.len());
    let each = [1u32; 5];
    let mut map = MaybeUninit::<CUtensorMap>::zeroed();
    // SAFETY: sizes, tile and steps have as many numbers as dimensions, strides one less; the driver writes the map and keeps none of the
    // pointers. That the array lies where the map says is for whoever launches a kernel with it.
    let made = unsafe {
        cuTensorMapEncodeTiled(
            map.as_mut_ptr(),
            of,
            sizes.len() as u32,
            address as *mut _,
            sizes.as_ptr(),
            strides.as_ptr(),
            tile.as_ptr(),
            each.as_ptr(),
            Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    made.result().map_err(at("describing an array"))?;
    // SAFETY: all of it was zeroed and then written: 16 numbers of 64 bits.
    let map = unsafe { map.assume_init() };
    Ok(TensorMap(map.opaque))
}
