//! The list of the GGUF file's tensors, each with its recipe.
//!
//! Names and changes of value follow llama.cpp's converter (`fixtures/gguf_convention.py` says the same in Python, and the
//! tests compare the results bit by bit). Every tensor of the checkpoint is either used, or belongs to a part that text
//! needs not (a vision tower, prediction heads for later tokens), or is an error: a variant would run, but wrongly.

mod granite;
mod kimi_linear;
mod layers;
mod recurrent_gemma;

use std::collections::{HashMap, HashSet};

use formats::gguf::{Fallback, Formats, Quantisation, Role, TensorSpec, Value};
use formats::safetensors::Checkpoint;
use ops::Dtype;

use super::CheckpointError;
use super::config::Dimensions;
use super::family::Family;
use super::recipe::{Change, Heads, Making, Recipe, Rows, Turned};

/// What the names of a language model's tensors begin with, alone or inside a multi-modal model.
const PREFIXES: [&str; 3] = ["model.", "model.language_model.", "language_model.model."];

/// Parts that text needs not.
const LEFT_OUT: [&str; 9] = [
    "mtp.",
    "model.mtp.",
    "visual.",
    "model.visual.",
    "vision_tower.",
    "model.vision_tower.",
    "vision_model.",
    "multi_modal_projector.",
    "model.multi_modal_projector.",
];

/// The tensors, in file order, and how to make them.
pub(super) struct Plan {
    pub(super) specs: Vec<TensorSpec>,
    pub(super) recipes: HashMap<String, Making>,
    pub(super) fallbacks: Vec<Fallback>,
    /// Metadata that says which formats the tensors have.
    pub(super) formats: Vec<(String, Value)>,
    /// Rows of the embedding table.
    pub(super) vocabulary: usize,
}

pub(super) fn plan(
    checkpoint: &Checkpoint,
    dimensions: &Dimensions,
    asked: Option<Quantisation>,
) -> Result<Plan, CheckpointError> {
    let embedding = |prefix: &&&str| {
        let name = format!("{prefix}embed_tokens.weight");
        checkpoint.tensor(&name).is_some()
    };
    let prefix = PREFIXES.iter().find(embedding).copied().unwrap_or("model.");
    let mut planner = Planner {
        checkpoint,
        dimensions,
        prefix: prefix.to_owned(),
        formats: Formats::new(asked),
        used: HashSet::new(),
        specs: Vec::new(),
        recipes: HashMap::new(),
    };
    let vocabulary = planner.model()?;
    planner.check_complete()?;
    Ok(Plan {
        specs: planner.specs,
        recipes: planner.recipes,
        formats: planner.formats.metadata(),
        fallbacks: planner.formats.fallbacks(),
        vocabulary,
    })
}

/// A tensor to add: its shape as in the checkpoint (contiguous dimension last), and what becomes of it.
struct Item {
    name: String,
    role: Role,
    /// Of the output.
    shape: Vec<usize>,
    order: Rows,
    columns: Option<Heads>,
    turned: Option<Turned>,
    change: Change,
}

impl Item {
    fn new(name: impl Into<String>, role: Role, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            role,
            shape: shape.to_vec(),
            order: Rows::Same,
            columns: None,
            turned: None,
            change: Change::None,
        }
    }

    fn ordered(self, order: Rows) -> Self {
        Self { order, ..self }
    }

    fn changed(self, change: Change) -> Self {
        Self { change, ..self }
    }
}

struct Planner<'a> {
    checkpoint: &'a Checkpoint,
    dimensions: &'a Dimensions,
    prefix: String,
    formats: Formats,
    used: HashSet<usize>,
    specs: Vec<TensorSpec>,
    recipes: HashMap<String, Making>,
}

