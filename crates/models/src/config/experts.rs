//! The mixture of experts that a file describes, and how its router's logits become choices.

use ops::route::{Groups, Scoring};

use super::{Fields, GRANITE_HYBRID, LATENT, MOST_WIDTH};
use crate::ModelError;

/// Larger than any real model's; an index fits the kernels' numbers.
const MOST_EXPERTS: usize = 1 << 16;
/// As many as the kernels keep apart; real models have up to 8.
const MOST_GROUPS: usize = 64;
/// `expert_gating_func` of scores that are sigmoids.
const SIGMOID: usize = 2;

/// Dimensions of a mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// How many a token goes to.
    pub chosen: usize,
    /// Width of each.
    pub width: usize,
    /// Width of the one that all tokens share, where a file has it.
    pub shared_width: usize,
    /// How a router's logits become choices and weights.
    pub scoring: Scoring,
}

impl Fields<'_> {
    /// The experts, unless there are none.
    pub(super) fn experts(&self) -> Result<Option<Experts>, ModelError> {
        let count = self.optional("expert_count")?.unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        let count = self.within("expert_count", count, MOST_EXPERTS)?;
        let chosen = self.required("expert_used_count")?;
        let chosen = self.within("expert_used_count", chosen, count)?;
        let width = match self.optional("expert_feed_forward_length")? {
            // Granite's files have one width, which is the experts'.
            None if self.architecture == GRANITE_HYBRID => self.required("feed_forward_length")?,
            _ => self.required("expert_feed_forward_length")?,
        };
        let width = self.within("expert_feed_forward_length", width, MOST_WIDTH)?;
        let is_scored = self.architecture == LATENT;
        let shared_width = match is_scored {
            true => self.shared_experts(width)?,
            false => {
                const KEY: &str = "expert_shared_feed_forward_length";
                self.within(KEY, self.optional(KEY)?.unwrap_or(width), MOST_WIDTH)?
            }
        };
        Ok(Some(Experts {
            count,
            chosen,
            width,
            shared_width,
            scoring: match is_scored {
                true => self.scoring(count, chosen)?,
                false => Scoring::Softmax,
            },
        }))
    }

    /// Width of the shared experts, which are one.
    fn shared_experts(&self, width: usize) -> Result<usize, ModelError> {
        const KEY: &str = "expert_shared_count";
        let shared = self.optional(KEY)?.unwrap_or(1);
        self.within(KEY, shared, MOST_WIDTH / width)?;
        Ok(shared * width)
    }

    fn scoring(&self, experts: usize, chosen: usize) -> Result<Scoring, ModelError> {
        const FUNCTION: &str = "expert_gating_func";
        const COUNT: &str = "expert_group_count";
        const USED: &str = "expert_group_used_count";
        let function = self.optional(FUNCTION)?.unwrap_or(SIGMOID);
        if function != SIGMOID {
            let expected = format!("{SIGMOID}, experts scored by sigmoids");
            return Err(self.value(FUNCTION, function, expected));
        }
        // Files say 0, 1 or nothing where experts are not grouped.
        let count = self.optional(COUNT)?.unwrap_or(1).max(1);
        let groups = match count {
            1 => Groups::NONE,
            count => Groups {
                count: self.within(COUNT, count, MOST_GROUPS)?,
                used: self.within(USED, self.required(USED)?, count)?,
            },
        };
        if !groups.fit(experts, chosen) {
            let Groups { count, used } = groups;
            let expected = format!(
                "groups of two experts or more that part the {experts}, {used} of which hold the {chosen} of a token"
            );
            return Err(self.value(COUNT, count, expected));
        }
        let renormalise = self.metadata.opt_bool(&self.key("expert_weights_norm"))?;
        Ok(Scoring::Sigmoid {
            groups,
            renormalise: renormalise.unwrap_or(true),
            scale: self.positive("expert_weights_scale", 1.0)? as f32,
        })
    }
}
