//! Places the tensors of the table in the file and checks that they fit.
//!
//! The data section starts at the first multiple of the alignment after the table. Every tensor starts at a
//! multiple of the alignment from there, consists of whole blocks, ends within the file, and shares no byte with
//! another. Gaps are allowed. A tensor whose format has no known size is taken to be one byte long.

use super::error::{Fault, Quoted};
use super::tensor::{MAX_DIMS, TensorInfo, TensorType};

/// A table entry as the file has it.
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) tensor_type: TensorType,
    /// 1 to 4 dimensions, the contiguous one first.
    pub(super) dims: Vec<u64>,
    /// From the start of the data section.
    pub(super) offset: u64,
}

/// Validates every entry. `table_end` is the offset of the byte after the table, `alignment` a power of two.
pub(super) fn place(
    entries: Vec<Entry>,
    table_end: usize,
    alignment: usize,
    file_len: usize,
) -> Result<Vec<TensorInfo>, Fault> {
    let mut tensors = Vec::with_capacity(entries.len());
    for entry in entries {
        tensors.push(place_one(entry, table_end, alignment, file_len)?);
    }
    check_overlap(&tensors)?;
    Ok(tensors)
}

fn place_one(
    entry: Entry,
    table_end: usize,
    alignment: usize,
    file_len: usize,
) -> Result<TensorInfo, Fault> {
    let tensor = || Quoted::new(&entry.name);
    if entry.dims.contains(&0) {
        return Err(Fault::EmptyTensor {
            tensor: tensor(),
            shape: entry.dims.clone(),
        });
    }
    if !entry.offset.is_multiple_of(alignment as u64) {
        return Err(Fault::Misaligned {
            tensor: tensor(),
            offset: entry.offset,
            alignment: alignment as u64,
        });
    }
    if let Some(block) = entry.tensor_type.block() {
        let block_len = block.len as u64;
        if !entry.dims[0].is_multiple_of(block_len) {
            let name = entry.tensor_type.name();
            return Err(Fault::PartialBlock {
                tensor: tensor(),
                row_len: entry.dims[0],
                name,
                block_len,
            });
        }
    }
    let extent = extent(&entry, table_end, alignment).ok_or_else(|| Fault::TensorOverflow {
        tensor: tensor(),
        shape: entry.dims.clone(),
        offset: entry.offset,
    })?;
    if extent.end > file_len {
        return Err(Fault::OutOfFile {
            tensor: tensor(),
            end: extent.end as u64,
            file_len,
        });
    }
    let mut dims = [1; MAX_DIMS];
    dims[..extent.dims.len()].copy_from_slice(&extent.dims);
    Ok(TensorInfo {
        name: entry.name,
        tensor_type: entry.tensor_type,
        dims,
        n_dims: extent.dims.len(),
        start: extent.start,
        len: extent.len,
    })
}

struct Extent {
    dims: Vec<usize>,
    start: usize,
    end: usize,
    len: Option<usize>,
}

/// `None` when a product or a sum overflows.
fn extent(entry: &Entry, table_end: usize, alignment: usize) -> Option<Extent> {
    let data_start = table_end.checked_next_multiple_of(alignment)?;
    let start = data_start.checked_add(usize::try_from(entry.offset).ok()?)?;
    let dims: Vec<usize> = entry
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect::<Option<_>>()?;
    let elements = dims
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    let len = match entry.tensor_type.block() {
        Some(block) => Some((elements / block.len).checked_mul(block.bytes)?),
        None => None,
    };
    let end = start.checked_add(len.unwrap_or(1))?;
    Some(Extent {
        dims,
        start,
        end,
        len,
    })
}

fn check_overlap(tensors: &[TensorInfo]) -> Result<(), Fault> {
    let mut by_start: Vec<&TensorInfo> = tensors.iter().collect();
    by_start.sort_unstable_by_key(|tensor| tensor.start);
    for pair in by_start.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if first.start + first.len.unwrap_or(1) > second.start {
            let (first, at) = (Quoted::new(&first.name), second.start);
            return Err(Fault::Overlap {
                first,
                second: Quoted::new(&second.name),
                at,
            });
        }
    }
    Ok(())
}
