//! The list of the GGUF file's tensors, each with its recipe.
//!
//! Names and changes of value follow llama.cpp's converter (`fixtures/gguf_convention.py` says the same in Python, and the
//! tests compare the results bit by bit). Every tensor of the checkpoint is either used, or belongs to a part that text
//! needs not (a vision tower, prediction heads for later tokens), or is an error: a variant would run, but wrongly.

use std::collections::{BTreeMap, HashMap, HashSet};

use formats::gguf::TensorSpec;
use formats::safetensors::Checkpoint;
use ops::Dtype;

use super::config::{Delta, Dimensions, Experts};
use super::family::Family;
use super::quantisation::{Quantisation, Role, choose};
use super::recipe::{Change, Heads, Recipe, Rows};
use super::{CheckpointError, Fallback};

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
    pub(super) recipes: HashMap<String, Recipe>,
    pub(super) fallbacks: Vec<Fallback>,
    /// The format of most matrices' bytes.
    pub(super) mostly: Dtype,
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
        asked,
        used: HashSet::new(),
        specs: Vec::new(),
        recipes: HashMap::new(),
        fallbacks: BTreeMap::new(),
        bytes: BTreeMap::new(),
    };
    let vocabulary = planner.model()?;
    planner.check_complete()?;
    let mostly = planner.bytes.iter().max_by_key(|(_, bytes)| **bytes);
    Ok(Plan {
        mostly: asked.map_or_else(
            || mostly.map_or(Dtype::F32, |(name, _)| by_name(name)),
            Quantisation::dtype,
        ),
        specs: planner.specs,
        recipes: planner.recipes,
        fallbacks: planner.fallbacks.into_values().collect(),
        vocabulary,
    })
}

fn by_name(name: &str) -> Dtype {
    let found = Dtype::ALL.iter().find(|dtype| dtype.name() == name);
    found.copied().unwrap_or(Dtype::F32)
}

