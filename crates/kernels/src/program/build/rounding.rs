//! Where the inputs of integer products are rounded to 8 bits.

use super::{
    BufferId, Extent, Label, Labelled, MatrixId, Node, ProgramBuilder, ProgramError, Projection,
};

impl ProgramBuilder {
    /// Gives every input of an integer product its 8-bit form: from the node that writes it where that can, else by a node
    /// of its own behind it.
    pub(super) fn place_quantisation(&mut self) -> Result<(), ProgramError> {
        let mut index = 0;
        while index < self.nodes.len() {
            let label = self.nodes[index].label;
            if let Some(input) = self.rounded_input(&self.nodes[index].node)
                && !self.is_quantised_before(index, input)
            {
                self.label = label;
                let width = self.buffers[input.0].width;
                self.expect(width.is_multiple_of(32), || {
                    format!("{width} inputs are not whole blocks of 32")
                })?;
                self.buffers[input.0].quantised = true;
                let writer = self.nodes[..index]
                    .iter()
                    .rposition(|n| writes(&n.node, input));
                let whole = writer.is_some_and(|w| self.writes_all(&self.nodes[w].node, input));
                if !writer.is_some_and(|w| whole && set_quantise(&mut self.nodes[w].node, input)) {
                    let part = "quantise";
                    let node = Labelled {
                        label: Label { part, ..label },
                        role: self.nodes[index].role,
                        node: Node::Quantise { buffer: input },
                    };
                    self.nodes.insert(index, node);
                    index += 1;
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// The input of a product with integer weights.
    fn rounded_input(&self, node: &Node) -> Option<BufferId> {
        let is_integer = |id: MatrixId| self.matrices[id.0].is_integer();
        match node {
            Node::MatMul { input, projections } => projections
                .iter()
                .any(|p| is_integer(p.matrix))
                .then_some(*input),
            Node::ExpertMatMul {
                input, projections, ..
            } => projections
                .iter()
                .any(|p| is_integer(p.matrix))
                .then_some(*input),
            Node::HeadMatMul { input, matrix, .. } => is_integer(*matrix).then_some(*input),
            _ => None,
        }
    }

    /// Whether products write the buffer's rows as they are: neither a part of them, nor several as one; and attention whole blocks in
    /// each head.
    fn writes_all(&self, node: &Node, id: BufferId) -> bool {
        match node {
            Node::MatMul { projections, .. } => {
                let rows = |p: &Projection| self.matrices[p.matrix.0].rows();
                let mut into = projections.iter().filter(|p| p.out == id);
                into.all(|p| p.column.is_none() && rows(p) == self.buffers[id.0].width)
            }
            Node::Attention { head_dim, .. } => {
                self.buffers[id.0].extent == Extent::Tokens && head_dim.is_multiple_of(32)
            }
            _ => true,
        }
    }

    /// Whether the last thing that happened to `input` before `index` was being rounded.
    fn is_quantised_before(&self, index: usize, input: BufferId) -> bool {
        self.nodes[..index]
            .iter()
            .rev()
            .find_map(|n| match &n.node {
                Node::Quantise { buffer } if *buffer == input => Some(true),
                node if writes(node, input) => Some(rounds(node, input)),
                _ => None,
            })
            == Some(true)
    }
}

/// Whether a node changes the buffer.
fn writes(node: &Node, id: BufferId) -> bool {
    match node {
        Node::Embed { out, .. }
        | Node::RmsNorm { out, .. }
        | Node::LayerNorm { out, .. }
        | Node::RopeTable { out, .. }
        | Node::Route { out, .. }
        | Node::HeadMatMul { out, .. }
        | Node::Mix { out, .. }
        | Node::Attention { out, .. }
        | Node::Glu { out, .. }
        | Node::CausalConv { out, .. }
        | Node::GatedDelta { out, .. }
        | Node::TimeSteps { out, .. }
        | Node::Mamba2 { out, .. }
        | Node::Wkv7 { out, .. }
        | Node::RgLru { out, .. }
        | Node::SelectOutputs { out, .. } => *out == id,
        Node::MatMul { projections, .. } => projections.iter().any(|p| p.out == id),
        Node::ExpertMatMul { projections, .. } => projections.iter().any(|p| p.out == id),
        Node::Heads { q, k, .. } => q.buffer == id || k.buffer == id,
        Node::DeltaPrepare { qkv, a, b, .. } => [*qkv, *a, *b].contains(&id),
        Node::TokenShift { outs, .. } => outs.iter().any(|o| o.out == id),
        Node::Wkv7Gates {
            decay,
            rate,
            key,
            value,
            removal,
            ..
        } => [*decay, *rate, *key, *value, *removal].contains(&id),
        Node::Wkv7Output { y, .. } => *y == id,
        Node::Quantise { .. } => false,
    }
}

/// Whether a node that changes the buffer also rounds it.
fn rounds(node: &Node, id: BufferId) -> bool {
    match node {
        Node::RmsNorm { quantise, .. }
        | Node::LayerNorm { quantise, .. }
        | Node::Attention { quantise, .. }
        | Node::Glu { quantise, .. }
        | Node::Wkv7Output { quantise, .. } => *quantise,
        Node::MatMul { projections, .. } => projections.iter().any(|p| p.out == id && p.quantise),
        Node::TokenShift { outs, .. } => outs.iter().any(|o| o.out == id && o.quantise),
        _ => false,
    }
}

/// Asks the writing node to round the buffer as it writes; false where it cannot.
fn set_quantise(node: &mut Node, id: BufferId) -> bool {
    let wanted = match node {
        Node::RmsNorm { quantise, .. }
        | Node::LayerNorm { quantise, .. }
        | Node::Attention { quantise, .. }
        | Node::Glu { quantise, .. }
        | Node::Wkv7Output { quantise, .. } => Some(quantise),
        // The last of them, where several write it.
        Node::MatMul { projections, .. } => projections
            .iter_mut()
            .rev()
            .find(|p| p.out == id)
            .map(|p| &mut p.quantise),
        Node::TokenShift { outs, .. } => outs
            .iter_mut()
            .find(|o| o.out == id)
            .map(|o| &mut o.quantise),
        _ => None,
    };
    wanted.map(|quantise| *quantise = true).is_some()
}
