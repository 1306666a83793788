//! Reads a GGUF file's head: header, metadata, tensor table.
//!
//! 1. The header gives the version and two counts. A count is checked against the bytes that are left before
//!    anything is allocated for it.
//! 2. Each metadata pair is a key, a type and a value. Numbers of arrays are decoded (never more bytes than they
//!    take in the file), strings are stepped over and remembered by place.
//! 3. Each tensor entry is a name, dimensions, a type and an offset; `layout` then places it in the file.
//!
//! The bytes of the tensors are not touched, so opening costs the same for any size of model.
//!
//! # Source
//! The GGUF specification (ggml repository, `docs/gguf.md`), versions 2 and 3, which are alike in little-endian
//! files. Stricter than that text: names are unique and not empty, arrays are flat, tensors have 1 to 4 non-empty dimensions.

use std::sync::Arc;

use super::error::{Fault, Field, Origin, Quoted};
use super::foreign::Foreign;
use super::layout::{self, Entry};
use super::metadata::Metadata;
use super::reader::{Reader, Short};
use super::storage::{Storage, Text, TextArray};
use super::tensor::{TensorInfo, TensorType};
use super::value::{Array, Value, ValueType};

pub(super) const MAGIC: [u8; 4] = *b"GGUF";
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";
pub(super) const DEFAULT_ALIGNMENT: u32 = 32;

/// Longest key (the specification's limit) and longest tensor name.
const MAX_NAME_BYTES: u64 = 65_535;
/// Models have tens to hundreds of keys, and up to tens of thousands of tensors. The limits bound what a hostile
/// file can make this parser allocate beyond the file's own size.
const MAX_PAIRS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 18;
/// The least bytes of a metadata pair: key length, a one-byte key, type, a one-byte value.
const MIN_PAIR_BYTES: usize = 8 + 1 + 4 + 1;
/// The least bytes of a tensor entry: name length, a one-byte name, dimension count, one dimension, type, offset.
const MIN_ENTRY_BYTES: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// A validated head.
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) alignment: usize,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
}

/// `file_len` is more than the bytes at hand where tensors are made when they are asked for.
pub(super) fn head(
    storage: &Arc<Storage>,
    origin: &Origin,
    file_len: usize,
) -> Result<Head, Fault> {
    let bytes = storage.bytes();
    let mut reader = Reader::new(bytes);
    let version = version(bytes, &mut reader)?;
    let tensor_count = reader
        .u64()
        .map_err(|short| short.within(Field::Header("tensor count")))?;
    let pair_count = reader
        .u64()
        .map_err(|short| short.within(Field::Header("metadata count")))?;
    check_count(
        &reader,
        Field::Header("metadata count"),
        pair_count,
        MIN_PAIR_BYTES,
    )?;
    check_limit(Field::Header("metadata count"), pair_count, MAX_PAIRS)?;
    check_count(
        &reader,
        Field::Header("tensor count"),
        tensor_count,
        MIN_ENTRY_BYTES,
    )?;
    check_limit(Field::Header("tensor count"), tensor_count, MAX_TENSORS)?;

    let mut pairs = Vec::new();
    for index in 0..pair_count {
        pairs.push(pair(&mut reader, storage, index)?);
    }
    let metadata = Metadata::new(origin.clone(), pairs)?;
    let alignment = alignment(&metadata)?;

    let mut entries = Vec::new();
    for index in 0..tensor_count {
        entries.push(tensor_entry(&mut reader, index)?);
    }
    let tensors = layout::place(entries, reader.at(), alignment, file_len)?;
    Ok(Head {
        version,
        alignment,
        metadata,
        tensors,
    })
}

