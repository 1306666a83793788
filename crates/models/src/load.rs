//! Taking weights from a file into a program: names, shapes, permutations, packing.

mod places;

use std::{collections::HashSet, sync::Arc};

use formats::{
    gguf::{Gguf, TensorInfo, first_non_finite},
    packed::{PackedFile, PackedWriter},
};
use kernels::{
    PackError, PackedMatrix, StoredMatrix, StoredRows,
    memory::{Arena, Pages},
    program::{MatrixId, ProgramBuilder, VectorId},
};
use ops::{Dtype, causal_conv::TAPS};

use self::places::{Fault, Places};
use crate::{Config, ModelError, config::file_name};

/// Whether weights are packed, sent elsewhere, or only described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    Packed { threads: usize, pages: Pages },
    Sent,
    Hollow,
}

/// Another device, which takes the matrices of a program as they lie in the file.
pub trait Matrices {
    /// Takes matrix `index` of the program: `rows` rows of `stored`, by `map`.
    ///
    /// # Errors
    /// It did not take it, and knows why.
    fn take(
        &mut self,
        index: usize,
        stored: StoredMatrix<'_>,
        rows: usize,
        map: RowMap<'_>,
    ) -> Result<(), NotTaken>;
}

/// A matrix was not taken; whoever should have has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken;

/// What was packed before, or is packed to be kept.
pub(crate) enum Kept {
    /// Nothing.
    Nothing,
    /// Matrices to be copied into memory, in the order of packing.
    Copied(PackedFile),
    /// Matrices to be used where they lie.
    Lent(PackedFile),
    /// Matrices go there as they are packed, and are used where they then lie.
    Written(PackedWriter),
}

/// The file, the program that grows, and how far loading is.
pub(crate) struct Loader<'a> {
    pub gguf: Arc<Gguf>,
    pub program: ProgramBuilder,
    weights: Weights,
    kept: Kept,
    /// Matrices so far.
    packed: usize,
    arena: Arena,
    loaded: u64,
    taken: HashSet<String>,
    /// Of a derived file: the embedding table, which some programs end with too.
    table: Option<Arc<Vec<u8>>>,
    /// Of a derived file: the tensor made last. Rows of one are taken in several turns, one behind the other.
    last: Option<(String, Arc<Vec<u8>>)>,
    progress: &'a mut dyn FnMut(u64),
    /// Where weights that are sent go.
    pub elsewhere: Option<&'a mut dyn Matrices>,
}

const TABLE: &str = "token_embd.weight";

/// Row `r` of a packed matrix is row `map(r)` of the file's.
pub type RowMap<'m> = &'m (dyn Fn(usize) -> usize + Sync);

impl<'a> Loader<'a> {
    pub(crate) fn new(
        gguf: Arc<Gguf>,
        config: &Config,
        weights: Weights,
        kept: Kept,
        progress: &'a mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        let tensor = gguf.require(TABLE, &[config.hidden, config.vocabulary])?;
        let table = match weights {
            Weights::Packed { .. } | Weights::Sent if gguf.is_derived() => {
                Some(Arc::new(gguf.weights(tensor)?.into_owned()))
            }
            _ => None,
        };
        let embedding = Embedding {
            dtype: gguf.dtype(tensor)?,
            tensor: tensor.clone(),
            made: table.clone(),
            gguf: Arc::clone(&gguf),
        };
        let program = ProgramBuilder::new(Box::new(embedding));
        let taken = HashSet::from([TABLE.to_owned()]);
        Ok(Self {
            gguf,
            program,
            weights,
            kept,
            packed: 0,
            arena: Arena::new(match weights {
                Weights::Packed { pages, .. } => pages,
                Weights::Sent | Weights::Hollow => Pages::Small,
            }),
            loaded: 0,
            taken,
            table,
            last: None,
            progress,
            elsewhere: None,
        })
    }

