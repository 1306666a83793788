//! How one tensor of the GGUF file is made from the checkpoint's: which rows in which order, which columns, which change of
//! value, which number format.
//!
//! 1. Every output row knows its source: a permutation is a formula, not a table, so that a recipe costs no memory.
//! 2. Where nothing but the order of rows changes, rows are copied as bytes.
//! 3. Else rows are decoded to f32, changed, and encoded, on several threads, each with its own share of the output.
//!
//! Only the tensor that is being made is in memory.

use formats::gguf::first_non_finite;
use formats::safetensors::Checkpoint;
use ops::{Dtype, delta_gates::softplus};

use super::MakeError;

/// The order of the output's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// As they are.
    Same,
    /// Of each head: from two halves to pairs side by side, as `llama` files have queries and keys.
    Interleaved {
        /// Rows of a head.
        head: usize,
    },
    /// Heads from `from` on: from (key head, repeat) to (repeat, key head).
    Tiled {
        /// Rows before them, which stay.
        from: usize,
        /// The heads.
        heads: Heads,
    },
    /// From groups of fused projections: for each segment in turn, its rows of every group.
    Unfused {
        /// Rows of a group.
        group: usize,
        /// Number of groups.
        groups: usize,
        /// First row and number of rows in a group.
        segments: Vec<(usize, usize)>,
    },
}

/// Value heads in groups that share a key head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// Key heads.
    pub keys: usize,
    /// Value heads of a key head.
    pub repeats: usize,
    /// Rows or columns of a value head.
    pub width: usize,
}

impl Heads {
    /// Where the tiled place `at` was before.
    fn source(self, at: usize) -> usize {
        let (head, inside) = (at / self.width, at % self.width);
        let (repeat, key) = (head / self.keys, head % self.keys);
        (key * self.repeats + repeat) * self.width + inside
    }
}

/// Heads whose leading rows become columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turned {
    /// Rows of a head in the source, of which as many as the output has columns are turned.
    pub group: usize,
    /// Columns of the source, which are a head's rows of the output.
    pub cols: usize,
}

impl Rows {
    fn source(&self, row: usize) -> usize {
        match self {
            Self::Same => row,
            &Self::Interleaved { head } => {
                let inside = row % head;
                row - inside + inside % 2 * (head / 2) + inside / 2
            }
            &Self::Tiled { from, heads } => match row.checked_sub(from) {
                None => row,
                Some(row) => from + heads.source(row),
            },
            Self::Unfused {
                group,
                groups,
                segments,
            } => {
                let mut left = row;
                for &(first, rows) in segments {
                    if left < rows * groups {
                        return left / rows * group + first + left % rows;
                    }
                    left -= rows * groups;
                }
                usize::MAX
            }
        }
    }
}

/// A change of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// A norm's weight that is stored as the difference from 1.
    PlusOne,
    /// A decay rate that is stored as its logarithm: -exp(x).
    NegativeExponential,
    /// The RG-LRU's parameter: the logarithm of what stays where the gate is open, -8 softplus(x).
    DecayLogarithm,
}

impl Change {
    fn of(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::PlusOne => x + 1.0,
            Self::NegativeExponential => -f64::from(x).exp() as f32,
            Self::DecayLogarithm => (-8.0 * softplus(f64::from(x))) as f32,
        }
    }
}

/// Where a tensor's weights come from.
#[derive(Clone, Debug)]
pub(super) enum Making {
    /// From the checkpoint's tensors.
    Rows(Recipe),
    /// They follow from the configuration; f32.
    Values(Vec<f32>),
}

impl Making {
    /// The tensor's bytes.
    pub(super) fn make(
        &self,
        checkpoint: &Checkpoint,
        threads: usize,
    ) -> Result<Vec<u8>, MakeError> {
        match self {
            Self::Rows(recipe) => recipe.make(checkpoint, threads),
            Self::Values(values) if values.iter().all(|x| x.is_finite()) => {
                Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            Self::Values(_) => Err(MakeError::NotFinite),
        }
    }
}

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Tensors of the checkpoint by position, in equal shapes; their rows follow each other.
    pub sources: Vec<usize>,
    /// The format of all of them.
    pub from: Dtype,
    /// Output rows, and the weights in each.
    pub rows: usize,
    pub cols: usize,
    pub order: Rows,
    /// The order of columns, where it changes.
    pub columns: Option<Heads>,
    /// Where rows and columns change places; their order stays then.
    pub turned: Option<Turned>,
    pub change: Change,
    pub to: Dtype,
}

/// Rows are decoded and encoded in batches of about so many weights.
const BATCH_WEIGHTS: usize = 1 << 14;
/// Below so many weights a second thread costs more than it saves.
const THREAD_WEIGHTS: usize = 1 << 16;

