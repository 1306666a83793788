//! Runs a graph: forward for its loss, backward for the gradients of its parameters.

use kernels::{
    memory::{Aligned, OutOfMemory},
    training::{
        self, Angles, AttentionKept, Gradients, Into, Kept, Machine, Matrix, MatrixMut, Precision,
        Prediction, Turn,
    },
};

use crate::{
    graph::{Graph, GraphError, Node, Op, Parameter, Var},
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
    /// Of each node: whether it is the first to write its parameter's gradient.
    writes_first: Vec<bool>,
}

impl Program {
    /// Plans the graph's memory and takes it.
    ///
    /// # Errors
    /// The graph has no loss, or parameters that it does not use; the system refuses the memory.
    pub fn new(graph: Graph, precision: Precision, machine: &mut Machine) -> Result<Self, ProgramError> {
        check(&graph)?;
        let plan = Plan::of(&graph);
        let slots = plan.slots.iter().map(|&len| Aligned::zeroed(len).map(Some));
        let slots = slots.collect::<Result<_, _>>()?;
        machine.reserve(scratch(&graph, machine.threads()))?;
        let positions = graph.batch.positions;
        let angles = graph.rotations.iter();
        let angles = angles.map(|one| Angles::new(positions, one.rotated, one.base));
        Ok(Self {
            writes_first: writes_first(&graph),
            angles: angles.collect(),
            plan,
            slots,
            graph,
            precision,
        })
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
    pub fn losses(&mut self, machine: &Machine, weights: &Weights, tokens: &[u32], targets: &[u32]) -> &[f32] {
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
        self.loss(machine, weights, targets, Some((share, &mut *gradients, into)));
        for index in (0..self.graph.nodes.len() - 1).rev() {
            if self.plan.gradients[index].is_some() {
                self.backward(index, machine, weights, tokens, (gradients, into));
            }
        }
        let counted = targets.iter().filter(|&&target| target != training::IGNORED).count();
        let sum: f64 = self.token_losses().iter().copied().map(f64::from).sum();
        sum / counted.max(1) as f64
    }

    fn token_losses(&self) -> &[f32] {
        let kept = self.plan.kept.last().copied().flatten();
        kept.map_or(&[], |kept| &self.read(kept)[..self.graph.batch.tokens()])
    }

    fn forward(&mut self, machine: &Machine, weights: &Weights, tokens: &[u32]) {
        assert_eq!(tokens.len(), self.graph.batch.tokens(), "tokens of the batch");
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
            Op::Embed { table } => training::embed(machine, weights.get(*table), width, tokens, out),
            Op::Linear { weight } => {
                let (x, rows) = (x(0), tokens.len());
                let x = Matrix::of(x, rows, x.len() / rows);
                let weight = Matrix::of(weights.get(*weight), width, weights.get(*weight).len() / width);
                let out = MatrixMut::of(out, rows, width);
                training::gemm(machine, self.precision, x, weight.transposed(), Into::Set, out);
            }
            Op::RmsNorm { weight, eps } => {
                training::rms_norm(machine, x(0), weights.get(*weight), *eps, out, kept.values());
            }
            Op::Rope { angles, heads, head_dim } => {
                if !self.is_same(index, inputs[0]) {
                    out.copy_from_slice(x(0));
                }
                training::rope(machine, &self.angles[*angles], *head_dim, *heads, Turn::Forward, out);
            }
            Op::Attention(shape) => {
                training::attention(machine, shape, (x(0), x(1), x(2)), out, kept.values());
            }
            Op::Add => match inputs.iter().position(|&input| self.is_same(index, input)) {
                Some(same) => training::scale(machine, 1.0, x(1 - same), Into::Add, out),
                None => training::add(machine, x(0), x(1), out),
            },
            Op::Scale(factor) if self.is_same(index, inputs[0]) => training::scale_in_place(machine, *factor, out),
            Op::Scale(factor) => training::scale(machine, *factor, x(0), Into::Set, out),
            Op::SwiGlu => training::swiglu(machine, x(0), x(1), out),
            Op::SquaredRelu => training::squared_relu(machine, x(0), out),
            Op::SigmoidGate => training::sigmoid_gate(machine, x(0), x(1), out),
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
        let Op::Loss { weights: matrix, soft_cap } = node.op else { return };
        assert_eq!(targets.len(), self.graph.batch.tokens(), "targets of the batch");
        let mut kept = self.take(self.plan.kept[index]);
        let mut d_hidden = gradients.is_some().then(|| self.take(self.plan.gradients[node.inputs[0].0]));
        let prediction = Prediction {
            hidden: self.value(node.inputs[0]),
            weights: weights.get(matrix),
            targets,
            soft_cap,
            precision: self.precision,
        };
        let (losses, logits) = kept.values().split_at_mut(targets.len());
        let into = |into| if self.writes_first[index] { into } else { Into::Add };
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

    fn backward(
        &mut self,
        index: usize,
        machine: &Machine,
        weights: &Weights,
        tokens: &[u32],
        (gradients, first): (&mut Weights, Into),
    ) {
        let Node { op, inputs, width } = self.graph.nodes[index].clone();
        let mut d_out = self.take(self.plan.gradients[index]);
        let of_parameter = if self.writes_first[index] { first } else { Into::Add };
        let d = |program: &mut Self, i: usize| program.take_gradient(index, inputs[i]);
        match &op {
            Op::Embed { table } => {
                let table = (gradients.get_mut(*table), of_parameter);
                training::embed_backward(machine, width, tokens, d_out.values(), table);
            }
            Op::Linear { weight } => {
                let (mut d_x, into) = d(self, 0);
                let rows = tokens.len();
                let columns = d_x.values().len() / rows;
                let d_y = Matrix::of(d_out.values(), rows, width);
                let w = Matrix::of(weights.get(*weight), width, columns);
                let to = MatrixMut::of(d_x.values(), rows, columns);
                training::gemm(machine, self.precision, d_y, w, into, to);
                let x = Matrix::of(self.value(inputs[0]), rows, columns);
                let to = MatrixMut::of(gradients.get_mut(*weight), width, columns);
                training::gemm(machine, self.precision, d_y.transposed(), x, of_parameter, to);
                self.put(d_x);
            }
            Op::RmsNorm { weight, .. } => {
                let (mut d_x, into) = d(self, 0);
                let kept = Kept {
                    x: self.value(inputs[0]),
                    weight: weights.get(*weight),
                    inverse: self.plan.kept[index].map_or(&[], |kept| self.read(kept)),
                };
                let d_weight = (gradients.get_mut(*weight), of_parameter);
                training::rms_norm_backward(machine, kept, d_out.values(), (d_x.values(), into), d_weight);
                self.put(d_x);
            }
            Op::Rope { angles, heads, head_dim } => {
                training::rope(machine, &self.angles[*angles], *head_dim, *heads, Turn::Back, d_out.values());
                self.pass_on(index, inputs[0], machine, 1.0, &mut d_out);
            }
            Op::Attention(shape) => {
                let [mut q, mut k, mut v] = [0, 1, 2].map(|i| d(self, i));
                let kept = AttentionKept {
                    operands: (self.value(inputs[0]), self.value(inputs[1]), self.value(inputs[2])),
                    out: self.value(Var(index)),
                    log_sums: self.plan.kept[index].map_or(&[], |kept| self.read(kept)),
                };
                let to = [(q.0.values(), q.1), (k.0.values(), k.1), (v.0.values(), v.1)];
                training::attention_backward(machine, shape, &kept, d_out.values(), to);
                for (taken, _) in [q, k, v] {
                    self.put(taken);
                }
            }
            Op::Add => {
                // An operand in the same place last: nothing is left to be done for it.
                let mut order = inputs.clone();
                order.sort_by_key(|&input| self.gradient_is_same(index, input));
                for input in order {
                    self.pass_on(index, input, machine, 1.0, &mut d_out);
                }
            }
            Op::Scale(factor) => self.pass_on(index, inputs[0], machine, *factor, &mut d_out),
            Op::SwiGlu => {
                let [mut gate, mut up] = [0, 1].map(|i| d(self, i));
                let (x, y) = (self.value(inputs[0]), self.value(inputs[1]));
                let to = ((gate.0.values(), gate.1), (up.0.values(), up.1));
                training::swiglu_backward(machine, x, y, d_out.values(), to.0, to.1);
                self.put(gate.0);
                self.put(up.0);
            }
            Op::SquaredRelu => {
                let (mut d_x, into) = d(self, 0);
                training::squared_relu_backward(machine, self.value(inputs[0]), d_out.values(), (d_x.values(), into));
                self.put(d_x);
            }
            Op::SigmoidGate => {
                let [mut d_x, mut gate] = [0, 1].map(|i| d(self, i));
                let (x, y) = (self.value(inputs[0]), self.value(inputs[1]));
                let to = ((d_x.0.values(), d_x.1), (gate.0.values(), gate.1));
                training::sigmoid_gate_backward(machine, x, y, d_out.values(), to.0, to.1);
                self.put(d_x.0);
                self.put(gate.0);
            }
            Op::Loss { .. } => {}
        }
        self.put(d_out);
    }
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

    /// Where an operand's gradient goes; the first to write it does not add.
    fn take_gradient(&mut self, index: usize, input: Var) -> (Taken, Into) {
        let nodes = self.graph.nodes.iter().enumerate().skip(index + 1);
        let mut later = nodes.filter(|(later, node)| {
            node.inputs.contains(&input) && (self.plan.gradients[*later].is_some() || is_loss(node))
        });
        let into = if later.next().is_some() { Into::Add } else { Into::Set };
        (self.take(self.plan.gradients[input.0]), into)
    }

    /// Adds `factor` times a result's gradient to an operand's, or makes it that where both are in one place.
    fn pass_on(&mut self, index: usize, input: Var, machine: &Machine, factor: f32, d_out: &mut Taken) {
        if self.gradient_is_same(index, input) {
            if factor != 1.0 {
                training::scale_in_place(machine, factor, d_out.values());
            }
            return;
        }
        let (mut to, into) = self.take_gradient(index, input);
        training::scale(machine, factor, d_out.values(), into, to.values());
        self.put(to);
    }

    fn read(&self, place: Place) -> &[f32] {
        let slot = self.slots[place.slot].as_ref().expect("no buffer is read while it is written");
        &slot.as_slice()[..place.len]
    }

    fn value(&self, var: Var) -> &[f32] {
        self.plan.values[var.0].map_or(&[], |place| self.read(place))
    }

    /// Whether a node's result is in its operand's place.
    fn is_same(&self, index: usize, input: Var) -> bool {
        self.plan.values[index].map(|place| place.slot) == self.plan.values[input.0].map(|place| place.slot)
    }

    /// Whether the gradient of a node's operand is in its result's place.
    fn gradient_is_same(&self, index: usize, input: Var) -> bool {
        let slot = |index: usize| self.plan.gradients[index].map(|place| place.slot);
        slot(index) == slot(input.0)
    }
}

const fn is_loss(node: &Node) -> bool {
    matches!(node.op, Op::Loss { .. })
}

/// The parameter of an operation.
const fn parameter(op: &Op) -> Option<Parameter> {
    match op {
        Op::Embed { table } => Some(*table),
        Op::Linear { weight } | Op::RmsNorm { weight, .. } => Some(*weight),
        Op::Loss { weights, .. } => Some(*weights),
        _ => None,
    }
}

fn check(graph: &Graph) -> Result<(), GraphError> {
    let refuse = |what: &str, expected: &str, found: &str| GraphError {
        operation: "program",
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    let losses = graph.nodes.iter().filter(|node| is_loss(node)).count();
    if losses != 1 || !graph.nodes.last().is_some_and(is_loss) {
        let found = format!("{losses} of {} operations", graph.nodes.len());
        return Err(refuse("loss", "the last operation, once", &found));
    }
    let plan = Plan::of(graph);
    for (index, one) in graph.parameters.iter().enumerate() {
        let mut nodes = graph.nodes.iter().enumerate();
        let is_used = nodes.any(|(node, what)| {
            parameter(&what.op) == Some(Parameter(index)) && (plan.values[node].is_some() || is_loss(what))
        });
        if !is_used {
            return Err(refuse(&one.name, "used by what the loss depends on", "not used"));
        }
    }
    Ok(())
}

/// In the order of time: the loss, then nodes from the last to the first.
fn writes_first(graph: &Graph) -> Vec<bool> {
    let plan = Plan::of(graph);
    let mut written = vec![false; graph.parameters.len()];
    let mut first = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let is_run = is_loss(node) || plan.values[index].is_some();
        if let Some(parameter) = parameter(&node.op).filter(|_| is_run) {
            first[index] = !std::mem::replace(&mut written[parameter.0], true);
        }
    }
    first
}

/// Working memory of all nodes, in f32.
fn scratch(graph: &Graph, threads: usize) -> usize {
    let tokens = graph.batch.tokens();
    let of_node = |node: &Node| match &node.op {
        Op::RmsNorm { weight, .. } => {
            let width = graph.parameters[weight.0].columns;
            training::rms_norm_scratch(tokens * node.width / width, width)
        }
        Op::Attention(shape) => shape.scratch(threads),
        _ => 0,
    };
    graph.nodes.iter().map(of_node).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
