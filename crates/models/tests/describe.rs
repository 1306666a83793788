//! What a header says is what a loaded model does: the same program, costs and memory; and sizes agree with sums by hand.

use formats::gguf::{Gguf, TensorInfo};
use kernels::{
    FloatProducts, KvType, RuntimeProfile,
    program::{Node, StepShape},
};
use models::{Footprint, Model};

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod draft;

use draft::{Draft, fixture_path};

const FIXTURES: [&str; 14] = [
    "llama",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "gemma3",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "qwen3next-moe",
    "granitehybrid",
    "granitehybrid-moe",
    "rwkv7",
    "kimi-linear",
    "recurrentgemma",
];

fn described(fixture: &str) -> Model {
    Model::describe(Draft::of(fixture).build()).expect("a model we run")
}

fn loaded(fixture: &str) -> Model {
    Model::load(
        &fixture_path(&format!("{fixture}.gguf")),
        &RuntimeProfile::default(),
        &mut |_| {},
    )
    .expect("a model we run")
}

#[test]
fn a_described_model_equals_the_loaded_one() {
    for fixture in FIXTURES {
        let (hollow, full) = (described(fixture), loaded(fixture));
        assert!(
            hollow.program.is_hollow() && !full.program.is_hollow(),
            "{fixture}"
        );
        assert_eq!(hollow.config, full.config);
        assert_eq!(hollow.parameters(), full.parameters());
        let nodes = |model: &Model| format!("{:?}", model.program.nodes());
        assert_eq!(nodes(&hollow), nodes(&full), "{fixture}");
        assert_eq!(
            hollow.program.packed_bytes(),
            full.program.packed_bytes(),
            "{fixture}"
        );
        for kv_type in KvType::ALL {
            for (tokens, depth) in [(1, 0), (1, 511), (64, 0), (100, 300)] {
                assert_eq!(
                    hollow.cost(tokens, depth, kv_type),
                    full.cost(tokens, depth, kv_type),
                    "{fixture}"
                );
            }
            for context in [1, 100, 512] {
                assert_eq!(
                    hollow.footprint(context, kv_type),
                    full.footprint(context, kv_type),
                    "{fixture}"
                );
            }
        }
    }
}

/// Matrices that the program packs, experts' included: all but the embedding (unless it is the output too) and what is a vector to us.
fn streamed(gguf: &Gguf) -> impl Iterator<Item = &TensorInfo> {
    let tied = gguf.tensor("output.weight").is_none();
    gguf.tensors().iter().filter(move |t| match t.name() {
        "token_embd.weight" => tied,
        name => {
            let vectors = [
                "ssm_conv1d.weight",
                "ssm_conv1d_q.weight",
                "ssm_conv1d_k.weight",
                "ssm_conv1d_v.weight",
                "ssm_a",
                "ssm_d",
                "ssm_norm.weight",
                "time_mix_lerp_fused.weight",
                // Nothing reads these.
                "blk.0.time_mix_v1.weight",
                "blk.0.time_mix_v2.weight",
            ];
            let is_row = name.ends_with("ffn_gate_inp_shexp.weight");
            (t.shape().len() >= 2 || is_row) && !vectors.iter().any(|v| name.ends_with(v))
        }
    })
}

#[test]
fn a_decode_step_reads_the_bytes_of_the_files_matrices() {
    for fixture in FIXTURES {
        let model = described(fixture);
        // Panels have 16 rows. `ssm_ba` becomes two matrices, alphas and betas; of `ssm_in` only the last part is ragged.
        let panels = |t: &TensorInfo| {
            let halves = if t.name().ends_with("ssm_ba.weight") {
                2
            } else {
                1
            };
            halves * (t.rows() / halves).next_multiple_of(16) * t.row_len() * 4
        };
        let padded: usize = streamed(&model.gguf).map(panels).sum();
        let in_file: usize = streamed(&model.gguf).filter_map(TensorInfo::byte_len).sum();
        let packed: usize = model
            .program
            .packed_bytes()
            .iter()
            .map(|&(_, _, bytes)| bytes)
            .sum();
        assert_eq!(packed, padded, "{fixture}");
        let is_narrow = |t: &TensorInfo| !t.rows().is_multiple_of(16) || t.name().contains("ssm_");
        let has_narrow = streamed(&model.gguf).any(is_narrow);
        assert!(
            packed == in_file || has_narrow,
            "{fixture}: {packed} packed, {in_file} in the file"
        );

        let step = StepShape {
            tokens: 1,
            depth: 0,
            outputs: 1,
            kv_type: KvType::F16,
            float_products: FloatProducts::F32,
        };
        let (mut read, mut inputs) = (0, 0);
        for labelled in model.program.nodes() {
            if let Node::MatMul { projections, .. } = &labelled.node {
                read += model.program.cost(&labelled.node, step).read_bytes;
                inputs += projections
                    .iter()
                    .map(|p| 4 * model.program.matrix(p.matrix).cols() as u64)
                    .sum::<u64>();
            }
        }
        let of_experts = streamed(&model.gguf).filter(|t| t.shape().len() == 3);
        let dense = packed - of_experts.map(panels).sum::<usize>();
        assert_eq!(read, dense as u64 + inputs, "{fixture}");
    }
}

