//! A model as a graph: each operation is declared once, its shapes are checked there, and nothing is computed yet.
//!
//! A [`Var`] is a matrix with a row for each token of the batch; a [`Parameter`] is a matrix that is trained. Operations are methods that take
//! both and return a `Var`, or an error that names the operation, what it expected and what it got. [`Graph::loss`] ends the graph;
//! [`crate::Program`] plans its memory and runs it, forward and backward. A model that changes over time is several graphs over the same
//! parameters.

mod mixers;

pub use corpus::Batch;
use kernels::training::{AttentionShape, GatedDeltaShape, L2Norm};

/// A matrix with a row per token, made by an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var(pub(crate) usize);

/// A matrix that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter(pub(crate) usize);

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Normally distributed, with this standard deviation.
    Normal(f32),
    /// Between these two, evenly.
    Uniform(f32, f32),
    /// The logarithm of a number between these two, evenly.
    LogUniform(f32, f32),
    /// One value.
    Constant(f32),
}

/// What an optimiser makes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplied with hidden states: decays, and may be orthogonalised.
    Matrix,
    /// A row per token of the vocabulary.
    Embedding,
    /// A norm's weight, a gate's bias and the like: never decays.
    Vector,
}

/// A parameter as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// As in the checkpoint.
    pub name: String,
    /// Outputs, or tokens of the vocabulary, or 1.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// How it begins.
    pub initial: Initial,
    /// What an optimiser makes of it.
    pub role: Role,
}

/// Why a graph is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {what} must be {expected}, and is {found}")]
pub struct GraphError {
    /// The method.
    pub operation: &'static str,
    /// Of its arguments.
    pub what: String,
    /// In words.
    pub expected: String,
    /// What came.
    pub found: String,
}

fn error(
    operation: &'static str,
    what: impl Into<String>,
    expected: impl ToString,
    found: impl ToString,
) -> GraphError {
    GraphError {
        operation,
        what: what.into(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// What is computed at a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Embed {
        table: Parameter,
    },
    Linear {
        weight: Parameter,
    },
    RmsNorm {
        weight: Parameter,
        eps: f32,
    },
    Rope {
        angles: usize,
        heads: usize,
        head_dim: usize,
    },
    Attention(AttentionShape),
    Add,
    Scale(f32),
    SwiGlu,
    SquaredRelu,
    SigmoidGate,
    CausalConv {
        weight: Parameter,
    },
    L2Norm(L2Norm),
    GatedNorm {
        weight: Parameter,
        eps: f32,
    },
    GatedDelta {
        shape: GatedDeltaShape,
        a_log: Parameter,
        dt_bias: Parameter,
    },
    Loss {
        weights: Parameter,
        soft_cap: Option<f32>,
    },
}

/// An operation with its operands; the result is the `Var` of the same number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub op: Op,
    pub inputs: Vec<Var>,
    /// Columns of the result.
    pub width: usize,
}

/// Frequencies of a rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rotation {
    pub rotated: usize,
    pub base: f64,
}

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Of queries.
    pub queries: usize,
    /// Of keys and values: the queries' or a part of them.
    pub keys: usize,
    /// Channels of each: a multiple of 16.
    pub dim: usize,
    /// Keys that a query sees, itself included; all before it where there is none.
    pub window: Option<usize>,
}

/// Heads of a gated delta rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaHeads {
    /// Of queries and keys.
    pub keys: usize,
    /// Of values: a multiple of the keys'.
    pub values: usize,
    /// Channels of a query or key: a multiple of 16.
    pub key_dim: usize,
    /// Channels of a value: a multiple of 16.
    pub value_dim: usize,
}

/// Operations declared so far.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) batch: Batch,
    pub(crate) parameters: Vec<Declared>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rotations: Vec<Rotation>,
}

/// No dimension beyond this: sizes of several cannot overflow then.
const MOST: usize = 1 << 24;

