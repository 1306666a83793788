//! What a layer consists of, in every family: norms, attention or Gated DeltaNet, feed-forward or experts.

use ops::Dtype;

use super::{Item, Planner};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::{Delta, Dimensions, Experts};
use crate::checkpoint::family::Family;
use crate::checkpoint::recipe::{Change, Heads, Rows};
use formats::gguf::Role;

impl Planner<'_> {
    pub(super) fn layer(&mut self, layer: usize) -> Result<(), CheckpointError> {
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
            Family::RecurrentGemma => &[
                ("temporal_pre_norm", "attn_norm"),
                ("channel_pre_norm", "ffn_norm"),
            ],
            Family::Llama
            | Family::Qwen2
            | Family::Qwen3
            | Family::Qwen3Moe
            | Family::Granite
            | Family::GraniteHybrid
            | Family::KimiLinear => &[
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "ffn_norm"),
            ],
        };
        for (source, name) in norms {
            let source = format!("{from}{source}.weight");
            self.norm(format!("{to}{name}.weight"), &source, hidden)?;
        }
        if let Some(kimi) = &self.dimensions.kimi {
            return self.kimi_layer(layer, (&from, &to), kimi);
        }
        if let Some(recurrent) = &self.dimensions.recurrent_gemma {
            return self.recurrent_gemma_layer(layer, (&from, &to), recurrent);
        }
        let granite = self.dimensions.granite.as_ref();
        let mamba = granite.and_then(|granite| granite.mamba.as_ref());
        match (&self.dimensions.delta, mamba) {
            (Some(delta), _) if !(layer + 1).is_multiple_of(delta.interval) => {
                self.delta_net(&from, &to, delta)?;
            }
            (_, Some(mamba)) if !mamba.attends[layer] => self.mamba(&from, &to, mamba)?,
            _ => self.attention(&format!("{from}self_attn."), &to)?,
        }
        let is_fused = granite.is_some_and(|granite| granite.is_fused);
        let width = self.dimensions.feed_forward;
        match &self.dimensions.experts {
            Some(experts) if is_fused => self.granite_experts(&from, &to, experts),
            Some(experts) => self.experts(&from, &to, experts),
            None if is_fused => self.fused_feed_forward(&from, &to, "", width),
            None => self.feed_forward(&format!("{from}mlp."), &to, "", width),
        }
    }

    /// Gate, up and down; `suffix` tells whose in the GGUF name.
    pub(super) fn feed_forward(
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
            let name = format!("{to}ffn_{kind}{suffix}");
            self.projection(&name, &format!("{from}{kind}_proj"), shape)?;
        }
        Ok(())
    }

    /// A matrix, and its bias where the family has them.
    pub(super) fn projection(
        &mut self,
        name: &str,
        source: &str,
        shape: [usize; 2],
    ) -> Result<(), CheckpointError> {
        let item = Item::new(format!("{name}.weight"), Role::Matrix, &shape);
        self.add(item, &format!("{source}.weight"))?;
        if !self.dimensions.family.has_biases() {
            return Ok(());
        }
        let item = Item::new(format!("{name}.bias"), Role::Precise, &shape[..1]);
        self.add(item, &format!("{source}.bias"))
    }

    /// Attention of the module `from`.
    pub(super) fn attention(&mut self, from: &str, to: &str) -> Result<(), CheckpointError> {
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
            let order = match family.interleaves_heads() && letter != "v" {
                true => Rows::Interleaved { head: head_dim },
                false => Rows::Same,
            };
            for (part, shape) in [("weight", &[rows, hidden][..]), ("bias", &[rows])] {
                let source = format!("{from}{letter}_proj.{part}");
                if part == "bias" && !self.has(&source) {
                    continue;
                }
                let role = role_of(part);
                let item = Item::new(format!("{to}attn_{letter}.{part}"), role, shape);
                self.add(item.ordered(order.clone()), &source)?;
            }
        }
        let shape = [hidden, heads * head_dim];
        let (name, source) = (format!("{to}attn_output"), format!("{from}o_proj"));
        self.projection(&name, &source, shape)?;
        if family.has_head_norms() {
            for letter in ["q", "k"] {
                let source = format!("{from}{letter}_norm.weight");
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
        self.delta_state(&from, to, delta, &order)?;
        let shape = [hidden, values];
        let mut item = Item::new(format!("{to}ssm_out.weight"), Role::Matrix, &shape);
        item.columns = tiled.then(|| heads(delta.value_dim));
        self.add(item, &format!("{from}out_proj.weight"))
    }

    /// The convolution, the gates' constants and the norm. `order` is that of value heads of some width behind some rows.
    fn delta_state(
        &mut self,
        from: &str,
        to: &str,
        delta: &Delta,
        order: &dyn Fn(usize, usize) -> Rows,
    ) -> Result<(), CheckpointError> {
        let keys = 2 * delta.key_heads * delta.key_dim;
        let values = delta.value_heads * delta.value_dim;
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
        self.add(item, &format!("{from}norm.weight"))
    }

    fn experts(&mut self, from: &str, to: &str, experts: &Experts) -> Result<(), CheckpointError> {
        let hidden = self.dimensions.hidden;
        let from = format!("{from}mlp.");
        let shape = [experts.count, hidden];
        let item = Item::new(format!("{to}ffn_gate_inp.weight"), Role::Precise, &shape);
        self.add(item, &format!("{from}gate.weight"))?;
        let fused = format!("{from}experts.gate_up_proj");
        if self.has(&fused) {
            let down = format!("{from}experts.down_proj");
            self.fused_experts(&fused, &down, to, experts)?;
        } else {
            self.each_expert(to, experts, &|kind, expert| {
                format!("{from}experts.{expert}.{kind}_proj.weight")
            })?;
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

    /// Experts in tensors of their own, whose names `source` gives by kind and number.
    pub(super) fn each_expert(
        &mut self,
        to: &str,
        experts: &Experts,
        source: &dyn Fn(&str, usize) -> String,
    ) -> Result<(), CheckpointError> {
        let (hidden, count, width) = (self.dimensions.hidden, experts.count, experts.width);
        let (wide, narrow) = ([count, width, hidden], [count, hidden, width]);
        for (kind, shape) in [("gate", wide), ("up", wide), ("down", narrow)] {
            let mut sources = Vec::new();
            let mut formats = None;
            for expert in 0..count {
                let source = source(kind, expert);
                let (index, dtype) = self.take(&source, &shape[1..])?;
                if formats.is_some_and(|format| format != dtype) {
                    return Err(CheckpointError::Unsupported {
                        file: self.file(),
                        feature: format!("{source:?} in another format than the experts before it"),
                        remedy: "take a checkpoint in one format".to_owned(),
                    });
                }
                formats = Some(dtype);
                sources.push(index);
            }
            let item = Item::new(format!("{to}ffn_{kind}_exps.weight"), Role::Matrix, &shape);
            self.push(item, sources, formats.unwrap_or(Dtype::F32));
        }
        Ok(())
    }

    /// Experts' gate and up in one tensor, their down in another.
    pub(super) fn fused_experts(
        &mut self,
        fused: &str,
        down: &str,
        to: &str,
        experts: &Experts,
    ) -> Result<(), CheckpointError> {
        let (hidden, count, width) = (self.dimensions.hidden, experts.count, experts.width);
        for (kind, first) in [("gate", 0), ("up", width)] {
            let order = Rows::Unfused {
                group: 2 * width,
                groups: count,
                segments: vec![(first, width)],
            };
            let shape = [count, width, hidden];
            let name = format!("{to}ffn_{kind}_exps.weight");
            let item = Item::new(name, Role::Matrix, &shape).ordered(order);
            self.add_from(item, fused, &[count, 2 * width, hidden])?;
        }
        let shape = [count, hidden, width];
        let item = Item::new(format!("{to}ffn_down_exps.weight"), Role::Matrix, &shape);
        self.add(item, down)
    }
}

fn role_of(part: &str) -> Role {
    match part {
        "bias" => Role::Precise,
        _ => Role::Matrix,
    }
}
