//! Where every intermediate result lies, decided before anything runs.
//!
//! Time has two steps for each of N nodes: node i runs forward at i and backward at 2 N - 1 - i. A buffer lives from the step that first writes
//! it to the last that reads it:
//!
//! - a value, from its node to its last consumer: forward, or backward where that reads it;
//! - a value's gradient, from its last consumer's backward step to its own node's;
//! - what a node keeps for its backward step, from one to the other.
//!
//! Buffers whose lives do not meet share a *slot*. Where a result may take the place of an operand that nobody reads afterwards, both are one
//! buffer: a rotation, a sum, and a sum's gradient, which is its operands'. Nodes that the loss does not depend on are left out.

use crate::graph::{Graph, Node, Op, Var};

/// Number of a buffer of the program.
pub(crate) type Slot = usize;

/// A buffer: some first values of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub slot: Slot,
    pub len: usize,
}

/// Where everything lies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// f32 of each slot.
    pub slots: Vec<usize>,
    /// Of each node; `None` where the loss does not depend on it, or it has none.
    pub values: Vec<Option<Place>>,
    pub gradients: Vec<Option<Place>>,
    pub kept: Vec<Option<Place>>,
}

/// A buffer before it has a slot.
#[derive(Clone, Copy, Debug)]
struct Life {
    len: usize,
    first: usize,
    last: usize,
    /// The buffer that it is one with.
    same_as: Option<usize>,
}

/// Which operands and whether the result are read by the backward step.
fn read_backward(op: &Op) -> (&'static [usize], bool) {
    match op {
        Op::Linear { .. }
        | Op::RmsNorm { .. }
        | Op::SquaredRelu
        | Op::CausalConv { .. }
        | Op::L2Norm(_) => (&[0], false),
        Op::GatedDelta { .. } => (&[0, 1, 2, 3, 4], false),
        Op::GatedNorm { .. } => (&[0, 1], false),
        Op::Attention(_) => (&[0, 1, 2], true),
        Op::SwiGlu | Op::SigmoidGate => (&[0, 1], false),
        Op::Embed { .. } | Op::Rope { .. } | Op::Add | Op::Scale(_) | Op::Loss { .. } => {
            (&[], false)
        }
    }
}

/// f32 that a node keeps.
fn kept_len(graph: &Graph, node: &Node) -> usize {
    let tokens = graph.batch.tokens();
    match &node.op {
        Op::RmsNorm { weight, .. } => tokens * (node.width / graph.parameters[weight.0].columns),
        Op::Attention(shape) => shape.log_sums(),
        Op::L2Norm(norm) => tokens * (node.width / norm.head_dim),
        Op::GatedNorm { weight, .. } => tokens * (node.width / graph.parameters[weight.0].columns),
        // Decays and strengths, and room for their gradients.
        Op::GatedDelta { shape, .. } => shape.kept() + 4 * shape.gates(),
        Op::Loss { weights, .. } => {
            let vocabulary = graph.parameters[weights.0].rows;
            tokens + kernels::training::cross_entropy_logits(vocabulary, tokens)
        }
        _ => 0,
    }
}

/// Whether the result may overwrite an operand.
const fn is_in_place(op: &Op) -> bool {
    matches!(op, Op::Rope { .. } | Op::Add | Op::Scale(_))
}

/// Which nodes the last one depends on.
fn used(nodes: &[Node]) -> Vec<bool> {
    let mut used = vec![false; nodes.len()];
    if let Some(last) = used.last_mut() {
        *last = true;
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        if used[index] {
            for input in &node.inputs {
                used[input.0] = true;
            }
        }
    }
    used
}

impl Plan {
    pub(crate) fn of(graph: &Graph) -> Self {
        let lives = Lives::of(graph);
        let (slots, places) = assign(&lives.all);
        let place = |life: &Option<usize>| life.map(|life| places[life]);
        Self {
            slots,
            values: lives.values.iter().map(place).collect(),
            gradients: lives.gradients.iter().map(place).collect(),
            kept: lives.kept.iter().map(place).collect(),
        }
    }
}

#[derive(Default)]
struct Lives {
    all: Vec<Life>,
    values: Vec<Option<usize>>,
    gradients: Vec<Option<usize>>,
    kept: Vec<Option<usize>>,
}