impl Graph {
    /// No operation yet.
    ///
    /// # Errors
    /// The batch is empty, or too large to count.
    pub fn new(batch: Batch) -> Result<Self, GraphError> {
        for (what, number) in [
            ("sequences", batch.sequences),
            ("positions", batch.positions),
        ] {
            if number == 0 || number > MOST {
                return Err(error("batch", what, format!("1 to {MOST}"), number));
            }
        }
        if batch.tokens() > MOST {
            return Err(error(
                "batch",
                "sequences times positions",
                format!("1 to {MOST}"),
                batch.tokens(),
            ));
        }
        Ok(Self {
            batch,
            parameters: Vec::new(),
            nodes: Vec::new(),
            rotations: Vec::new(),
        })
    }

    /// The sequences.
    #[must_use]
    pub const fn batch(&self) -> Batch {
        self.batch
    }

    /// Parameters declared so far, in order.
    #[must_use]
    pub fn parameters(&self) -> &[Declared] {
        &self.parameters
    }

    /// Declares a parameter.
    ///
    /// # Errors
    /// The name is taken, or a dimension is 0 or absurd.
    pub fn parameter(
        &mut self,
        name: impl Into<String>,
        [rows, columns]: [usize; 2],
        initial: Initial,
        role: Role,
    ) -> Result<Parameter, GraphError> {
        let name = name.into();
        if self.parameters.iter().any(|one| one.name == name) {
            return Err(error("parameter", "name", "a new one", name));
        }
        if rows == 0 || columns == 0 || rows > MOST || columns > MOST {
            let found = format!("{rows} x {columns}");
            return Err(error(
                "parameter",
                name,
                format!("1 to {MOST} both ways"),
                found,
            ));
        }
        self.parameters.push(Declared {
            name,
            rows,
            columns,
            initial,
            role,
        });
        Ok(Parameter(self.parameters.len() - 1))
    }

    /// Columns of a `Var`.
    #[must_use]
    pub fn width(&self, var: Var) -> usize {
        self.nodes[var.0].width
    }

    fn declared(&self, parameter: Parameter) -> &Declared {
        &self.parameters[parameter.0]
    }

