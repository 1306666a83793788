//! Reads and validates a safetensors file's head.
//!
//! A file is the length of its head (u64, little-endian), the head (a JSON object: tensor name to number format, shape and
//! offsets, and `__metadata__`), and the tensors' bytes. The format forbids holes and overlaps, so together the tensors are
//! exactly the bytes behind the head.
//!
//! This is a parser of our own, because errors must name the tensor and the next step, and because a name that appears twice
//! must be refused: the `safetensors` crate reads the head into a map, where the last one silently wins.
//!
//! # Source
//! The format's description in the README of its repository; limits as in its reference implementation.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::Fault;
use super::{Element, Tensor};
use crate::gguf::{Foreign, Quoted};

/// The format's own limit.
const MAX_HEAD_BYTES: u64 = 100_000_000;
/// Models have up to tens of thousands of tensors, with each expert's matrices apart up to a few hundred thousand.
const MAX_TENSORS: usize = 1 << 20;
const MAX_NAME_BYTES: usize = 4096;
const LEN_BYTES: usize = 8;

/// The tensors of a file, ordered by place. `shard` is what they say of their file.
pub(super) fn read(bytes: &[u8], shard: u32) -> Result<Vec<Tensor>, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    let foreign = |fallback: Fault| match Foreign::recognise(bytes) {
        Foreign::Safetensors | Foreign::Unknown => fallback,
        foreign => Fault::NotSafetensors { foreign },
    };
    let unknown = Fault::NotSafetensors {
        foreign: Foreign::Unknown,
    };
    let Some((len, rest)) = bytes.split_first_chunk::<LEN_BYTES>() else {
        return Err(foreign(unknown));
    };
    if rest.first() != Some(&b'{') {
        return Err(foreign(unknown));
    }
    let len = u64::from_le_bytes(*len);
    let at_most = MAX_HEAD_BYTES.min(rest.len() as u64);
    if len > at_most {
        return Err(Fault::HeadLength {
            len,
            at_most,
            file_len: bytes.len(),
        });
    }
    // At most the rest's length, as just checked.
    let (head, data) = rest.split_at(len as usize);
    let Head(entries) = serde_json::from_slice(head).map_err(|error| Fault::Head {
        reason: Quoted::new(&error.to_string()),
    })?;
    if entries.len() > MAX_TENSORS {
        return Err(Fault::TooMany {
            count: entries.len(),
            limit: MAX_TENSORS,
        });
    }
    let data_start = bytes.len() - data.len();
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        tensors.push(place(&name, &entry, data_start, data.len(), shard)?);
    }
    check_layout(&mut tensors, data_start, data.len())?;
    Ok(tensors)
}

/// One tensor as the head has it.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The head's entries in order; a map would lose one of two equal names.
struct Head<'a>(Vec<(Cow<'a, str>, Entry<'a>)>);

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Head<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Head(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn place(
    name: &str,
    entry: &Entry<'_>,
    data_start: usize,
    data_len: usize,
    shard: u32,
) -> Result<Tensor, Fault> {
    let tensor = || Quoted::new(name);
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Fault::NameLength {
            len: name.len(),
            limit: MAX_NAME_BYTES,
        });
    }
    let element = Element::named(&entry.dtype).ok_or_else(|| Fault::UnknownType {
        tensor: tensor(),
        dtype: Quoted::new(&entry.dtype),
    })?;
    let size = || -> Option<(Box<[usize]>, usize)> {
        let shape: Box<[usize]> = entry
            .shape
            .iter()
            .map(|&dim| usize::try_from(dim).ok())
            .collect::<Option<_>>()?;
        let elements = shape
            .iter()
            .try_fold(1usize, |n, &dim| n.checked_mul(dim))?;
        let bits = elements.checked_mul(element.bits())?;
        bits.is_multiple_of(8).then_some((shape, bits / 8))
    };
    let (shape, len) = size().ok_or_else(|| Fault::Size {
        tensor: tensor(),
        shape: shown_shape(&entry.shape),
    })?;
    let (start, end) = entry.data_offsets;
    if end.checked_sub(start) != Some(len as u64) {
        return Err(Fault::Extent {
            tensor: tensor(),
            start,
            end,
            expected: len,
        });
    }
    if end > data_len as u64 {
        return Err(Fault::OutOfFile {
            tensor: tensor(),
            end,
            data_len,
        });
    }
    Ok(Tensor {
        name: name.into(),
        element,
        shape,
        shard,
        // Within the file, as just checked.
        start: data_start + start as usize,
        len,
    })
}

/// Long shapes are shown by their beginning.
fn shown_shape(shape: &[u64]) -> String {
    match shape.get(..8) {
        Some(first) if shape.len() > 8 => format!("{first:?}... ({} dimensions)", shape.len()),
        _ => format!("{shape:?}"),
    }
}

/// Sorts by place and makes sure that the tensors are exactly the data: no overlap, no hole, nothing behind.
fn check_layout(tensors: &mut [Tensor], data_start: usize, data_len: usize) -> Result<(), Fault> {
    tensors.sort_by_key(|tensor| (tensor.start, tensor.len));
    let offset = |at: usize| (at - data_start) as u64;
    let mut end = data_start;
    let mut last: Option<&Tensor> = None;
    for tensor in tensors.iter() {
        if tensor.start > end {
            return Err(Fault::Hole {
                start: offset(end),
                end: offset(tensor.start),
            });
        }
        if tensor.start < end {
            return Err(Fault::Overlap {
                first: Quoted::new(last.map_or("", |tensor| &tensor.name)),
                second: Quoted::new(&tensor.name),
                at: offset(tensor.start),
            });
        }
        end = tensor.start + tensor.len;
        last = Some(tensor);
    }
    if end != data_start + data_len {
        return Err(Fault::Hole {
            start: offset(end),
            end: data_len as u64,
        });
    }
    Ok(())
}