impl Recipe {
    /// The tensor's bytes.
    pub(super) fn make(
        &self,
        checkpoint: &Checkpoint,
        threads: usize,
    ) -> Result<Vec<u8>, MakeError> {
        let source = self.source(checkpoint)?;
        let weights = self.rows.checked_mul(self.cols).ok_or(MakeError::Recipe)?;
        let row_bytes = self.to.bytes_for(self.cols);
        let bytes = self.to.bytes_for(weights).ok_or(MakeError::Recipe)?;
        let mut out = Vec::new();
        out.try_reserve_exact(bytes)
            .map_err(|_| MakeError::Memory { bytes })?;
        out.resize(bytes, 0);
        let Some(row_bytes) = row_bytes.filter(|&len| len > 0) else {
            return Err(MakeError::Recipe);
        };
        let share = match weights / THREAD_WEIGHTS {
            0 | 1 => self.rows,
            most => self.rows.div_ceil(threads.clamp(1, most)),
        };
        let work =
            |(index, out): (usize, &mut [u8])| self.part(&source, index * share, row_bytes, out);
        let parts = out.chunks_mut(share.max(1) * row_bytes).enumerate();
        kernels::in_turns(self.rows.div_ceil(share.max(1)), parts, work)?;
        Ok(out)
    }

    fn source<'a>(&self, checkpoint: &'a Checkpoint) -> Result<Source<'a>, MakeError> {
        let cols = self.turned.map_or(self.cols, |turned| turned.cols);
        let row_bytes = self.from.bytes_for(cols).filter(|&len| len > 0);
        let row_bytes = row_bytes.ok_or(MakeError::Recipe)?;
        let mut parts = Vec::with_capacity(self.sources.len());
        for &index in &self.sources {
            let tensor = checkpoint.tensors().get(index).ok_or(MakeError::Recipe)?;
            parts.push(checkpoint.bytes(tensor));
        }
        let rows = parts.first().map_or(0, |part| part.len() / row_bytes);
        Ok(Source {
            parts,
            rows,
            row_bytes,
        })
    }

    /// Makes the rows from `first` on that fill `out`.
    fn part(
        &self,
        source: &Source<'_>,
        first: usize,
        row_bytes: usize,
        out: &mut [u8],
    ) -> Result<(), MakeError> {
        let in_rows = self.columns.is_none() && self.turned.is_none();
        let as_bytes = self.from == self.to && in_rows && self.change == Change::None;
        if as_bytes {
            for (row, out) in (first..).zip(out.chunks_exact_mut(row_bytes)) {
                let row = source
                    .row(self.order.source(row))
                    .ok_or(MakeError::Recipe)?;
                out.copy_from_slice(row);
            }
            return match first_non_finite(self.to, out) {
                None => Ok(()),
                Some(_) => Err(MakeError::NotFinite),
            };
        }
        let batch = (BATCH_WEIGHTS / self.cols).max(1);
        let mut decoded = vec![0.0; self.cols];
        let mut head = (usize::MAX, Vec::new());
        let mut values = Vec::with_capacity(batch * self.cols);
        let mut encoded = Vec::new();
        for (index, out) in out.chunks_mut(batch * row_bytes).enumerate() {
            values.clear();
            let first = first + index * batch;
            for row in first..first + out.len() / row_bytes {
                if let Some(turned) = self.turned {
                    self.turn(source, turned, row, &mut head, &mut values)?;
                    continue;
                }
                let row = source
                    .row(self.order.source(row))
                    .ok_or(MakeError::Recipe)?;
                ops::dequantize::dequantize(self.from, row, &mut decoded)
                    .map_err(|_| MakeError::Recipe)?;
                values.extend((0..self.cols).map(|at| {
                    let at = self.columns.map_or(at, |heads| heads.source(at));
                    self.change.of(decoded[at])
                }));
            }
            if !values.iter().all(|x| x.is_finite()) {
                return Err(MakeError::NotFinite);
            }
            encoded.clear();
            let dtype = self.to;
            ops::encode::encode(dtype, &values, &mut encoded).map_err(|error| {
                let reason = error.to_string();
                MakeError::Encode { dtype, reason }
            })?;
            if encoded.len() != out.len() {
                return Err(MakeError::Recipe);
            }
            out.copy_from_slice(&encoded);
        }
        Ok(())
    }

    /// Adds row `row` of turned heads to `values`; `head` is the head decoded last, and its rows.
    fn turn(
        &self,
        source: &Source<'_>,
        Turned { group, cols }: Turned,
        row: usize,
        head: &mut (usize, Vec<f32>),
        values: &mut Vec<f32>,
    ) -> Result<(), MakeError> {
        let wanted = row.checked_div(cols).ok_or(MakeError::Recipe)?;
        if head.0 != wanted {
            head.1.resize(self.cols * cols, 0.0);
            for (i, to) in head.1.chunks_exact_mut(cols).enumerate() {
                let row = source.row(wanted * group + i).ok_or(MakeError::Recipe)?;
                ops::dequantize::dequantize(self.from, row, to).map_err(|_| MakeError::Recipe)?;
            }
            head.0 = wanted;
        }
        let column = head.1.iter().skip(row % cols).step_by(cols);
        values.extend(column.map(|&x| self.change.of(x)));
        Ok(())
    }
}

/// The rows of all source tensors, one after another.
struct Source<'a> {
    parts: Vec<&'a [u8]>,
    /// Rows of each.
    rows: usize,
    row_bytes: usize,
}

impl<'a> Source<'a> {
    fn row(&self, row: usize) -> Option<&'a [u8]> {
        let part = self.parts.get(row.checked_div(self.rows)?)?;
        let start = (row % self.rows) * self.row_bytes;
        part.get(start..start.checked_add(self.row_bytes)?)
    }
}

#[cfg(test)]
mod tests;
