//! Runs a graph: forward for its loss, backward for the gradients of its parameters.

mod backward;
mod prepare;

use kernels::{
    memory::{Aligned, Arena, OutOfMemory, Pages},
    training::{
        self, Angles, DeltaGates, GatedDelta, GatedDeltaShape, Gradients, Into, Machine, Matrix,
        MatrixMut, Precision, Prediction, Turn,
    },
};

use prepare::{check, convolution, scratch, writes_first};

use crate::{
    graph::{Graph, GraphError, Node, Op, Var},
    plan::{Place, Plan},
    weights::Weights,
};

/// Why a graph cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not complete.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// There is no memory for what it computes.
    #[error("the activations of this model: {0}")]
    Memory(#[from] OutOfMemory),
}

/// A graph with memory to run it.
pub struct Program {
    graph: Graph,
    plan: Plan,
    /// `None` while a kernel writes into one.
    slots: Vec<Option<Aligned<f32>>>,
    angles: Vec<Angles>,
    precision: Precision,
    /// Of each node: whether it is the first to write its parameters' gradients.
    writes_first: Vec<[bool; 2]>,
}

impl Program {
    /// Plans the graph's memory and takes it.
    ///
    /// # Errors
    /// The graph has no loss, or parameters that it does not use; the system refuses the memory.
    pub fn new(
        graph: Graph,
        precision: Precision,
        machine: &mut Machine,
    ) -> Result<Self, ProgramError> {
        let plan = Plan::of(&graph);
        check(&graph, &plan)?;
        // A step walks through all of it again and again.
        let mut arena = Arena::new(Pages::Huge);
        let slots = plan.slots.iter().map(|&len| arena.zeroed(len).map(Some));
        let slots = slots.collect::<Result<_, _>>()?;
        machine.reserve(scratch(&graph, machine.threads()))?;
        let positions = graph.batch.positions;
        let angles = graph.rotations.iter();
        let angles = angles.map(|one| Angles::new(positions, one.rotated, one.base));
        Ok(Self {
            writes_first: writes_first(&graph, &plan),
            angles: angles.collect(),
            plan,
            slots,
            graph,
            precision,
        })
    }

    /// Bytes of all intermediate results that a program of this graph would have.
    #[must_use]
    pub fn bytes_needed(graph: &Graph) -> usize {
        let all = Plan::of(graph).slots;
        all.iter()
            .fold(0, |sum: usize, &len| sum.saturating_add(len))
            .saturating_mul(size_of::<f32>())
    }

    /// What it runs.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Bytes of all intermediate results.
    #[must_use]
    pub fn activation_bytes(&self) -> usize {
        self.plan.slots.iter().sum::<usize>() * size_of::<f32>()
    }

    /// The loss of each token in nats, in the order of the batch; 0 where the target is ignored.
    ///
    /// # Panics
    /// When tokens or targets are not those of the batch, or beyond the vocabulary.
    pub fn losses(
        &mut self,
        machine: &Machine,
        weights: &Weights,
        tokens: &[u32],
        targets: &[u32],
    ) -> &[f32] {
        self.forward(machine, weights, tokens);
        self.loss(machine, weights, targets, None);
        self.token_losses()
    }

    /// The mean loss in nats; and its gradients times `share`, set or added.
    ///
    /// # Panics
    /// As [`Program::losses`].
    pub fn gradients(
        &mut self,
        machine: &Machine,
        weights: &Weights,
        (tokens, targets): (&[u32], &[u32]),
        share: f32,
        (gradients, into): (&mut Weights, Into),
    ) -> f64 {
        self.forward(machine, weights, tokens);
        self.loss(
            machine,
            weights,
            targets,
            Some((share, &mut *gradients, into)),
        );
        for index in (0..self.graph.nodes.len() - 1).rev() {
            if self.plan.gradients[index].is_some() {
                self.backward(index, machine, weights, tokens, (gradients, into));
            }
        }
        let counted = targets
            .iter()
            .filter(|&&target| target != training::IGNORED)
            .count();
        let sum: f64 = self.token_losses().iter().copied().map(f64::from).sum();
        sum / counted.max(1) as f64
    }

