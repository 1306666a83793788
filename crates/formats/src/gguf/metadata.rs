//! The file's metadata: keys in file order, looked up by binary search, read through typed getters.
//!
//! A getter's error names the file, the key, the type that was expected and what was found. The `opt_` form
//! answers `None` for a key that is absent, and still fails for one that holds something else.

use std::borrow::Cow;

use super::error::{Fault, Field, GgufError, Origin, Quoted};
use super::storage::TextArray;
use super::value::{Array, Value};

/// The metadata of one file.
#[derive(Clone, Debug)]
pub struct Metadata {
    origin: Origin,
    entries: Vec<(Box<str>, Value)>,
    // Indices of `entries`, sorted by key.
    by_key: Vec<u32>,
}

impl Metadata {
    /// Fails on a key that appears twice.
    pub(super) fn new(origin: Origin, entries: Vec<(Box<str>, Value)>) -> Result<Self, Fault> {
        // The parser reads far fewer than `u32::MAX` pairs.
        let mut by_key: Vec<u32> = (0u32..).take(entries.len()).collect();
        by_key.sort_unstable_by_key(|&index| &entries[index as usize].0);
        let twice = by_key
            .windows(2)
            .find(|pair| entries[pair[0] as usize].0 == entries[pair[1] as usize].0);
        if let Some(pair) = twice {
            return Err(Fault::DuplicateKey {
                key: Quoted::new(&entries[pair[0] as usize].0),
            });
        }
        Ok(Self {
            origin,
            entries,
            by_key,
        })
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + '_ {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self
            .by_key
            .binary_search_by(|&index| (*self.entries[index as usize].0).cmp(key))
            .ok()?;
        Some(&self.entries[self.by_key[found] as usize].1)
    }

    /// A string that must be UTF-8; for other strings see [`Value::as_text`].
    ///
    /// # Errors
    /// When the key is missing, holds something else, or its bytes are not UTF-8.
    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.required(key, STRING, self.opt_str(key)?)
    }

    /// As [`Self::str`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else, or its bytes are not UTF-8.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        let Some(text) = self.optional(key, STRING, Value::as_text)? else {
            return Ok(None);
        };
        text.str().map(Some).map_err(|error| {
            let fault = Fault::NotUtf8 {
                field: Field::Value(Quoted::new(key)),
                at: error.valid_up_to(),
            };
            GgufError::new(&self.origin, fault)
        })
    }

    /// An integer of any type that fits u32.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        self.required(key, U32, self.opt_u32(key)?)
    }

    /// As [`Self::u32`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.optional(key, U32, fitting_integer)
    }

    /// An integer of any type that fits u64.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.required(key, U64, self.opt_u64(key)?)
    }

    /// As [`Self::u64`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.optional(key, U64, fitting_integer)
    }

    /// A count: an integer of any type that fits usize.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn usize(&self, key: &str) -> Result<usize, GgufError> {
        self.required(key, COUNT, self.opt_usize(key)?)
    }

    /// As [`Self::usize`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_usize(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.optional(key, COUNT, fitting_integer)
    }

    /// A float; an f64 is rounded.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.required(key, FLOAT, self.opt_f32(key)?)
    }

    /// As [`Self::f32`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.optional(key, FLOAT, Value::as_f32)
    }

    /// A boolean.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.required(key, BOOL, self.opt_bool(key)?)
    }

    /// As [`Self::bool`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.optional(key, BOOL, Value::as_bool)
    }

    /// An array of strings, which need not be UTF-8.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn strs(&self, key: &str) -> Result<&TextArray, GgufError> {
        self.required(key, STRINGS, self.opt_strs(key)?)
    }

    /// As [`Self::strs`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_strs(&self, key: &str) -> Result<Option<&TextArray>, GgufError> {
        self.optional(key, STRINGS, |value| value.as_array()?.as_texts())
    }

    /// An array of f32.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn f32s(&self, key: &str) -> Result<&[f32], GgufError> {
        self.required(key, FLOATS, self.opt_f32s(key)?)
    }

    /// As [`Self::f32s`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_f32s(&self, key: &str) -> Result<Option<&[f32]>, GgufError> {
        self.optional(key, FLOATS, |value| value.as_array()?.as_f32s())
    }

    /// An array of integers that fit i32; borrowed when the file has them as i32.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn i32s(&self, key: &str) -> Result<Cow<'_, [i32]>, GgufError> {
        self.required(key, I32S, self.opt_i32s(key)?)
    }

    /// As [`Self::i32s`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_i32s(&self, key: &str) -> Result<Option<Cow<'_, [i32]>>, GgufError> {
        self.optional(key, I32S, |value| value.as_array()?.as_i32s())
    }

    /// An array of integers that fit u32; borrowed when the file has them as u32.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn u32s(&self, key: &str) -> Result<Cow<'_, [u32]>, GgufError> {
        self.required(key, U32S, self.opt_u32s(key)?)
    }

    /// As [`Self::u32s`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_u32s(&self, key: &str) -> Result<Option<Cow<'_, [u32]>>, GgufError> {
        self.optional(key, U32S, |value| value.as_array()?.as_u32s())
    }

    /// An array of booleans.
    ///
    /// # Errors
    /// When the key is missing, or holds something else.
    pub fn bools(&self, key: &str) -> Result<&[bool], GgufError> {
        self.required(key, BOOLS, self.opt_bools(key)?)
    }

    /// As [`Self::bools`], `None` when the key is missing.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn opt_bools(&self, key: &str) -> Result<Option<&[bool]>, GgufError> {
        self.optional(key, BOOLS, |value| value.as_array()?.as_bools())
    }

    fn optional<'a, T: 'a>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        convert(value).map(Some).ok_or_else(|| {
            let fault = Fault::WrongType {
                key: Quoted::new(key),
                expected,
                found: describe(value),
            };
            GgufError::new(&self.origin, fault)
        })
    }

    fn required<T>(
        &self,
        key: &str,
        expected: &'static str,
        value: Option<T>,
    ) -> Result<T, GgufError> {
        value.ok_or_else(|| {
            GgufError::new(
                &self.origin,
                Fault::MissingKey {
                    key: Quoted::new(key),
                    expected,
                },
            )
        })
    }
}

const STRING: &str = "a string";
const U32: &str = "an integer from 0 to 4294967295";
const U64: &str = "an integer from 0 to 18446744073709551615";
const COUNT: &str = "a count";
const FLOAT: &str = "a float";
const BOOL: &str = "a boolean";
const STRINGS: &str = "an array of strings";
const FLOATS: &str = "an array of f32";
const I32S: &str = "an array of integers that fit i32";
const U32S: &str = "an array of integers that fit u32";
const BOOLS: &str = "an array of booleans";

fn fitting_integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    T::try_from(value.as_integer()?).ok()
}

fn describe(value: &Value) -> String {
    match value {
        Value::Array(array) => array_name(array),
        scalar => format!("the {} {scalar}", scalar.value_type().name()),
    }
}

fn array_name(array: &Array) -> String {
    format!(
        "an array of {} {}",
        array.len(),
        array.element_type().name()
    )
}
