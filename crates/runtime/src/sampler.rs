//! From logits to a token: repetition penalty, then greedy, or temperature with top-k, top-p and min-p, in that order.
//!
//! Deterministic for a seed. Ties go to the smaller token id.

use crate::RuntimeError;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// 0 is greedy; 1 leaves the model's distribution as it is.
    pub temperature: f32,
    /// Only the k likeliest; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Only those at least this fraction as likely as the likeliest; 0 for all.
    pub min_p: f32,
    /// Divides positive (multiplies negative) logits of tokens among the last `repeat_window`; 1 for none.
    pub repeat_penalty: f32,
    /// How many tokens back repetition is looked for.
    pub repeat_window: usize,
    /// Of the random numbers.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_window: 64,
            seed: 0,
        }
    }
}

impl SamplingOptions {
    /// Always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(&self) -> Result<(), RuntimeError> {
        let check = |option, value: f32, ok: bool, expected| {
            if ok {
                Ok(())
            } else {
                Err(RuntimeError::Option {
                    option,
                    found: value.to_string(),
                    expected,
                })
            }
        };
        let unit = |x: f32| (0.0..=1.0).contains(&x);
        check(
            "--temperature",
            self.temperature,
            self.temperature.is_finite() && self.temperature >= 0.0,
            "0 or more",
        )?;
        check(
            "--top-p",
            self.top_p,
            unit(self.top_p) && self.top_p > 0.0,
            "more than 0, at most 1",
        )?;
        check("--min-p", self.min_p, unit(self.min_p), "0 to 1")?;
        let penalty = self.repeat_penalty;
        check(
            "--repeat-penalty",
            penalty,
            penalty.is_finite() && penalty > 0.0,
            "more than 0 (1 for none)",
        )
    }
}

/// Chooses tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplingOptions,
    random: u64,
    /// Candidates of the step, reused; so are the next two.
    candidates: Vec<(u32, f32)>,
    /// Logits with penalties, and without what is not allowed.
    changed: Vec<f32>,
    /// Largest logit of each block.
    tops: Vec<f32>,
}

