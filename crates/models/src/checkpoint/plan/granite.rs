//! Granite's hybrids: Mamba-2 layers, and the names of what follows attention.

use super::{Item, Planner};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::{Experts, Mamba};
use crate::checkpoint::recipe::{Change, Rows};
use formats::gguf::Role;

impl Planner<'_> {
    pub(super) fn mamba(
        &mut self,
        from: &str,
        to: &str,
        mamba: &Mamba,
    ) -> Result<(), CheckpointError> {
        let hidden = self.dimensions.hidden;
        let (values, channels, heads) = (mamba.values(), mamba.channels(), mamba.heads);
        let source = |part: &str| format!("{from}mamba.{part}");
        let matrix = |part: &str, shape: &[usize]| {
            Item::new(format!("{to}ssm_{part}.weight"), Role::Matrix, shape)
        };
        let precise = |part: &str, shape: &[usize]| {
            Item::new(format!("{to}ssm_{part}"), Role::Precise, shape)
        };
        let item = matrix("in", &[values + channels + heads, hidden]);
        self.add(item, &source("in_proj.weight"))?;
        let item = precise("conv1d.weight", &[channels, mamba.taps]);
        let stored = [channels, 1, mamba.taps];
        self.add_from(item, &source("conv1d.weight"), &stored)?;
        if self.has(&source("conv1d.bias")) {
            let item = precise("conv1d.bias", &[channels]);
            self.add(item, &source("conv1d.bias"))?;
        }
        self.add(precise("dt.bias", &[heads]), &source("dt_bias"))?;
        let item = precise("a", &[heads, 1]).changed(Change::NegativeExponential);
        self.add_from(item, &source("A_log"), &[heads])?;
        self.add_from(precise("d", &[heads, 1]), &source("D"), &[heads])?;
        let item = precise("norm.weight", &[mamba.groups, values / mamba.groups]);
        self.add_from(item, &source("norm.weight"), &[values])?;
        let item = matrix("out", &[hidden, values]);
        self.add(item, &source("out_proj.weight"))
    }

    /// The MLP that every token goes through, gate and up in one.
    pub(super) fn fused_feed_forward(
        &mut self,
        from: &str,
        to: &str,
        suffix: &str,
        width: usize,
    ) -> Result<(), CheckpointError> {
        let hidden = self.dimensions.hidden;
        let source = format!("{from}shared_mlp.input_linear.weight");
        for (kind, first) in [("gate", 0), ("up", width)] {
            let order = Rows::Unfused {
                group: 2 * width,
                groups: 1,
                segments: vec![(first, width)],
            };
            let name = format!("{to}ffn_{kind}{suffix}.weight");
            let item = Item::new(name, Role::Matrix, &[width, hidden]).ordered(order);
            self.add_from(item, &source, &[2 * width, hidden])?;
        }
        let name = format!("{to}ffn_down{suffix}.weight");
        let item = Item::new(name, Role::Matrix, &[hidden, width]);
        self.add(item, &format!("{from}shared_mlp.output_linear.weight"))
    }

    /// The experts, and the MLP beside them.
    pub(super) fn granite_experts(
        &mut self,
        from: &str,
        to: &str,
        experts: &Experts,
    ) -> Result<(), CheckpointError> {
        let source = |part: &str| format!("{from}block_sparse_moe.{part}.weight");
        let shape = [experts.count, self.dimensions.hidden];
        let item = Item::new(format!("{to}ffn_gate_inp.weight"), Role::Precise, &shape);
        self.add(item, &source("router.layer"))?;
        let (fused, down) = (source("input_linear"), source("output_linear"));
        self.fused_experts(&fused, &down, to, experts)?;
        match experts.shared_width {
            Some(width) => self.fused_feed_forward(from, to, "_shexp", width),
            None => Ok(()),
        }
    }
}