/// A tensor to add: its shape as in the checkpoint (contiguous dimension last), and what becomes of it.
struct Item {
    name: String,
    role: Role,
    /// Of the output.
    shape: Vec<usize>,
    order: Rows,
    columns: Option<Heads>,
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
    asked: Option<Quantisation>,
    used: HashSet<usize>,
    specs: Vec<TensorSpec>,
    recipes: HashMap<String, Recipe>,
    fallbacks: BTreeMap<(&'static str, &'static str), Fallback>,
    bytes: BTreeMap<&'static str, usize>,
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
        let choice = choose(item.role, from, row_len, self.asked);
        if let Some(wanted) = choice.instead_of {
            let key = (wanted.name(), choice.dtype.name());
            let fallback = self.fallbacks.entry(key).or_insert_with(|| Fallback {
                wanted,
                used: choice.dtype,
                tensors: 0,
                first: item.name.clone(),
                row_len,
            });
            fallback.tensors += 1;
        }
        if item.role != Role::Precise {
            let bytes = choice.dtype.bytes_for(row_len).unwrap_or(0);
            *self.bytes.entry(choice.dtype.name()).or_default() += bytes.saturating_mul(rows);
        }
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
            change: item.change,
            to: choice.dtype,
        };
        self.specs.push(TensorSpec {
            name: item.name.clone(),
            dtype: choice.dtype,
            shape,
        });
        self.recipes.insert(item.name, recipe);
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
        for layer in 0..dimensions.layers {
            self.layer(layer)?;
        }
        let norm = format!("{}norm.weight", self.prefix);
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

    fn layer(&mut self, layer: usize) -> Result<(), CheckpointError> {
        let (family, hidden) = (self.dimensions.family, self.dimensions.hidden);
        let from = format!("{}layers.{layer}.", self.prefix);
        let to = format!("blk.{layer}.");
        let norms: &[(&str, &str)] = match family {
            Family::Gemma3 => &[
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "post_attention_norm"),
                ("pre_feedforward_layernorm", "ffn_norm"),
                ("post_feedforward_layernorm", "post_ffw_norm"),
            ],
            Family::Qwen35 | Family::Qwen35Moe | Family::Qwen3Next => &[
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "post_attention_norm"),
            ],
            Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Qwen3Moe => &[
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "ffn_norm"),
            ],
        };
        for (source, name) in norms {
            let source = format!("{from}{source}.weight");
            self.norm(format!("{to}{name}.weight"), &source, hidden)?;
        }
        match &self.dimensions.delta {
            Some(delta) if !(layer + 1).is_multiple_of(delta.interval) => {
                self.delta_net(&from, &to, delta)?;
            }
            _ => self.attention(&from, &to)?,
        }
        match &self.dimensions.experts {
            Some(experts) => self.experts(&from, &to, experts),
            None => {
                let width = self.dimensions.feed_forward;
                self.feed_forward(&format!("{from}mlp."), &to, "", width)
            }
        }
    }

    /// Gate, up and down; `suffix` tells whose in the GGUF name.
    fn feed_forward(
        &mut self,
        from: &str,
        to: &str,
        suffix: &str,
        width: usize,
    ) -> Result<(), CheckpointError> {
        let hidden = self.dimensions.hidden;
        for (kind, shape) in [
            ("gate", [width, hidden]),
            ("up", [width, hidden]),
            ("down", [hidden, width]),
        ] {
            let item = Item::new(
                format!("{to}ffn_{kind}{suffix}.weight"),
                Role::Matrix,
                &shape,
            );
            self.add(item, &format!("{from}{kind}_proj.weight"))?;
        }
        Ok(())
    }

    fn attention(&mut self, from: &str, to: &str) -> Result<(), CheckpointError> {
        let Dimensions {
            family,
            hidden,
            heads,
            kv_heads,
            head_dim,
            ..
        } = *self.dimensions;
        // The hybrids' queries have a gate beside them, per head.
        let query_rows = heads * head_dim * if family.is_hybrid() { 2 } else { 1 };
        let kv_rows = kv_heads * head_dim;
        for (letter, rows) in [("q", query_rows), ("k", kv_rows), ("v", kv_rows)] {
            let order = match family {
                Family::Llama if letter != "v" => Rows::Interleaved { head: head_dim },
                _ => Rows::Same,
            };
            for (part, shape) in [("weight", &[rows, hidden][..]), ("bias", &[rows])] {
                let source = format!("{from}self_attn.{letter}_proj.{part}");
                if part == "bias" && !self.has(&source) {
                    continue;
                }
                let role = role_of(part);
                let item = Item::new(format!("{to}attn_{letter}.{part}"), role, shape);
                self.add(item.ordered(order.clone()), &source)?;
            }
        }
        let shape = [hidden, heads * head_dim];
        let item = Item::new(format!("{to}attn_output.weight"), Role::Matrix, &shape);
        self.add(item, &format!("{from}self_attn.o_proj.weight"))?;
        if family.has_head_norms() {
            for letter in ["q", "k"] {
                let source = format!("{from}self_attn.{letter}_norm.weight");
                self.norm(format!("{to}attn_{letter}_norm.weight"), &source, head_dim)?;
            }
        }
        Ok(())
    }

    fn delta_net(&mut self, from: &str, to: &str, delta: &Delta) -> Result<(), CheckpointError> {
        let hidden = self.dimensions.hidden;
        let tiled = self.dimensions.family.tiles_value_heads();
        let from = format!("{from}linear_attn.");
        let repeats = delta.value_heads / delta.key_heads;
        let keys = 2 * delta.key_heads * delta.key_dim;
        let values = delta.value_heads * delta.value_dim;
        let heads = |width| Heads {
            keys: delta.key_heads,
            repeats,
            width,
        };
        let order = |from, width| match tiled {
            true => Rows::Tiled {
                from,
                heads: heads(width),
            },
            false => Rows::Same,
        };
        let (qkv, gate) = (
            format!("{to}attn_qkv.weight"),
            format!("{to}attn_gate.weight"),
        );
        let (qkv_shape, gate_shape) = ([keys + values, hidden], [values, hidden]);
        let qkv = Item::new(qkv, Role::Matrix, &qkv_shape);
        let gate = Item::new(gate, Role::Matrix, &gate_shape);
        if tiled {
            self.add(
                qkv.ordered(order(keys, delta.value_dim)),
                &format!("{from}in_proj_qkv.weight"),
            )?;
            self.add(
                gate.ordered(order(0, delta.value_dim)),
                &format!("{from}in_proj_z.weight"),
            )?;
            let shape = [delta.value_heads, hidden];
            for (name, source) in [("ssm_alpha", "in_proj_a"), ("ssm_beta", "in_proj_b")] {
                let item = Item::new(format!("{to}{name}.weight"), Role::Precise, &shape);
                self.add(item.ordered(order(0, 1)), &format!("{from}{source}.weight"))?;
            }
        } else {
            // Per key head: q, k, and v and z of its value heads.
            let (width, own) = (delta.key_dim, repeats * delta.value_dim);
            let unfused = |segments: &[(usize, usize)]| Rows::Unfused {
                group: 2 * width + 2 * own,
                groups: delta.key_heads,
                segments: segments.to_vec(),
            };
            let source = format!("{from}in_proj_qkvz.weight");
            let stored = [keys + 2 * values, hidden];
            let order = unfused(&[(0, width), (width, width), (2 * width, own)]);
            self.add_from(qkv.ordered(order), &source, &stored)?;
            let order = unfused(&[(2 * width + own, own)]);
            self.add_from(gate.ordered(order), &source, &stored)?;
            let shape = [2 * delta.value_heads, hidden];
            let item = Item::new(format!("{to}ssm_ba.weight"), Role::Precise, &shape);
            self.add(item, &format!("{from}in_proj_ba.weight"))?;
        }
        let (channels, taps) = (keys + values, delta.taps);
        let shape = [channels, taps];
        let item = Item::new(format!("{to}ssm_conv1d.weight"), Role::Precise, &shape);
        self.add_from(
            item.ordered(order(keys, delta.value_dim)),
            &format!("{from}conv1d.weight"),
            &[channels, 1, taps],
        )?;
        let shape = [delta.value_heads];
        let item = Item::new(format!("{to}ssm_a"), Role::Precise, &shape);
        let item = item
            .ordered(order(0, 1))
            .changed(Change::NegativeExponential);
        self.add(item, &format!("{from}A_log"))?;
        let item = Item::new(format!("{to}ssm_dt.bias"), Role::Precise, &shape);
        self.add(item.ordered(order(0, 1)), &format!("{from}dt_bias"))?;
        let shape = [delta.value_dim];
        let item = Item::new(format!("{to}ssm_norm.weight"), Role::Precise, &shape);
        self.add(item, &format!("{from}norm.weight"))?;
        let shape = [hidden, values];
        let mut item = Item::new(format!("{to}ssm_out.weight"), Role::Matrix, &shape);
        item.columns = tiled.then(|| heads(delta.value_dim));
        self.add(item, &format!("{from}out_proj.weight"))
    }

    fn experts(&mut self, from: &str, to: &str, experts: &Experts) -> Result<(), CheckpointError> {
        let (hidden, count, width) = (self.dimensions.hidden, experts.count, experts.width);
        let from = format!("{from}mlp.");
        let shape = [count, hidden];
        let item = Item::new(format!("{to}ffn_gate_inp.weight"), Role::Precise, &shape);
        self.add(item, &format!("{from}gate.weight"))?;
        let names = |kind| format!("{to}ffn_{kind}_exps.weight");
        let (wide, narrow) = ([count, width, hidden], [count, hidden, width]);
        let fused = format!("{from}experts.gate_up_proj");
        if self.has(&fused) {
            for (kind, first) in [("gate", 0), ("up", width)] {
                let order = Rows::Unfused {
                    group: 2 * width,
                    groups: count,
                    segments: vec![(first, width)],
                };
                let item = Item::new(names(kind), Role::Matrix, &wide).ordered(order);
                self.add_from(item, &fused, &[count, 2 * width, hidden])?;
            }
            let item = Item::new(names("down"), Role::Matrix, &narrow);
            self.add(item, &format!("{from}experts.down_proj"))?;
        } else {
            for (kind, shape) in [("gate", wide), ("up", wide), ("down", narrow)] {
                let mut sources = Vec::new();
                let mut formats = None;
                for expert in 0..count {
                    let source = format!("{from}experts.{expert}.{kind}_proj.weight");
                    let (index, dtype) = self.take(&source, &shape[1..])?;
                    if formats.is_some_and(|format| format != dtype) {
                        return Err(CheckpointError::Unsupported {
                            file: self.file(),
                            feature: format!(
                                "{source:?} in another format than the experts before it"
                            ),
                            remedy: "take a checkpoint in one format".to_owned(),
                        });
                    }
                    formats = Some(dtype);
                    sources.push(index);
                }
                let item = Item::new(names(kind), Role::Matrix, &shape);
                self.push(item, sources, formats.unwrap_or(Dtype::F32));
            }
        }
        if let Some(width) = experts.shared_width {
            self.feed_forward(&format!("{from}shared_expert."), to, "_shexp", width)?;
            let shape = [1, hidden];
            let name = format!("{to}ffn_gate_inp_shexp.weight");
            let item = Item::new(name, Role::Precise, &shape);
            self.add(item, &format!("{from}shared_expert_gate.weight"))?;
        }
        Ok(())
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

fn role_of(part: &str) -> Role {
    match part {
        "bias" => Role::Precise,
        _ => Role::Matrix,
    }
}
