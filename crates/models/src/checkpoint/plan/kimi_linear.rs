//! Kimi Linear's layers: Kimi Delta Attention, latent attention, and mixtures under names of their own.

use super::{Item, Planner};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::{Experts, KimiLinear};
use crate::checkpoint::recipe::{Change, Rows, Turned};
use formats::gguf::Role;

impl Planner<'_> {
    pub(super) fn kimi_layer(
        &mut self,
        layer: usize,
        (from, to): (&str, &str),
        kimi: &KimiLinear,
    ) -> Result<(), CheckpointError> {
        let attention = format!("{from}self_attn.");
        match kimi.attends[layer] {
            true => self.latent_attention(&attention, to, kimi)?,
            false => self.kimi_delta(&attention, to, kimi)?,
        }
        let sparse = format!("{from}block_sparse_moe.");
        match &self.dimensions.experts {
            Some(experts) if layer >= kimi.dense => self.kimi_experts(&sparse, to, experts),
            // Published under the usual name, saved by transformers under that of the mixtures.
            _ => {
                let usual = format!("{from}mlp.");
                let is_usual = self.has(&format!("{usual}gate_proj.weight"));
                let from = if is_usual { usual } else { sparse };
                self.feed_forward(&from, to, "", self.dimensions.feed_forward)
            }
        }
    }

    fn matrix(
        &mut self,
        (to, name): (&str, &str),
        source: &str,
        shape: &[usize],
    ) -> Result<(), CheckpointError> {
        let item = Item::new(format!("{to}{name}.weight"), Role::Matrix, shape);
        self.add(item, &format!("{source}.weight"))
    }

    fn kimi_delta(
        &mut self,
        from: &str,
        to: &str,
        kimi: &KimiLinear,
    ) -> Result<(), CheckpointError> {
        let (hidden, heads, dim) = (self.dimensions.hidden, self.dimensions.heads, kimi.delta);
        let values = heads * dim;
        let source = |part: &str| format!("{from}{part}");
        for kind in ["q", "k", "v"] {
            let name = format!("attn_{kind}");
            let part = source(&format!("{kind}_proj"));
            self.matrix((to, &name), &part, &[values, hidden])?;
            let shape = [values, 1, kimi.taps];
            let name = format!("{to}ssm_conv1d_{kind}.weight");
            let item = Item::new(name, Role::Precise, &shape);
            self.add(item, &source(&format!("{kind}_conv1d.weight")))?;
        }
        for kind in ["f", "g"] {
            let (a, b) = (format!("ssm_{kind}_a"), format!("ssm_{kind}_b"));
            let part = |half| source(&format!("{kind}_{half}_proj"));
            self.matrix((to, &a), &part("a"), &[dim, hidden])?;
            self.matrix((to, &b), &part("b"), &[values, dim])?;
        }
        let precise =
            |name: &str, shape: &[usize]| Item::new(format!("{to}{name}"), Role::Precise, shape);
        self.add(
            precise("ssm_beta.weight", &[heads, hidden]),
            &source("b_proj.weight"),
        )?;
        self.add(precise("ssm_dt.bias", &[values]), &source("dt_bias"))?;
        let item = precise("ssm_a", &[heads, 1]).changed(Change::NegativeExponential);
        self.add_from(item, &source("A_log"), &[1, 1, heads, 1])?;
        self.add(precise("ssm_norm.weight", &[dim]), &source("o_norm.weight"))?;
        self.matrix((to, "attn_output"), &source("o_proj"), &[hidden, values])
    }

    fn latent_attention(
        &mut self,
        from: &str,
        to: &str,
        kimi: &KimiLinear,
    ) -> Result<(), CheckpointError> {
        let (hidden, heads) = (self.dimensions.hidden, self.dimensions.heads);
        let KimiLinear {
            latents,
            own,
            shared,
            values,
            ..
        } = *kimi;
        let source = |part: &str| format!("{from}{part}");
        let rows = [heads * (own + shared), hidden];
        self.matrix((to, "attn_q"), &source("q_proj"), &rows)?;
        let part = source("kv_a_proj_with_mqa");
        self.matrix((to, "attn_kv_a_mqa"), &part, &[latents + shared, hidden])?;
        let name = format!("{to}attn_kv_a_norm.weight");
        self.norm(name, &source("kv_a_layernorm.weight"), latents)?;
        // Per head the rows of its keys, then those of its values; keys are turned, so that a query goes to the latents.
        let (stored, group) = ([heads * (own + values), latents], own + values);
        let expansion = source("kv_b_proj.weight");
        let name = format!("{to}attn_k_b.weight");
        let mut item = Item::new(name, Role::Matrix, &[heads, latents, own]);
        item.turned = Some(Turned {
            group,
            cols: latents,
        });
        self.add_from(item, &expansion, &stored)?;
        let order = Rows::Unfused {
            group,
            groups: heads,
            segments: vec![(own, values)],
        };
        let name = format!("{to}attn_v_b.weight");
        let item = Item::new(name, Role::Matrix, &[heads, values, latents]).ordered(order);
        self.add_from(item, &expansion, &stored)?;
        let shape = [hidden, heads * values];
        self.matrix((to, "attn_output"), &source("o_proj"), &shape)
    }

    fn kimi_experts(
        &mut self,
        from: &str,
        to: &str,
        experts: &Experts,
    ) -> Result<(), CheckpointError> {
        let count = experts.count;
        let name = format!("{to}ffn_gate_inp.weight");
        let item = Item::new(name, Role::Precise, &[count, self.dimensions.hidden]);
        self.add(item, &format!("{from}gate.weight"))?;
        let item = Item::new(format!("{to}exp_probs_b.bias"), Role::Precise, &[count]);
        self.add(item, &format!("{from}gate.e_score_correction_bias"))?;
        self.each_expert(to, experts, &|kind, expert| {
            let kind = match kind {
                "gate" => "w1",
                "down" => "w2",
                _ => "w3",
            };
            format!("{from}experts.{expert}.{kind}.weight")
        })?;
        match experts.shared_width {
            Some(width) => {
                self.feed_forward(&format!("{from}shared_experts."), to, "_shexp", width)
            }
            None => Ok(()),
        }
    }
}