impl Sampler {
    /// Starts at the options' seed.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn new(options: SamplingOptions) -> Result<Self, RuntimeError> {
        options.check()?;
        let random = options.seed;
        Ok(Self {
            options,
            random,
            candidates: Vec::new(),
            changed: Vec::new(),
            tops: Vec::new(),
        })
    }

    /// Whether it takes the likeliest token whatever came before.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.options.temperature == 0.0 && self.options.repeat_penalty == 1.0
    }

    /// The next token, after `history`. Logits are finite (sessions see to that); there is at least one.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        let recent = self.recent(history);
        if recent.is_empty() {
            return self.choose(logits);
        }
        self.changed.clear();
        self.changed.extend_from_slice(logits);
        self.choose_changed(recent)
    }

    /// As [`Sampler::sample`], but only tokens that `allowed` says yes to take part; there is at least one.
    pub fn sample_among(
        &mut self,
        logits: &[f32],
        history: &[u32],
        allowed: impl Fn(u32) -> bool,
    ) -> u32 {
        let of = |(id, &x): (usize, &f32)| if allowed(id as u32) { x } else { ABSENT };
        self.changed.clear();
        self.changed.extend(logits.iter().enumerate().map(of));
        self.choose_changed(self.recent(history))
    }

    /// The tokens that the penalty is for.
    fn recent<'h>(&self, history: &'h [u32]) -> &'h [u32] {
        let window = match self.options.repeat_penalty {
            1.0 => 0,
            _ => self.options.repeat_window.min(history.len()),
        };
        &history[history.len() - window..]
    }

    fn choose_changed(&mut self, recent: &[u32]) -> u32 {
        let mut changed = std::mem::take(&mut self.changed);
        let penalty = self.options.repeat_penalty;
        for (i, id) in recent.iter().enumerate() {
            let Some(x) = changed.get_mut(*id as usize) else {
                continue;
            };
            // Once, however often it was there.
            if *x != ABSENT && !recent[..i].contains(id) {
                let to = if *x > 0.0 { *x / penalty } else { *x * penalty };
                *x = to.clamp(f32::MIN, f32::MAX);
            }
        }
        let token = self.choose(&changed);
        self.changed = changed;
        token
    }

    fn choose(&mut self, logits: &[f32]) -> u32 {
        if self.options.temperature == 0.0 {
            return largest(logits);
        }
        let least = least_of_the_largest(logits, self.options.top_k, &mut self.tops);
        self.candidates.clear();
        for (block, logits) in logits.chunks(BLOCK).enumerate() {
            // Most blocks have none.
            if self.tops.get(block).is_some_and(|&top| top < least) {
                continue;
            }
            let ids = block * BLOCK..;
            let all = ids.zip(logits).map(|(id, &x)| (id as u32, x));
            self.candidates
                .extend(all.filter(|&(_, x)| x >= least && x != ABSENT));
        }
        self.narrow();
        self.draw()
    }

    /// Leaves the candidates that top-k, top-p and min-p allow, likeliest first, with unnormalised probabilities.
    fn narrow(&mut self) {
        let o = &self.options;
        let by_logit = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let all = &mut self.candidates;
        if o.top_k > 0 && o.top_k < all.len() {
            all.select_nth_unstable_by(o.top_k - 1, by_logit);
            all.truncate(o.top_k);
        }
        all.sort_unstable_by(by_logit);
        let top = all.first().map_or(0.0, |c| c.1);
        for candidate in all.iter_mut() {
            candidate.1 = ((candidate.1 - top) / o.temperature).exp();
        }
        let total: f64 = all.iter().map(|c| f64::from(c.1)).sum();
        let mut sum = 0.0;
        let mut keep = 0;
        for candidate in all.iter() {
            if keep > 0 && (sum >= f64::from(o.top_p) * total || candidate.1 < o.min_p) {
                break;
            }
            sum += f64::from(candidate.1);
            keep += 1;
        }
        all.truncate(keep);
    }

    fn draw(&mut self) -> u32 {
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.1)).sum();
        let mut at = self.unit() * total;
        for &(id, p) in &self.candidates {
            at -= f64::from(p);
            if at < 0.0 {
                return id;
            }
        }
        self.candidates.last().map_or(0, |c| c.0)
    }

    /// Uniform in 0..1, by SplitMix64.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// In the place of a logit that takes no part.
const ABSENT: f32 = f32::NEG_INFINITY;
/// Logits whose largest is found together, in lanes.
const BLOCK: usize = 64;

/// A number that at least `k` logits reach, as large as is cheap to find: the `k`-th largest of the blocks' largest ones, which are
/// left in `tops`. Without `k`, or with too few blocks, what all reach.
fn least_of_the_largest(logits: &[f32], k: usize, tops: &mut Vec<f32>) -> f32 {
    tops.clear();
    if k == 0 || k >= logits.len() / BLOCK {
        return ABSENT;
    }
    tops.extend(logits.chunks(BLOCK).map(top));
    let mut ranked = tops.clone();
    let (_, least, _) = ranked.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    *least
}

/// The largest of a block.
fn top(block: &[f32]) -> f32 {
    const LANES: usize = 16;
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [ABSENT; LANES];
    let (whole, rest) = block.as_chunks::<LANES>();
    for some in whole {
        for (lane, &x) in lanes.iter_mut().zip(some) {
            *lane = larger(*lane, x);
        }
    }
    let lanes = lanes.into_iter().fold(ABSENT, larger);
    rest.iter().copied().fold(lanes, larger)
}

/// The first of the largest.
pub(crate) fn largest(logits: &[f32]) -> u32 {
    let mut best = (0, ABSENT);
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        let top = top(logits);
        if top > best.1 {
            let within = logits.iter().position(|&x| x == top).unwrap_or(0);
            best = (block * BLOCK + within, top);
        }
    }
    best.0 as u32
}

#[cfg(test)]
mod tests;
