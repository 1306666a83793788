//! The backward step of each operation: gradients of its operands, and of its parameter, from that of its result.

use kernels::training::{
    self, AttentionKept, DeltaGates, GatedDelta, GatedNormKept, Into, Kept, Machine, Matrix,
    MatrixMut, Turn,
};

use super::{
    Program, Taken, delta_parts,
    prepare::{convolution, is_loss},
};
use crate::{
    graph::{Node, Op, Var},
    weights::Weights,
};

impl Program {
    pub(super) fn backward(
        &mut self,
        index: usize,
        machine: &Machine,
        weights: &Weights,
        tokens: &[u32],
        (gradients, first): (&mut Weights, Into),
    ) {
        let Node { op, inputs, width } = self.graph.nodes[index].clone();
        let mut d_out = self.take(self.plan.gradients[index]);
        let [of_parameter, of_second] =
            self.writes_first[index].map(|is_first| if is_first { first } else { Into::Add });
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
                training::gemm(
                    machine,
                    self.precision,
                    d_y.transposed(),
                    x,
                    of_parameter,
                    to,
                );
                self.put(d_x);
            }
            Op::RmsNorm { weight, .. } => {
                let (mut d_x, into) = d(self, 0);
                let kept = Kept {
                    x: self.value(inputs[0]),
                    weight: weights.get(*weight),
                    inverse: self.kept(index),
                };
                let d_weight = (gradients.get_mut(*weight), of_parameter);
                training::rms_norm_backward(
                    machine,
                    kept,
                    d_out.values(),
                    (d_x.values(), into),
                    d_weight,
                );
                self.put(d_x);
            }
            Op::Rope {
                angles,
                heads,
                head_dim,
            } => {
                training::rope(
                    machine,
                    &self.angles[*angles],
                    *head_dim,
                    *heads,
                    Turn::Back,
                    d_out.values(),
                );
                self.pass_on(index, inputs[0], machine, 1.0, &mut d_out);
            }
            Op::Attention(shape) => {
                let [mut q, mut k, mut v] = [0, 1, 2].map(|i| d(self, i));
                let kept = AttentionKept {
                    operands: (
                        self.value(inputs[0]),
                        self.value(inputs[1]),
                        self.value(inputs[2]),
                    ),
                    out: self.value(Var(index)),
                    log_sums: self.kept(index),
                };
                let to = [
                    (q.0.values(), q.1),
                    (k.0.values(), k.1),
                    (v.0.values(), v.1),
                ];
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
                training::squared_relu_backward(
                    machine,
                    self.value(inputs[0]),
                    d_out.values(),
                    (d_x.values(), into),
                );
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
            Op::CausalConv { weight } => {
                let (mut d_x, into) = d(self, 0);
                let shape = convolution(&self.graph, &self.graph.nodes[index]);
                let kept = (self.value(inputs[0]), weights.get(*weight));
                let d_weight = (gradients.get_mut(*weight), of_parameter);
                let to = (d_x.values(), into);
                training::causal_conv_backward(machine, &shape, kept, d_out.values(), to, d_weight);
                self.put(d_x);
            }
            Op::L2Norm(norm) => {
                let (mut d_x, into) = d(self, 0);
                let kept = (self.value(inputs[0]), self.kept(index));
                training::l2_norm_backward(
                    machine,
                    norm,
                    kept,
                    d_out.values(),
                    (d_x.values(), into),
                );
                self.put(d_x);
            }
            Op::GatedNorm { weight, .. } => {
                let [mut d_x, mut d_z] = [0, 1].map(|i| d(self, i));
                let kept = GatedNormKept {
                    x: self.value(inputs[0]),
                    z: self.value(inputs[1]),
                    weight: weights.get(*weight),
                    inverse: self.kept(index),
                };
                let d_weight = (gradients.get_mut(*weight), of_parameter);
                let to = ((d_x.0.values(), d_x.1), (d_z.0.values(), d_z.1));
                training::gated_norm_backward(machine, kept, d_out.values(), to.0, to.1, d_weight);
                self.put(d_x.0);
                self.put(d_z.0);
            }
            Op::GatedDelta {
                shape,
                a_log,
                dt_bias,
            } => {
                let mut to = [0, 1, 2, 3, 4].map(|i| d(self, i));
                let mut kept = self.take(self.plan.kept[index]);
                let [log_decay, beta, d_log_decay, d_beta, own] = delta_parts(shape, kept.values());
                let x = |i: usize| self.value(inputs[i]);
                let delta = GatedDelta {
                    q: x(0),
                    k: x(1),
                    v: x(2),
                    log_decay,
                    beta,
                };
                let [q, k, v, a, b] = to.each_mut().map(|(to, into)| (to.values(), *into));
                let gates = [(&mut *d_log_decay, Into::Set), (&mut *d_beta, Into::Set)];
                let [decays, strengths] = gates;
                let into = [q, k, v, decays, strengths];
                training::gated_delta_backward(machine, shape, &delta, own, d_out.values(), into);
                let gates = DeltaGates {
                    a: x(3),
                    b: x(4),
                    a_log: weights.get(*a_log),
                    dt_bias: weights.get(*dt_bias),
                };
                let (d_a_log, d_dt_bias) = gradients.get_two_mut(*a_log, *dt_bias);
                let into = [a, b, (d_a_log, of_parameter), (d_dt_bias, of_second)];
                training::delta_gates_backward(machine, &gates, (d_log_decay, d_beta), into);
                self.put(kept);
                for (taken, _) in to {
                    self.put(taken);
                }
            }
            Op::Loss { .. } => {}
        }
        self.put(d_out);
    }

    /// Where an operand's gradient goes; the first to write it does not add.
    fn take_gradient(&mut self, index: usize, input: Var) -> (Taken, Into) {
        let nodes = self.graph.nodes.iter().enumerate().skip(index + 1);
        let mut later = nodes.filter(|(later, node)| {
            node.inputs.contains(&input) && (self.plan.gradients[*later].is_some() || is_loss(node))
        });
        let into = if later.next().is_some() {
            Into::Add
        } else {
            Into::Set
        };
        (self.take(self.plan.gradients[input.0]), into)
    }

    /// Adds `factor` times a result's gradient to an operand's, or makes it that where both are in one place.
    fn pass_on(
        &mut self,
        index: usize,
        input: Var,
        machine: &Machine,
        factor: f32,
        d_out: &mut Taken,
    ) {
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
}