    /// Refuses a file that has tensors for which the program has no use: it is another variant of the architecture, and would
    /// run, but wrongly. Layers from `layers` on that predict later tokens (`prediction` of them) may be left out.
    ///
    /// # Errors
    /// Names the first such tensor.
    pub(crate) fn check_complete(
        &self,
        layers: usize,
        prediction: usize,
    ) -> Result<(), ModelError> {
        let left_out = |name: &str| {
            // Some files bundle a vision tower, or the prediction layers under their own name.
            if name.starts_with("v.") || name.starts_with("mm.") || name.starts_with("mtp.") {
                return true;
            }
            let layer = name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            layer.is_some_and(|layer| layer >= layers && layer - layers < prediction)
        };
        let unused = |t: &&TensorInfo| !self.taken.contains(t.name()) && !left_out(t.name());
        let Some(tensor) = self.gguf.tensors().iter().find(unused) else {
            return Ok(());
        };
        Err(ModelError::Unsupported {
            file: file_name(&self.gguf),
            feature: format!("a variant with the tensor `{}`", tensor.name().escape_debug()),
            remedy: "results without it would be wrong: take a standard model of the family, or convert it anew if the number of layers in its metadata is wrong".into(),
        })
    }

    /// A tensor that the program uses.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<TensorInfo, ModelError> {
        let tensor = self.gguf.require(name, shape)?.clone();
        if !self.taken.contains(name) {
            self.taken.insert(name.to_owned());
        }
        Ok(tensor)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// The whole matrix `name` of `rows` outputs by `cols` inputs.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<MatrixId, ModelError> {
        self.rows(name, rows, cols, rows, &|r| r)
    }

    /// `rows` rows, permuted or chosen by `map`, of a matrix that has `stored_rows`.
    pub(crate) fn rows(
        &mut self,
        name: &str,
        stored_rows: usize,
        cols: usize,
        rows: usize,
        map: RowMap<'_>,
    ) -> Result<MatrixId, ModelError> {
        let tensor = self.take(name, &[cols, stored_rows])?;
        self.pack(name, &tensor, cols, stored_rows, rows, map)
    }

    /// The bytes of a derived file's tensor, which are made once; of another file none, as they lie in it.
    fn made(&mut self, tensor: &TensorInfo) -> Result<Option<Arc<Vec<u8>>>, ModelError> {
        if !self.gguf.is_derived() {
            return Ok(None);
        }
        if let Some(table) = self.table.as_ref().filter(|_| tensor.name() == TABLE) {
            return Ok(Some(Arc::clone(table)));
        }
        if let Some((_, bytes)) = self.last.as_ref().filter(|(name, _)| name == tensor.name()) {
            return Ok(Some(Arc::clone(bytes)));
        }
        // Only one at a time is in memory.
        self.last = None;
        let bytes = Arc::new(self.gguf.weights(tensor)?.into_owned());
        self.last = Some((tensor.name().to_owned(), Arc::clone(&bytes)));
        Ok(Some(bytes))
    }

    /// Packs `rows` of a tensor's `stored_rows` rows, by `map`.
    fn pack(
        &mut self,
        name: &str,
        tensor: &TensorInfo,
        cols: usize,
        stored_rows: usize,
        rows: usize,
        map: RowMap<'_>,
    ) -> Result<MatrixId, ModelError> {
        let dtype = self.gguf.dtype(tensor)?;
        let matrix = match self.weights {
            Weights::Packed { threads, .. } => {
                let made = self.made(tensor)?;
                let bytes = bytes_of(&self.gguf, tensor, made.as_deref());
                let stored = StoredMatrix {
                    dtype,
                    rows: stored_rows,
                    cols,
                    bytes,
                };
                let mut from = Places {
                    arena: &mut self.arena,
                    kept: &mut self.kept,
                    turn: self.packed,
                    threads,
                };
                let mut released = 0;
                from.matrix(stored, rows, map, &mut |done| {
                    // A map moves rows within a head, or all of them from one half: what is given back too early is read again.
                    let to = (done * stored_rows).div_ceil(rows.max(1));
                    self.gguf.release(tensor, released..to);
                    released = to;
                })
                .map_err(|fault| match fault {
                    Fault::Pack(source) => self.weights_error(name, source),
                    Fault::Keep(source) => ModelError::Keep {
                        file: file_name(&self.gguf),
                        source,
                    },
                })?
            }
            Weights::Sent => {
                let made = self.made(tensor)?;
                let bytes = bytes_of(&self.gguf, tensor, made.as_deref());
                let stored = StoredMatrix {
                    dtype,
                    rows: stored_rows,
                    cols,
                    bytes,
                };
                if let Some(to) = &mut self.elsewhere {
                    to.take(self.packed, stored, rows, map)
                        .map_err(|NotTaken| ModelError::NotTaken {
                            file: file_name(&self.gguf),
                            tensor: name.to_owned(),
                        })?;
                }
                self.gguf.release(tensor, 0..stored_rows);
                self.hollow(name, dtype, rows, cols)?
            }
            Weights::Hollow => self.hollow(name, dtype, rows, cols)?,
        };
        self.packed += 1;
        self.loaded += (dtype.bytes_for(cols).unwrap_or(0) * rows) as u64;
        (self.progress)(self.loaded);
        Ok(self.program.matrix(matrix))
    }

    fn hollow(
        &self,
        name: &str,
        dtype: Dtype,
        rows: usize,
        cols: usize,
    ) -> Result<PackedMatrix, ModelError> {
        PackedMatrix::hollow(dtype, rows, cols).ok_or_else(|| {
            let none = kernels::memory::OutOfMemory { bytes: None };
            self.weights_error(name, PackError::Memory(none))
        })
    }

    /// A matrix of one row, stored as such or as a vector.
    pub(crate) fn row_vector(&mut self, name: &str, cols: usize) -> Result<MatrixId, ModelError> {
        let stored = self.gguf.tensor(name).map_or(0, |t| t.shape().len());
        let shape: &[usize] = if stored == 1 { &[cols] } else { &[cols, 1] };
        let tensor = self.take(name, shape)?;
        self.pack(name, &tensor, cols, 1, 1, &|r| r)
    }

    /// The matrices of `experts` experts, `rows` outputs by `cols` inputs each, one behind the other.
    pub(crate) fn experts(
        &mut self,
        name: &str,
        experts: usize,
        rows: usize,
        cols: usize,
    ) -> Result<MatrixId, ModelError> {
        let tensor = self.take(name, &[cols, rows, experts])?;
        self.pack(name, &tensor, cols, rows * experts, rows * experts, &|r| r)
    }

    /// A vector of `len` weights.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<VectorId, ModelError> {
        let values = self.values(name, &[len])?;
        self.keep(&values)
    }

    /// A vector, where the file has it.
    pub(crate) fn optional_vector(
        &mut self,
        name: &str,
        len: usize,
    ) -> Result<Option<VectorId>, ModelError> {
        if self.has(name) {
            self.vector(name, len).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A convolution's taps: from the file's (channel, tap) to (tap, channel), channels padded to whole vectors.
    pub(crate) fn taps(&mut self, name: &str, channels: usize) -> Result<VectorId, ModelError> {
        let stored = self.values(name, &[TAPS, channels])?;
        self.keep_taps(&stored)
    }

    /// The taps of several convolutions of `channels` channels each as those of one.
    pub(crate) fn joined_taps(
        &mut self,
        names: &[String],
        channels: usize,
    ) -> Result<VectorId, ModelError> {
        let mut stored = Vec::new();
        for name in names {
            let shapes: [&[usize]; 3] = [
                &[TAPS, 1, channels],
                &[TAPS, 1, channels, 1],
                &[TAPS, channels],
            ];
            let shape = self.stored_shape(name, &shapes);
            stored.extend(self.values(name, shape)?);
        }
        self.keep_taps(&stored)
    }

    fn keep_taps(&mut self, stored: &[f32]) -> Result<VectorId, ModelError> {
        let padded = (stored.len() / TAPS).next_multiple_of(16);
        let mut turned = vec![0.0; TAPS * padded];
        for (channel, taps) in stored.chunks_exact(TAPS).enumerate() {
            for (tap, &weight) in taps.iter().enumerate() {
                turned[tap * padded + channel] = weight;
            }
        }
        self.keep(&turned)
    }

    /// A vector that files of newer conventions store as a matrix of `shape`.
    pub(crate) fn flat(&mut self, name: &str, shape: &[usize]) -> Result<VectorId, ModelError> {
        let values = self.values(name, shape)?;
        self.keep(&values)
    }

    /// A vector that files store in one of these shapes.
    pub(crate) fn shaped(
        &mut self,
        name: &str,
        shapes: &[&[usize]],
    ) -> Result<VectorId, ModelError> {
        let shape = self.stored_shape(name, shapes);
        self.flat(name, shape)
    }

    /// Which of these shapes a tensor has; without one that fits, the usual one, which an error names then.
    fn stored_shape<'s>(&self, name: &str, shapes: &[&'s [usize]]) -> &'s [usize] {
        let stored = self.gguf.tensor(name).map(TensorInfo::shape);
        let found = shapes.iter().find(|&&shape| stored == Some(shape));
        found.or(shapes.first()).copied().unwrap_or(&[])
    }

    /// A tensor that files have and the program does not want.
    pub(crate) fn ignore(&mut self, name: String) {
        self.taken.insert(name);
    }

    /// Hands weights that were rearranged to the program.
    pub(crate) fn keep(&mut self, values: &[f32]) -> Result<VectorId, ModelError> {
        let file = file_name(&self.gguf);
        self.program
            .vector(values)
            .map_err(|source| ModelError::Memory { file, source })
    }

    /// A small tensor as f32, in the file's order; zeros when hollow.
    pub(crate) fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.take(name, shape)?;
        let dtype = self.gguf.dtype(&tensor)?;
        let mut values = vec![0.0; tensor.elements()];
        if self.weights == Weights::Hollow {
            return Ok(values);
        }
        let bytes = self.gguf.weights(&tensor)?;
        if let Some(block) = first_non_finite(dtype, &bytes) {
            return Err(self.gguf.not_finite(&tensor, dtype, block).into());
        }
        ops::dequantize::dequantize(dtype, &bytes, &mut values)
            .map_err(|source| self.weights_error(name, PackError::Shape(source)))?;
        Ok(values)
    }

    /// What was kept is whole now.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn finish_keeping(&mut self) -> Result<(), ModelError> {
        match std::mem::replace(&mut self.kept, Kept::Nothing) {
            Kept::Written(writer) => writer.finish().map_err(|source| ModelError::Keep {
                file: file_name(&self.gguf),
                source,
            }),
            _ => Ok(()),
        }
    }

    fn weights_error(&self, tensor: &str, source: PackError) -> ModelError {
        ModelError::Weights {
            file: file_name(&self.gguf),
            tensor: tensor.to_owned(),
            source,
        }
    }
}

/// A tensor's bytes: those that were made, or where they lie in the file.
fn bytes_of<'b>(gguf: &'b Gguf, tensor: &TensorInfo, made: Option<&'b Vec<u8>>) -> &'b [u8] {
    made.map_or_else(|| gguf.bytes(tensor), Vec::as_slice)
}

/// The embedding table where it lies in the file; of a derived file, made once and kept.
struct Embedding {
    gguf: Arc<Gguf>,
    made: Option<Arc<Vec<u8>>>,
    tensor: TensorInfo,
    dtype: Dtype,
}

impl StoredRows for Embedding {
    fn row(&self, row: usize) -> &[u8] {
        let in_file = || self.gguf.bytes(&self.tensor);
        let bytes = self
            .made
            .as_ref()
            .map_or_else(in_file, |made| made.as_slice());
        let len = bytes.len() / self.tensor.rows().max(1);
        bytes.get(row * len..(row + 1) * len).unwrap_or(&[])
    }
    fn rows(&self) -> usize {
        self.tensor.rows()
    }
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn cols(&self) -> usize {
        self.tensor.row_len()
    }
}