impl Lives {
    fn of(graph: &Graph) -> Self {
        let (nodes, tokens) = (&graph.nodes, graph.batch.tokens());
        let count = nodes.len();
        let backward = |index: usize| 2 * count - 1 - index;
        let used = used(nodes);
        let mut lives = Self::default();
        for (index, node) in nodes.iter().enumerate() {
            if !used[index] {
                lives.values.push(None);
                lives.gradients.push(None);
                lives.kept.push(None);
                continue;
            }
            let consumers = || {
                let later = nodes.iter().enumerate().skip(index + 1);
                later.filter(|(later, node)| used[*later] && node.inputs.contains(&Var(index)))
            };
            let mut last = index;
            for (consumer, node) in consumers() {
                let is_read = |&&input: &&usize| node.inputs.get(input) == Some(&Var(index));
                let is_read_backward = read_backward(&node.op)
                    .0
                    .iter()
                    .any(|input| is_read(&input));
                last = last.max(if is_read_backward {
                    backward(consumer)
                } else {
                    consumer
                });
            }
            if read_backward(&node.op).1 {
                last = backward(index);
            }
            let value = lives.push(node.width * tokens, index, last);
            // The loss writes its operand's gradient while it runs forward.
            let first = consumers().map(|(consumer, node)| match node.op {
                Op::Loss { .. } => consumer,
                _ => backward(consumer),
            });
            let first = first.min();
            let gradient =
                first.and_then(|first| lives.push(node.width * tokens, first, backward(index)));
            let kept = lives.push(kept_len(graph, node), index, backward(index));
            lives.values.push(value);
            lives.gradients.push(gradient);
            lives.kept.push(kept);
        }
        lives.share_places(nodes);
        lives
    }

    fn push(&mut self, len: usize, first: usize, last: usize) -> Option<usize> {
        self.all.push(Life {
            len,
            first,
            last,
            same_as: None,
        });
        (len > 0).then_some(self.all.len() - 1)
    }

    /// Results in the place of operands, and operands' gradients in the place of results'.
    fn share_places(&mut self, nodes: &[Node]) {
        let backward = |index: usize| 2 * nodes.len() - 1 - index;
        for (index, node) in nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| is_in_place(&node.op))
        {
            let Some(result) = self.values[index] else {
                continue;
            };
            let operands = node.inputs.iter().filter_map(|input| self.values[input.0]);
            let dying = operands
                .into_iter()
                .find(|&operand| self.all[operand].last == index);
            if let Some(operand) = dying {
                self.join(operand, result);
            }
        }
        for (index, node) in nodes
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, node)| is_in_place(&node.op))
        {
            let Some(result) = self.gradients[index] else {
                continue;
            };
            let operands = node
                .inputs
                .iter()
                .filter_map(|input| self.gradients[input.0]);
            let fresh = operands
                .into_iter()
                .find(|&one| self.all[one].first == backward(index));
            if let Some(operand) = fresh {
                self.join(result, operand);
            }
        }
    }

    /// `later` takes the place of `earlier`, which ends when it begins.
    fn join(&mut self, earlier: usize, later: usize) {
        let root = self.root(earlier);
        self.all[later].same_as = Some(root);
        self.all[root].last = self.all[root].last.max(self.all[later].last);
    }

    fn root(&self, mut life: usize) -> usize {
        while let Some(earlier) = self.all[life].same_as {
            life = earlier;
        }
        life
    }
}

/// Slots and each buffer's place in them: the free slot that wastes least, by a quarter at most, or a new one.
fn assign(lives: &[Life]) -> (Vec<usize>, Vec<Place>) {
    let mut order: Vec<usize> = (0..lives.len())
        .filter(|&i| lives[i].same_as.is_none())
        .collect();
    order.sort_by_key(|&i| (lives[i].first, i));
    let mut slots: Vec<usize> = Vec::new();
    // When each slot is free again.
    let mut free: Vec<usize> = Vec::new();
    let mut places = vec![Place { slot: 0, len: 0 }; lives.len()];
    for &index in order.iter().filter(|&&index| lives[index].len > 0) {
        let life = &lives[index];
        let fits = |slot: &usize| {
            let len = slots[*slot];
            free[*slot] <= life.first && len >= life.len && len - life.len <= life.len / 4
        };
        let slot = (0..slots.len())
            .filter(fits)
            .min_by_key(|&slot| slots[slot]);
        let slot = slot.unwrap_or_else(|| {
            slots.push(life.len);
            free.push(0);
            slots.len() - 1
        });
        free[slot] = life.last + 1;
        places[index] = Place {
            slot,
            len: life.len,
        };
    }
    for (index, life) in lives.iter().enumerate() {
        let mut root = life.same_as;
        while let Some(earlier) = root {
            places[index] = Place {
                slot: places[earlier].slot,
                len: life.len,
            };
            root = lives[earlier].same_as;
        }
    }
    (slots, places)
}

#[cfg(test)]
mod tests;