fn version(bytes: &[u8], reader: &mut Reader<'_>) -> Result<u32, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        return Err(Fault::NotGguf {
            start: start.to_vec(),
            foreign: Foreign::recognise(bytes),
        });
    }
    reader
        .array::<4>()
        .map_err(|short| short.within(Field::Header("magic")))?;
    let version = reader
        .u32()
        .map_err(|short| short.within(Field::Header("version")))?;
    match version {
        2 | 3 => Ok(version),
        0 | 1 => Err(Fault::OldVersion { version }),
        // A small number in the other byte order has its lower half empty.
        _ if version & 0xFFFF == 0 => Err(Fault::BigEndian {
            version: version.swap_bytes(),
        }),
        _ => Err(Fault::NewVersion { version }),
    }
}

fn check_count(
    reader: &Reader<'_>,
    field: Field,
    count: u64,
    min_bytes: usize,
) -> Result<(), Fault> {
    let left = reader.left();
    let at_most = (left / min_bytes) as u64;
    if count > at_most {
        return Err(Fault::CountBeyondFile {
            field,
            count,
            at_most,
            left,
        });
    }
    Ok(())
}

fn check_limit(field: Field, count: u64, limit: u64) -> Result<(), Fault> {
    if count > limit {
        return Err(Fault::TooMany {
            field,
            count,
            limit,
        });
    }
    Ok(())
}

/// A key or a tensor name: short, and UTF-8.
fn name(reader: &mut Reader<'_>, field: impl Fn(&'static str) -> Field) -> Result<Box<str>, Fault> {
    let len = reader
        .u64()
        .map_err(|short| short.within(field("name's length")))?;
    if len == 0 {
        return Err(Fault::EmptyName {
            field: field("name"),
        });
    }
    if len > MAX_NAME_BYTES {
        return Err(Fault::NameTooLong {
            field: field("name"),
            len,
            limit: MAX_NAME_BYTES,
        });
    }
    let bytes = reader
        .take(len)
        .map_err(|short| short.within(field("name")))?;
    let text = str::from_utf8(bytes).map_err(|error| Fault::NotUtf8 {
        field: field("name"),
        at: error.valid_up_to(),
    })?;
    Ok(text.into())
}

fn pair(
    reader: &mut Reader<'_>,
    storage: &Arc<Storage>,
    index: u64,
) -> Result<(Box<str>, Value), Fault> {
    let key = name(reader, |part| Field::Pair { index, part })?;
    let short = |short: Short| short.within(Field::Value(Quoted::new(&key)));
    let value_type = value_type(reader.u32().map_err(short)?, &key)?;
    let value = match value_type {
        ValueType::U8 => Value::U8(u8::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::U32 => Value::U32(reader.u32().map_err(short)?),
        ValueType::I32 => Value::I32(i32::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::U64 => Value::U64(reader.u64().map_err(short)?),
        ValueType::I64 => Value::I64(i64::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(reader.array().map_err(short)?)),
        ValueType::Bool => Value::Bool(boolean(reader.array::<1>().map_err(short)?[0], &key)?),
        ValueType::Str => Value::Str(Text::new(storage, reader.string().map_err(short)?)),
        ValueType::Array => Value::Array(array(reader, storage, &key)?),
    };
    Ok((key, value))
}

fn value_type(id: u32, key: &str) -> Result<ValueType, Fault> {
    ValueType::from_id(id).ok_or_else(|| Fault::UnknownValueType {
        key: Quoted::new(key),
        id,
    })
}

fn boolean(byte: u8, key: &str) -> Result<bool, Fault> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::BadBool {
            key: Quoted::new(key),
            byte,
        }),
    }
}

