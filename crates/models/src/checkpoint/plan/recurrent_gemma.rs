//! RecurrentGemma's layers: the recurrent block's tensors, and an attention and MLP under names of their own.

use super::{Item, Planner};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::RecurrentGemma;
use crate::checkpoint::recipe::{Change, Turned};
use formats::gguf::Role;

impl Planner<'_> {
    pub(super) fn recurrent_gemma_layer(
        &mut self,
        layer: usize,
        (from, to): (&str, &str),
        recurrent: &RecurrentGemma,
    ) -> Result<(), CheckpointError> {
        let block = format!("{from}temporal_block.");
        match recurrent.attends[layer] {
            true => self.attention(&block, to)?,
            false => self.recurrent_block(&block, to, recurrent)?,
        }
        let width = self.dimensions.feed_forward;
        self.feed_forward(&format!("{from}mlp_block."), to, "", width)
    }

    fn recurrent_block(
        &mut self,
        from: &str,
        to: &str,
        recurrent: &RecurrentGemma,
    ) -> Result<(), CheckpointError> {
        let RecurrentGemma {
            channels,
            heads,
            taps,
            ..
        } = *recurrent;
        let hidden = self.dimensions.hidden;
        for (name, source, shape) in [
            ("ssm_in", "linear_x", [channels, hidden]),
            ("ssm_gate", "linear_y", [channels, hidden]),
            ("ssm_out", "linear_out", [hidden, channels]),
        ] {
            self.projection(&format!("{to}{name}"), &format!("{from}{source}"), shape)?;
        }
        let precise =
            |name: &str, shape: &[usize]| Item::new(format!("{to}{name}"), Role::Precise, shape);
        let item = precise("ssm_conv1d.weight", &[channels, taps]);
        let stored = [channels, 1, taps];
        self.add_from(item, &format!("{from}conv_1d.weight"), &stored)?;
        let item = precise("ssm_conv1d.bias", &[channels]);
        self.add(item, &format!("{from}conv_1d.bias"))?;
        let item = precise("ssm_a", &[channels]).changed(Change::DecayLogarithm);
        self.add(item, &format!("{from}rg_lru.recurrent_param"))?;
        // Of a block the checkpoint has a row per input, GGUF a row per output, as of any matrix.
        let block = channels / heads;
        for (name, source) in [("input", "input"), ("recurrence", "recurrent")] {
            let shape = [heads, block, block];
            let mut item = Item::new(format!("{to}ssm_{name}_gate.weight"), Role::Matrix, &shape);
            item.turned = Some(Turned {
                group: block,
                cols: block,
            });
            self.add(item, &format!("{from}rg_lru.{source}_gate_weight"))?;
            let item = precise(&format!("ssm_{name}_gate.bias"), &[channels]);
            let stored = [heads, block];
            self.add_from(item, &format!("{from}rg_lru.{source}_gate_bias"), &stored)?;
        }
        Ok(())
    }
}
