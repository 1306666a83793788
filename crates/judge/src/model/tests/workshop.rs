//! Makes model files: every tensor of a configuration, drawn from a hash of its name as `reference.py` does, to be changed by a test.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Model;

/// A tensor before it is written.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) dtype: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

/// A file before it is written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) about: Value,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

/// A small model of bytes with attention and nothing else.
pub(super) fn small() -> Value {
    json!({
        "vocabulary": 256, "layers": 1, "width": 16, "mixers": ["full"], "heads": 1, "kv_heads": 1, "head_dim": 16, "window": 0,
        "mlp": "squared_relu", "hidden": 8, "tied": false, "soft_cap": null, "rope_base": 10000.0, "eps": 1e-6, "head_norms": false,
        "output_gate": false, "value_residual": false,
    })
}

impl Draft {
    /// A model of bytes.
    pub(super) fn of(model: &Value) -> Self {
        Self::about(
            json!({"schema": "sprag.model/1", "model": model, "positions": 4096, "tokenizer": null}),
        )
    }

    pub(super) fn about(about: Value) -> Self {
        let tensors = shapes(&about["model"])
            .into_iter()
            .map(|(name, rows, columns)| {
                let values = draw(&name, rows, columns);
                (name, Tensor::f32(vec![rows, columns], &values))
            })
            .collect();
        Self { about, tensors }
    }

    /// Changes one tensor's values.
    pub(super) fn fill(mut self, name: &str, value: impl Fn(usize, usize) -> f32) -> Self {
        if let Some(tensor) = self.tensors.get_mut(name) {
            let columns = tensor.shape[1];
            let count = tensor.bytes.len() / 4;
            let values: Vec<f32> = (0..count)
                .map(|at| value(at / columns, at % columns))
                .collect();
            *tensor = Tensor::f32(tensor.shape.clone(), &values);
        }
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let about = self.about.to_string().into_bytes();
        let mut head = json!({"about": {"dtype": "U8", "shape": [about.len()], "data_offsets": [0, about.len()]}});
        let mut data = about;
        for (name, tensor) in &self.tensors {
            let from = data.len();
            data.extend(&tensor.bytes);
            head[format!("weights.{name}")] = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [from, data.len()]});
        }
        container(&head.to_string(), &data)
    }

    pub(super) fn model(&self) -> Model {
        Model::read(&self.bytes()).unwrap_or_else(|flaw| panic!("the candidate {flaw}"))
    }
}

impl Tensor {
    pub(super) fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self {
            dtype: "F32",
            shape,
            bytes,
        }
    }
}

/// The length, the head, the data.
pub(super) fn container(head: &str, data: &[u8]) -> Vec<u8> {
    let length = head.len() as u64;
    [&length.to_le_bytes(), head.as_bytes(), data].concat()
}

/// Every tensor that a configuration asks for, written down apart from the judge's own list.
fn shapes(model: &Value) -> Vec<(String, usize, usize)> {
    let number = |field: &str| model[field].as_u64().unwrap_or_default() as usize;
    let [width, heads, dim, hidden] = ["width", "heads", "head_dim", "hidden"].map(number);
    let (inner, kv) = (heads * dim, number("kv_heads") * dim);
    let mut all = vec![
        ("token_embd.weight".to_owned(), number("vocabulary"), width),
        ("output_norm.weight".to_owned(), 1, width),
    ];
    if model["tied"] == false {
        all.push(("output.weight".to_owned(), number("vocabulary"), width));
    }
    let mixers = model["mixers"]
        .as_array()
        .map_or(&[] as &[Value], Vec::as_slice);
    for (layer, mixer) in (0..number("layers")).zip(mixers.iter().cycle()) {
        let mut add =
            |name: &str, rows, columns| all.push((format!("blk.{layer}.{name}"), rows, columns));
        add("attn_norm.weight", 1, width);
        add("ffn_norm.weight", 1, width);
        add("ffn_up.weight", hidden, width);
        add("ffn_down.weight", width, hidden);
        if model["mlp"] == "swiglu" {
            add("ffn_gate.weight", hidden, width);
        }
        if mixer == "gated_delta" {
            for name in ["q", "k", "v"] {
                add(&format!("delta_{name}.weight"), inner, width);
                add(&format!("delta_conv_{name}.weight"), inner, 4);
            }
            add("delta_a.weight", heads, width);
            add("delta_b.weight", heads, width);
            add("delta_a_log", 1, heads);
            add("delta_dt_bias", 1, heads);
            add("delta_gate.weight", inner, width);
            add("delta_norm.weight", 1, dim);
            add("delta_output.weight", width, inner);
            continue;
        }
        add("attn_q.weight", inner, width);
        add("attn_k.weight", kv, width);
        add("attn_v.weight", kv, width);
        add("attn_output.weight", width, inner);
        if model["head_norms"] == true {
            add("attn_q_norm.weight", 1, dim);
            add("attn_k_norm.weight", 1, dim);
        }
        if model["output_gate"] == true {
            add("attn_gate.weight", inner, width);
        }
    }
    all
}

fn draw(name: &str, rows: usize, columns: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let offset = if name.ends_with("norm.weight") {
        1.0
    } else {
        0.0
    };
    let scale = if rows == 1 {
        1.0
    } else {
        4.0 / (columns as f64).sqrt()
    };
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ z >> 31) >> 40) as f64 / (1 << 24) as f64 - 0.5;
        (unit * scale + offset) as f32
    };
    (0..rows * columns).map(|_| next()).collect()
}