    fn push(&mut self, op: Op, inputs: &[Var], width: usize) -> Var {
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            width,
        });
        Var(self.nodes.len() - 1)
    }

    /// A gradient is written by one operand at a time.
    fn distinct(operation: &'static str, operands: &[Var]) -> Result<(), GraphError> {
        let again = operands
            .iter()
            .enumerate()
            .find(|(i, one)| operands[..*i].contains(one));
        match again {
            None => Ok(()),
            Some((i, _)) => Err(error(
                operation,
                format!("operand {}", i + 1),
                "another one (scale(x, 1.0) makes one)",
                "an operand before it",
            )),
        }
    }

    fn same_width(&self, operation: &'static str, a: Var, b: Var) -> Result<usize, GraphError> {
        Self::distinct(operation, &[a, b])?;
        let (a, b) = (self.width(a), self.width(b));
        if a == b {
            return Ok(a);
        }
        Err(error(operation, "width of the second operand", a, b))
    }

    /// Each token's row of `table`, (vocabulary, width).
    pub fn embed(&mut self, table: Parameter) -> Var {
        let width = self.declared(table).columns;
        self.push(Op::Embed { table }, &[], width)
    }

    /// `x W^T` with `weight` (outputs, inputs).
    ///
    /// # Errors
    /// The weight has other inputs than x has columns.
    pub fn linear(&mut self, x: Var, weight: Parameter) -> Result<Var, GraphError> {
        let (width, declared) = (self.width(x), self.declared(weight));
        if declared.columns != width {
            let what = format!("columns of {}", declared.name);
            return Err(error("linear", what, width, declared.columns));
        }
        let outputs = declared.rows;
        Ok(self.push(Op::Linear { weight }, &[x], outputs))
    }

    /// Root-mean-square norm of each row, or of each part of it that is as wide as the weight (a head).
    ///
    /// # Errors
    /// A row is no multiple of the weight, or eps is not above 0.
    pub fn rms_norm(&mut self, x: Var, weight: Parameter, eps: f32) -> Result<Var, GraphError> {
        let (width, declared) = (self.width(x), self.declared(weight));
        if declared.rows != 1 || !width.is_multiple_of(declared.columns) {
            let expected = format!("1 x a divisor of {width}");
            let found = format!("{} x {}", declared.rows, declared.columns);
            return Err(error("rms_norm", declared.name.clone(), expected, found));
        }
        if !(eps > 0.0 && eps < 1.0) {
            return Err(error("rms_norm", "eps", "between 0 and 1", eps));
        }
        Ok(self.push(Op::RmsNorm { weight, eps }, &[x], width))
    }

    /// Rotary embedding of the first `rotated` channels of each head, channels i and i + rotated / 2 a pair.
    ///
    /// # Errors
    /// A row is no multiple of the head, or what is rotated is odd or more than a head.
    pub fn rope(
        &mut self,
        x: Var,
        head_dim: usize,
        rotated: usize,
        base: f64,
    ) -> Result<Var, GraphError> {
        let width = self.width(x);
        if head_dim == 0 || !width.is_multiple_of(head_dim) {
            let expected = format!("a divisor of the width {width}");
            return Err(error("rope", "head_dim", expected, head_dim));
        }
        if rotated == 0 || !rotated.is_multiple_of(2) || rotated > head_dim {
            let expected = format!("even, 2 to {head_dim}");
            return Err(error("rope", "rotated", expected, rotated));
        }
        if !(base > 1.0 && base.is_finite()) {
            return Err(error("rope", "base", "above 1", base));
        }
        let rotation = Rotation { rotated, base };
        let known = self.rotations.iter().position(|one| *one == rotation);
        let angles = known.unwrap_or_else(|| {
            self.rotations.push(rotation);
            self.rotations.len() - 1
        });
        let heads = width / head_dim;
        Ok(self.push(
            Op::Rope {
                angles,
                heads,
                head_dim,
            },
            &[x],
            width,
        ))
    }

    /// `a + b`.
    ///
    /// # Errors
    /// The widths differ.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var, GraphError> {
        let width = self.same_width("add", a, b)?;
        Ok(self.push(Op::Add, &[a, b], width))
    }

    /// `factor x`.
    pub fn scale(&mut self, x: Var, factor: f32) -> Var {
        let width = self.width(x);
        self.push(Op::Scale(factor), &[x], width)
    }

    /// `silu(gate) up`.
    ///
    /// # Errors
    /// The widths differ.
    pub fn swiglu(&mut self, gate: Var, up: Var) -> Result<Var, GraphError> {
        let width = self.same_width("swiglu", gate, up)?;
        Ok(self.push(Op::SwiGlu, &[gate, up], width))
    }

    /// `max(x, 0)^2`.
    pub fn squared_relu(&mut self, x: Var) -> Var {
        let width = self.width(x);
        self.push(Op::SquaredRelu, &[x], width)
    }

    /// `x sigmoid(gate)`.
    ///
    /// # Errors
    /// The widths differ.
    pub fn sigmoid_gate(&mut self, x: Var, gate: Var) -> Result<Var, GraphError> {
        let width = self.same_width("sigmoid_gate", x, gate)?;
        Ok(self.push(Op::SigmoidGate, &[x, gate], width))
    }

    /// The mean cross-entropy of the next token, with logits `hidden weights^T`, capped to `c tanh(z / c)` where there is a cap c. The graph's
    /// last operation.
    ///
    /// # Errors
    /// The weights have other columns than the hidden states, or the cap is not above 0.
    pub fn loss(
        &mut self,
        hidden: Var,
        weights: Parameter,
        soft_cap: Option<f32>,
    ) -> Result<(), GraphError> {
        let (width, declared) = (self.width(hidden), self.declared(weights));
        if declared.columns != width {
            let what = format!("columns of {}", declared.name);
            return Err(error("loss", what, width, declared.columns));
        }
        if let Some(cap) = soft_cap
            && !(cap > 0.0 && cap.is_finite())
        {
            return Err(error("loss", "soft cap", "above 0", cap));
        }
        self.push(Op::Loss { weights, soft_cap }, &[hidden], 0);
        Ok(())
    }
}