    fn token_losses(&self) -> &[f32] {
        let kept = self.plan.kept.last().copied().flatten();
        kept.map_or(&[], |kept| &self.read(kept)[..self.graph.batch.tokens()])
    }

    fn forward(&mut self, machine: &Machine, weights: &Weights, tokens: &[u32]) {
        assert_eq!(
            tokens.len(),
            self.graph.batch.tokens(),
            "tokens of the batch"
        );
        for index in 0..self.graph.nodes.len() - 1 {
            if self.plan.values[index].is_some() {
                self.node(index, machine, weights, tokens);
            }
        }
    }

    fn node(&mut self, index: usize, machine: &Machine, weights: &Weights, tokens: &[u32]) {
        let Node { op, inputs, width } = self.graph.nodes[index].clone();
        let mut result = self.take(self.plan.values[index]);
        let mut kept = self.take(self.plan.kept[index]);
        let out = result.values();
        let x = |i: usize| self.value(inputs[i]);
        match &op {
            Op::Embed { table } => {
                training::embed(machine, weights.get(*table), width, tokens, out)
            }
            Op::Linear { weight } => {
                let (x, rows) = (x(0), tokens.len());
                let x = Matrix::of(x, rows, x.len() / rows);
                let weight = Matrix::of(
                    weights.get(*weight),
                    width,
                    weights.get(*weight).len() / width,
                );
                let out = MatrixMut::of(out, rows, width);
                training::gemm(
                    machine,
                    self.precision,
                    x,
                    weight.transposed(),
                    Into::Set,
                    out,
                );
            }
            Op::RmsNorm { weight, eps } => {
                training::rms_norm(
                    machine,
                    x(0),
                    weights.get(*weight),
                    *eps,
                    out,
                    kept.values(),
                );
            }
            Op::Rope {
                angles,
                heads,
                head_dim,
            } => {
                if !self.is_same(index, inputs[0]) {
                    out.copy_from_slice(x(0));
                }
                training::rope(
                    machine,
                    &self.angles[*angles],
                    *head_dim,
                    *heads,
                    Turn::Forward,
                    out,
                );
            }
            Op::Attention(shape) => {
                training::attention(machine, shape, (x(0), x(1), x(2)), out, kept.values());
            }
            Op::Add => match inputs.iter().position(|&input| self.is_same(index, input)) {
                Some(same) => training::scale(machine, 1.0, x(1 - same), Into::Add, out),
                None => training::add(machine, x(0), x(1), out),
            },
            Op::Scale(factor) if self.is_same(index, inputs[0]) => {
                training::scale_in_place(machine, *factor, out)
            }
            Op::Scale(factor) => training::scale(machine, *factor, x(0), Into::Set, out),
            Op::SwiGlu => training::swiglu(machine, x(0), x(1), out),
            Op::SquaredRelu => training::squared_relu(machine, x(0), out),
            Op::SigmoidGate => training::sigmoid_gate(machine, x(0), x(1), out),
            Op::CausalConv { weight } => {
                let shape = convolution(&self.graph, &self.graph.nodes[index]);
                training::causal_conv(machine, &shape, x(0), weights.get(*weight), out);
            }
            Op::L2Norm(norm) => training::l2_norm(machine, norm, x(0), out, kept.values()),
            Op::GatedNorm { weight, eps } => {
                let weight = weights.get(*weight);
                training::gated_norm(machine, (x(0), x(1)), weight, *eps, out, kept.values());
            }
            Op::GatedDelta {
                shape,
                a_log,
                dt_bias,
            } => {
                let [log_decay, beta, _, _, kept] = delta_parts(shape, kept.values());
                let gates = DeltaGates {
                    a: x(3),
                    b: x(4),
                    a_log: weights.get(*a_log),
                    dt_bias: weights.get(*dt_bias),
                };
                training::delta_gates(machine, &gates, log_decay, beta);
                let inputs = GatedDelta {
                    q: x(0),
                    k: x(1),
                    v: x(2),
                    log_decay,
                    beta,
                };
                training::gated_delta(machine, shape, &inputs, out, kept);
            }
            Op::Loss { .. } => {}
        }
        self.put(result);
        self.put(kept);
    }