#[test]
fn memory_equals_sums_by_hand() {
    // llama: 3 layers of keys and values, 2 heads of 16, 512 positions of 2 or 4 bytes.
    let llama = described("llama");
    let kv = 3 * 2 * 2 * 16 * 512;
    assert_eq!(
        llama.footprint(512, KvType::F16),
        Some(Footprint {
            kv_bytes: 2 * kv,
            state_bytes: 0
        })
    );
    assert_eq!(
        llama.footprint(512, KvType::F32),
        Some(Footprint {
            kv_bytes: 4 * kv,
            state_bytes: 0
        })
    );
    // qwen35: of 8 layers, 2 attend with one head of 64; 6 keep 6 matrices of 16 x 16 and 3 inputs of 160 channels, in f32.
    let hybrid = described("qwen35");
    let (kv, state) = (2 * 2 * 64 * 512, 6 * (6 * 16 * 16 + 3 * 160));
    let want = Footprint {
        kv_bytes: 2 * kv,
        state_bytes: 4 * state,
    };
    assert_eq!(hybrid.footprint(512, KvType::F16), Some(want));
    assert!(hybrid.program.is_recurrent() && !llama.program.is_recurrent());
    // granitehybrid: of 4 layers, 1 attends with 2 heads of 16; 3 keep 8 matrices of 24 x 16 and 3 inputs of 224 channels.
    let hybrid = described("granitehybrid");
    let (kv, state) = (2 * 2 * 16 * 512, 3 * (8 * 24 * 16 + 3 * 224));
    let want = Footprint {
        kv_bytes: 2 * kv,
        state_bytes: 4 * state,
    };
    assert_eq!(hybrid.footprint(512, KvType::F16), Some(want));
    assert!(hybrid.program.is_recurrent());
    // rwkv7: 3 layers keep 2 matrices of 64 x 64 and 2 rows of 128; no keys and values.
    let recurrent = described("rwkv7");
    let want = Footprint {
        kv_bytes: 0,
        state_bytes: 4 * 3 * (2 * 64 * 64 + 2 * 128),
    };
    assert_eq!(recurrent.footprint(1 << 20, KvType::F16), Some(want));
    assert!(recurrent.program.is_recurrent());
    // kimi-linear: of 5 layers, 2 attend with one head of 80 + 16; 3 keep 3 matrices of 32 x 32 and 3 inputs of 288 channels.
    let latent = described("kimi-linear");
    let (kv, state) = (2 * 2 * 96 * 512, 3 * (3 * 32 * 32 + 3 * 288));
    let want = Footprint {
        kv_bytes: 2 * kv,
        state_bytes: 4 * state,
    };
    assert_eq!(latent.footprint(512, KvType::F16), Some(want));
    // recurrentgemma: of 5 layers, 1 attends with one head of 32; 4 keep a value and 3 inputs of each of 144 channels.
    let griffin = described("recurrentgemma");
    let want = Footprint {
        kv_bytes: 2 * (2 * 32 * 512),
        state_bytes: 4 * 4 * (144 + 3 * 144),
    };
    assert_eq!(griffin.footprint(512, KvType::F16), Some(want));
    assert!(griffin.program.is_recurrent());
}

#[test]
fn a_size_beyond_the_address_space_is_no_size() {
    assert_eq!(
        described("llama").footprint(usize::MAX / 2, KvType::F16),
        None
    );
}

#[test]
fn tensors_are_grouped_by_format() {
    let model = described("llama");
    let [group] = &Model::tensor_groups(&model.gguf)[..] else {
        panic!("one format")
    };
    assert_eq!((group.format, group.tensors), ("F32", 30));
    assert_eq!(
        (group.elements, group.bytes),
        (model.parameters(), Some(4 * model.parameters()))
    );
}

#[test]
fn loading_reports_the_bytes_it_packs() {
    for fixture in FIXTURES {
        let mut heard = Vec::new();
        let path = fixture_path(&format!("{fixture}.gguf"));
        let model = Model::load(&path, &RuntimeProfile::default(), &mut |bytes| {
            heard.push(bytes)
        })
        .expect("a model we run");
        let in_file: usize = streamed(&model.gguf).filter_map(TensorInfo::byte_len).sum();
        assert!(heard.is_sorted(), "{fixture}: {heard:?}");
        assert_eq!(heard.last(), Some(&(in_file as u64)), "{fixture}");
    }
}

/// A token reads the experts that it goes to and no others; many tokens read all.
#[test]
fn costs_count_the_chosen_experts_alone() {
    let model = loaded("qwen3moe");
    // 3 layers of 6 experts, 3 chosen, of 3 matrices of 32 x 64 f32.
    let experts = 3 * 6 * 3 * 32 * 64 * 4;
    let bytes = |tokens| {
        let nodes = model.program.nodes().iter();
        nodes
            .map(|n| model.program.expert_weight_bytes(&n.node, tokens))
            .sum::<u64>()
    };
    assert_eq!((bytes(1), bytes(1000)), (experts / 2, experts));
    let one = model.cost(1, 0, KvType::F16);
    let others = model.parameters() * 4 - experts;
    assert!(one.read_bytes < others + experts / 2 + 20_000, "{one:?}");
}