fn array(reader: &mut Reader<'_>, storage: &Arc<Storage>, key: &str) -> Result<Array, Fault> {
    let field = || Field::Value(Quoted::new(key));
    let element_type = value_type(reader.u32().map_err(|short| short.within(field()))?, key)?;
    if element_type == ValueType::Array {
        return Err(Fault::NestedArray {
            key: Quoted::new(key),
        });
    }
    let count = reader.u64().map_err(|short| short.within(field()))?;
    check_count(reader, field(), count, element_type.min_bytes())?;
    if element_type == ValueType::Str {
        return strings(reader, storage, count).map_err(|short| short.within(field()));
    }
    // At most the bytes left in the file, as just checked; so this does not overflow.
    let bytes = reader
        .take(count * element_type.min_bytes() as u64)
        .map_err(|short| short.within(field()))?;
    Ok(match element_type {
        ValueType::U8 => Array::U8(bytes.to_vec()),
        ValueType::I8 => Array::I8(numbers(bytes, i8::from_le_bytes)),
        ValueType::U16 => Array::U16(numbers(bytes, u16::from_le_bytes)),
        ValueType::I16 => Array::I16(numbers(bytes, i16::from_le_bytes)),
        ValueType::U32 => Array::U32(numbers(bytes, u32::from_le_bytes)),
        ValueType::I32 => Array::I32(numbers(bytes, i32::from_le_bytes)),
        ValueType::U64 => Array::U64(numbers(bytes, u64::from_le_bytes)),
        ValueType::I64 => Array::I64(numbers(bytes, i64::from_le_bytes)),
        ValueType::F32 => Array::F32(numbers(bytes, f32::from_le_bytes)),
        ValueType::F64 => Array::F64(numbers(bytes, f64::from_le_bytes)),
        ValueType::Bool => Array::Bool(
            bytes
                .iter()
                .map(|&byte| boolean(byte, key))
                .collect::<Result<_, Fault>>()?,
        ),
        // Both were dealt with above.
        ValueType::Str | ValueType::Array => {
            return Err(Fault::NestedArray {
                key: Quoted::new(key),
            });
        }
    })
}

/// Decodes a whole number of `N`-byte numbers.
fn numbers<const N: usize, T>(bytes: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|&chunk| decode(chunk))
        .collect()
}

fn strings(reader: &mut Reader<'_>, storage: &Arc<Storage>, count: u64) -> Result<Array, Short> {
    // Each string takes at least the 8 bytes of its length, so these are no more bytes than the file has left.
    let mut starts = Vec::with_capacity(usize::try_from(count).unwrap_or(0) + 1);
    starts.push(reader.at());
    for _ in 0..count {
        starts.push(reader.string()?.end);
    }
    Ok(Array::Str(TextArray::new(storage, starts)))
}

fn alignment(metadata: &Metadata) -> Result<usize, Fault> {
    let value = match metadata.get(ALIGNMENT_KEY) {
        None => return Ok(DEFAULT_ALIGNMENT as usize),
        Some(&Value::U32(value)) => value,
        Some(other) => {
            return Err(Fault::BadAlignment {
                found: format!("{} of type {}", other, other.value_type().name()),
            });
        }
    };
    match usize::try_from(value) {
        Ok(alignment) if alignment.is_power_of_two() => Ok(alignment),
        _ => Err(Fault::BadAlignment {
            found: value.to_string(),
        }),
    }
}

fn tensor_entry(reader: &mut Reader<'_>, index: u64) -> Result<Entry, Fault> {
    let name = name(reader, |part| Field::TensorEntry { index, part })?;
    let within = |part| {
        move |short: Short, name: &str| {
            short.within(Field::Tensor {
                tensor: Quoted::new(name),
                part,
            })
        }
    };
    let n_dims = reader
        .u32()
        .map_err(|short| within("dimension count")(short, &name))?;
    if n_dims == 0 || n_dims as usize > super::tensor::MAX_DIMS {
        return Err(Fault::BadDims {
            tensor: Quoted::new(&name),
            dims: n_dims,
        });
    }
    let mut dims = Vec::with_capacity(n_dims as usize);
    for _ in 0..n_dims {
        dims.push(
            reader
                .u64()
                .map_err(|short| within("shape")(short, &name))?,
        );
    }
    let type_id = reader.u32().map_err(|short| within("type")(short, &name))?;
    let offset = reader
        .u64()
        .map_err(|short| within("offset")(short, &name))?;
    Ok(Entry {
        name,
        tensor_type: TensorType::from_id(type_id),
        dims,
        offset,
    })
}