    /// The last node: losses, and the gradient of what they are made of.
    fn loss(
        &mut self,
        machine: &Machine,
        weights: &Weights,
        targets: &[u32],
        gradients: Option<(f32, &mut Weights, Into)>,
    ) {
        let index = self.graph.nodes.len() - 1;
        let node = self.graph.nodes[index].clone();
        let Op::Loss {
            weights: matrix,
            soft_cap,
        } = node.op
        else {
            return;
        };
        assert_eq!(
            targets.len(),
            self.graph.batch.tokens(),
            "targets of the batch"
        );
        let mut kept = self.take(self.plan.kept[index]);
        let mut d_hidden = gradients
            .is_some()
            .then(|| self.take(self.plan.gradients[node.inputs[0].0]));
        let prediction = Prediction {
            hidden: self.value(node.inputs[0]),
            weights: weights.get(matrix),
            targets,
            soft_cap,
            precision: self.precision,
        };
        let (losses, logits) = kept.values().split_at_mut(targets.len());
        let into = |into| {
            if self.writes_first[index][0] {
                into
            } else {
                Into::Add
            }
        };
        let (share, gradients) = match (gradients, &mut d_hidden) {
            (Some((share, gradients, first)), Some(hidden)) => {
                let gradients = Gradients {
                    hidden: (hidden.values(), Into::Set),
                    weights: (gradients.get_mut(matrix), into(first)),
                };
                (share, Some(gradients))
            }
            _ => (1.0, None),
        };
        training::cross_entropy(machine, &prediction, share, logits, losses, gradients);
        self.put(kept);
        if let Some(hidden) = d_hidden {
            self.put(hidden);
        }
    }
}

/// What a gated delta rule keeps: decays, strengths, their gradients, and its own.
fn delta_parts<'a>(shape: &GatedDeltaShape, kept: &'a mut [f32]) -> [&'a mut [f32]; 5] {
    let count = shape.gates();
    let (gates, own) = kept.split_at_mut(4 * count);
    let (forward, backward) = gates.split_at_mut(2 * count);
    let (log_decay, beta) = forward.split_at_mut(count);
    let (d_log_decay, d_beta) = backward.split_at_mut(count);
    [log_decay, beta, d_log_decay, d_beta, own]
}

/// A buffer that a kernel writes, out of its slot until it is put back.
struct Taken {
    place: Option<Place>,
    data: Option<Aligned<f32>>,
}

impl Taken {
    /// Nothing where there is no buffer.
    fn values(&mut self) -> &mut [f32] {
        match (&mut self.data, self.place) {
            (Some(data), Some(place)) => &mut data.as_mut_slice()[..place.len],
            _ => &mut [],
        }
    }
}

impl Program {
    fn take(&mut self, place: Option<Place>) -> Taken {
        let data = place.map(|place| self.slots[place.slot].take());
        Taken {
            place,
            data: data.map(|data| data.expect("no buffer is written twice at once")),
        }
    }

    fn put(&mut self, taken: Taken) {
        if let Some(place) = taken.place {
            self.slots[place.slot] = taken.data;
        }
    }

    fn read(&self, place: Place) -> &[f32] {
        let slot = self.slots[place.slot]
            .as_ref()
            .expect("no buffer is read while it is written");
        &slot.as_slice()[..place.len]
    }

    fn value(&self, var: Var) -> &[f32] {
        self.plan.values[var.0].map_or(&[], |place| self.read(place))
    }

    /// What a node kept for its backward step.
    fn kept(&self, index: usize) -> &[f32] {
        self.plan.kept[index].map_or(&[], |place| self.read(place))
    }

    /// Whether a node's result is in its operand's place.
    fn is_same(&self, index: usize, input: Var) -> bool {
        self.plan.values[index].map(|place| place.slot)
            == self.plan.values[input.0].map(|place| place.slot)
    }

    /// Whether the gradient of a node's operand is in its result's place.
    fn gradient_is_same(&self, index: usize, input: Var) -> bool {
        let slot = |index: usize| self.plan.gradients[index].map(|place| place.slot);
        slot(index) == slot(input.0)
    }
}

#[cfg(test)]
mod tests;