impl Planner<'_> {
    fn file(&self) -> String {
        self.checkpoint.path().display().to_string()
    }

    fn has(&self, name: &str) -> bool {
        self.checkpoint.tensor(name).is_some()
    }

    /// The position and format of the checkpoint's tensor, which must have this shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<(usize, Dtype), CheckpointError> {
        let tensors = self.checkpoint.tensors();
        let quoted = || format!("{name:?}");
        let Ok(index) = tensors.binary_search_by(|tensor| tensor.name().cmp(name)) else {
            return Err(CheckpointError::Missing {
                file: self.file(),
                tensor: quoted(),
            });
        };
        let tensor = &tensors[index];
        if tensor.shape() != shape {
            return Err(CheckpointError::Shape {
                file: self.file(),
                tensor: quoted(),
                expected: shape.to_vec(),
                found: tensor.shape().iter().take(8).copied().collect(),
            });
        }
        let dtype = tensor
            .element()
            .dtype()
            .ok_or_else(|| CheckpointError::Type {
                file: self.file(),
                tensor: quoted(),
                found: tensor.element().name(),
            })?;
        self.used.insert(index);
        Ok((index, dtype))
    }

    /// Adds a tensor that is made of one, which has the shape `stored`.
    fn add_from(
        &mut self,
        item: Item,
        source: &str,
        stored: &[usize],
    ) -> Result<(), CheckpointError> {
        let (index, from) = self.take(source, stored)?;
        self.push(item, vec![index], from);
        Ok(())
    }

    /// Adds a tensor that has the shape of the one it is made of.
    fn add(&mut self, item: Item, source: &str) -> Result<(), CheckpointError> {
        let stored = item.shape.clone();
        self.add_from(item, source, &stored)
    }

    fn push(&mut self, item: Item, sources: Vec<usize>, from: Dtype) {
        let mut shape = item.shape;
        shape.reverse();
        let (row_len, rows) = (shape[0], shape[1..].iter().product());
        let to = self
            .formats
            .choose(&item.name, item.role, from, (rows, row_len));
        // The elements of a vector change places one by one.
        let (rows, cols) = match (shape.len(), &item.order) {
            (1, order) if *order != Rows::Same => (row_len, 1),
            _ => (rows, row_len),
        };
        let recipe = Recipe {
            sources,
            from,
            rows,
            cols,
            order: item.order,
            columns: item.columns,
            turned: item.turned,
            change: item.change,
            to,
        };
        self.specs.push(TensorSpec {
            name: item.name.clone(),
            dtype: to,
            shape,
        });
        self.recipes.insert(item.name, Making::Rows(recipe));
    }

    /// Adds a vector that follows from the configuration.
    fn derive(&mut self, name: &str, values: Vec<f32>) {
        self.specs.push(TensorSpec {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: vec![values.len()],
        });
        self.recipes.insert(name.to_owned(), Making::Values(values));
    }

    fn norm(&mut self, name: String, source: &str, len: usize) -> Result<(), CheckpointError> {
        let change = match self.dimensions.family.norms_are_offsets() {
            true => Change::PlusOne,
            false => Change::None,
        };
        self.add(
            Item::new(name, Role::Precise, &[len]).changed(change),
            source,
        )
    }

    /// Adds everything; returns the embedding table's rows.
    fn model(&mut self) -> Result<usize, CheckpointError> {
        let dimensions = self.dimensions;
        let hidden = dimensions.hidden;
        let embedding = format!("{}embed_tokens.weight", self.prefix);
        let found = self
            .checkpoint
            .tensor(&embedding)
            .map(|t| t.shape().to_vec());
        let rows = match (dimensions.vocabulary, found.as_deref()) {
            (Some(rows), _) => rows,
            (None, Some(&[rows, _])) => rows,
            (None, _) => 1,
        };
        let heads = ["lm_head.weight", "language_model.lm_head.weight"];
        let head = heads.into_iter().find(|name| self.has(name));
        let tied = dimensions.tied.unwrap_or(head.is_none());
        let role = if tied { Role::Output } else { Role::Matrix };
        self.add(
            Item::new("token_embd.weight", role, &[rows, hidden]),
            &embedding,
        )?;
        if let Some(divisors) = dimensions.rope.divisors() {
            self.derive("rope_freqs.weight", divisors);
        }
        for layer in 0..dimensions.layers {
            self.layer(layer)?;
        }
        let norm = match dimensions.family {
            Family::RecurrentGemma => "final_norm",
            _ => "norm",
        };
        let norm = format!("{}{norm}.weight", self.prefix);
        self.norm("output_norm.weight".to_owned(), &norm, hidden)?;
        match (tied, head) {
            // A copy of the embedding, which some writers store.
            (true, Some(head)) => drop(self.take(head, &[rows, hidden])?),
            (true, None) => {}
            (false, head) => {
                let item = Item::new("output.weight", Role::Output, &[rows, hidden]);
                self.add(item, head.unwrap_or(heads[0]))?;
            }
        }
        Ok(rows)
    }

    fn check_complete(&self) -> Result<(), CheckpointError> {
        for (index, tensor) in self.checkpoint.tensors().iter().enumerate() {
            let name = tensor.name();
            let known = self.used.contains(&index)
                || LEFT_OUT.iter().any(|part| name.starts_with(part))
                // A table of angles that old writers stored; it follows from the configuration.
                || name.ends_with("rotary_emb.inv_freq");
            if !known {
                return Err(CheckpointError::Unused {
                    file: self.file(),
                    tensor: formats::gguf::Quoted::new(name).to_string(),
                    family: self.dimensions.family.architecture(),
                });
            }
        }
        Ok(())
    }
}
