//! What is found out about a graph before it runs: whether it is whole, who writes which gradient first, how much working memory it takes.

use kernels::training::{self, ConvolutionShape};

use crate::{
    graph::{Graph, GraphError, Node, Op, Parameter},
    plan::Plan,
};

pub(super) const fn is_loss(node: &Node) -> bool {
    matches!(node.op, Op::Loss { .. })
}

/// The parameters of an operation.
const fn parameters(op: &Op) -> [Option<Parameter>; 2] {
    match op {
        Op::Embed { table } => [Some(*table), None],
        Op::Linear { weight }
        | Op::RmsNorm { weight, .. }
        | Op::CausalConv { weight }
        | Op::GatedNorm { weight, .. } => [Some(*weight), None],
        Op::GatedDelta { a_log, dt_bias, .. } => [Some(*a_log), Some(*dt_bias)],
        Op::Loss { weights, .. } => [Some(*weights), None],
        _ => [None, None],
    }
}

pub(super) fn check(graph: &Graph, plan: &Plan) -> Result<(), GraphError> {
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
    for (index, one) in graph.parameters.iter().enumerate() {
        let mut nodes = graph.nodes.iter().enumerate();
        let is_used = nodes.any(|(node, what)| {
            parameters(&what.op).contains(&Some(Parameter(index)))
                && (plan.values[node].is_some() || is_loss(what))
        });
        if !is_used {
            return Err(refuse(
                &one.name,
                "used by what the loss depends on",
                "not used",
            ));
        }
    }
    Ok(())
}

/// Of each node and parameter of it: whether it is the first to write that gradient, in the order of time: the loss, then nodes from the last
/// to the first.
pub(super) fn writes_first(graph: &Graph, plan: &Plan) -> Vec<[bool; 2]> {
    let mut written = vec![false; graph.parameters.len()];
    let mut first = vec![[false; 2]; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let is_run = is_loss(node) || plan.values[index].is_some();
        for (first, parameter) in first[index].iter_mut().zip(parameters(&node.op)) {
            if let Some(parameter) = parameter.filter(|_| is_run) {
                *first = !std::mem::replace(&mut written[parameter.0], true);
            }
        }
    }
    first
}

/// Working memory of all nodes, in f32.
pub(super) fn scratch(graph: &Graph, threads: usize) -> usize {
    let tokens = graph.batch.tokens();
    let of_node = |node: &Node| match &node.op {
        Op::RmsNorm { weight, .. } => {
            let width = graph.parameters[weight.0].columns;
            training::rms_norm_scratch(tokens * node.width / width, width)
        }
        Op::Attention(shape) => shape.scratch(threads),
        Op::CausalConv { .. } => convolution(graph, node).scratch(),
        Op::GatedNorm { weight, .. } => {
            let dim = graph.parameters[weight.0].columns;
            training::gated_norm_scratch(tokens * node.width / dim, dim)
        }
        Op::GatedDelta { shape, .. } => shape
            .scratch(threads)
            .max(training::delta_gates_scratch(tokens, shape.value_heads)),
        _ => 0,
    };
    graph.nodes.iter().map(of_node).max().unwrap_or(0)
}

/// The shape of a convolution.
pub(super) const fn convolution(graph: &Graph, node: &Node) -> ConvolutionShape {
    ConvolutionShape {
        sequences: graph.batch.sequences,
        positions: graph.batch.positions,
        channels: node.width,
    }
}
