//! Every attack: its file's name, its bytes, and what the error has to say.

use serde_json::{Value, json};

use crate::bases::{experts, good, granite, griffin, hybrid, kimi, kimi_layers, windows, yarn};

/// Name, content, and what is told.
pub(crate) fn attacks() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bytes = |config: Value| serde_json::to_vec(&config).expect("JSON");
    let changed = |mut config: Value, key: &str, value: Value| {
        config[key] = value;
        bytes(config)
    };
    let with = |key: &str, value: Value| changed(good(), key, value);
    let bomb = |open: &str| format!("{{\"model_type\":{}", open.repeat(50_000)).into_bytes();
    let mut sparse = granite();
    sparse["layer_types"] = json!(["attention", "attention", "attention"]);
    sparse["num_local_experts"] = json!(4);
    vec![
        ("empty", Vec::new(), "not the JSON"),
        ("html", b"<!DOCTYPE html>".to_vec(), "not the JSON"),
        ("list", b"[]".to_vec(), "not the JSON"),
        ("brackets", bomb("["), "not the JSON"),
        ("objects", bomb("{\"a\":"), "not the JSON"),
        (
            "number-beyond-f64",
            b"{\"model_type\":\"llama\",\"rope_theta\":1e999}".to_vec(),
            "not the JSON",
        ),
        (
            "family-unknown",
            with("model_type", json!("mamba")),
            "`model_type` is \"mamba\"",
        ),
        (
            "family-missing",
            with("model_type", json!(null)),
            "`model_type` is missing",
        ),
        (
            "family-number",
            with("model_type", json!(7)),
            "\"model_type\" is 7",
        ),
        (
            "family-control-characters",
            with("model_type", json!("\u{1b}[2J".repeat(99))),
            "`model_type` is",
        ),
        (
            "activation",
            with("hidden_act", json!("relu")),
            "\"hidden_act\" is the string \"relu\"",
        ),
        (
            "rope-longrope",
            with("rope_scaling", json!({"rope_type": "longrope"})),
            "rope scaling \"longrope\"",
        ),
        (
            "rope-llama3-no-ends",
            with(
                "rope_scaling",
                json!({"rope_type": "llama3", "factor": 8.0}),
            ),
            "low_freq_factor\" is missing",
        ),
        (
            "rope-llama3-ends-meet",
            with(
                "rope_scaling",
                json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4, "high_freq_factor": 4}),
            ),
            "high_freq_factor\" is 4, where more than",
        ),
        (
            "rope-llama3-elsewhere",
            changed(hybrid(), "rope_scaling", json!({"rope_type": "llama3"})),
            "rope scaling \"llama3\"",
        ),
        (
            "rope-factor-below-one",
            with("rope_scaling", yarn("factor", json!(0.5))),
            "factor\" is 0.5, where a number from 1 to 65536",
        ),
        (
            "rope-factor-huge",
            with("rope_scaling", yarn("factor", json!(1e60))),
            "factor\" is 1e+60, where a number from 1 to 65536",
        ),
        (
            "rope-yarn-first-context",
            with(
                "rope_scaling",
                yarn("original_max_position_embeddings", json!(0)),
            ),
            "original_max_position_embeddings\" is 0",
        ),
        (
            "rope-yarn-untruncated",
            with("rope_scaling", yarn("truncate", json!(false))),
            "rope scaling \"yarn\" with \"truncate\" false",
        ),
        (
            "rope-yarn-theta",
            with("rope_scaling", yarn("rope_theta", json!(1.0))),
            "rope_theta\" is 1.0, where a number above 1",
        ),
        (
            "rope-yarn-part",
            with("rope_scaling", yarn("partial_rotary_factor", json!(0.5))),
            "\"yarn\" of a part of each head",
        ),
        (
            "rope-yarn-windows",
            changed(windows(), "rope_scaling", yarn("beta_fast", json!(16))),
            "rope scaling \"yarn\"",
        ),
        (
            "rope-no-factor",
            with("rope_scaling", json!({"rope_type": "linear"})),
            "factor",
        ),
        (
            "rope-list",
            with("rope_scaling", json!([1])),
            "\"rope_scaling\" is an array",
        ),
        (
            "quantised",
            with("quantization_config", json!({"quant_method": "gptq"})),
            "quantised already",
        ),
        (
            "softcap",
            with("final_logit_softcapping", json!(30.0)),
            "final_logit_softcapping",
        ),
        (
            "both-ways",
            with("use_bidirectional_attention", json!(true)),
            "use_bidirectional_attention",
        ),
        (
            "sliding",
            with("use_sliding_window", json!(true)),
            "use_sliding_window",
        ),
        (
            "width-missing",
            with("hidden_size", json!(null)),
            "\"hidden_size\" is missing",
        ),
        (
            "width-negative",
            with("hidden_size", json!(-64)),
            "\"hidden_size\" is -64",
        ),
        (
            "width-huge",
            with("hidden_size", json!(1_u64 << 60)),
            "from 1 to 16777216",
        ),
        (
            "width-text",
            with("hidden_size", json!("64")),
            "the string \"64\"",
        ),
        (
            "layers-none",
            with("num_hidden_layers", json!(0)),
            "\"num_hidden_layers\" is 0",
        ),
        (
            "layers-huge",
            with("num_hidden_layers", json!(1_000_000_000)),
            "\"num_hidden_layers\"",
        ),
        (
            "heads-fraction",
            with("num_attention_heads", json!(1.5)),
            "\"num_attention_heads\" is 1.5",
        ),
        (
            "heads-do-not-divide",
            with("num_key_value_heads", json!(3)),
            "divisor",
        ),
        ("head-odd", with("head_dim", json!(7)), "\"head_dim\" is 7"),
        (
            "epsilon-zero",
            with("rms_norm_eps", json!(0)),
            "rms_norm_eps",
        ),
        (
            "theta-negative",
            with("rope_theta", json!(-1.0)),
            "rope_theta",
        ),
        (
            "share-above-one",
            with("partial_rotary_factor", json!(2.0)),
            "partial_rotary_factor",
        ),
        (
            "share-of-nothing",
            with("partial_rotary_factor", json!(1e-9)),
            "partial_rotary_factor",
        ),
        (
            "text-config-list",
            with("text_config", json!([1])),
            "text_config",
        ),
        (
            "tied-text",
            with("tie_word_embeddings", json!("yes")),
            "tie_word_embeddings",
        ),
        (
            "layer-types-irregular",
            changed(hybrid(), "layer_types", json!(["full_attention", "x", "x"])),
            "layer_types",
        ),
        (
            "layer-types-too-few",
            changed(hybrid(), "layer_types", json!([])),
            "layer_types",
        ),
        (
            "value-heads-do-not-divide",
            changed(hybrid(), "linear_num_value_heads", json!(17)),
            "multiple of the 16",
        ),
        (
            "sections-five",
            changed(
                hybrid(),
                "rope_scaling",
                json!({"mrope_section": [1, 2, 3, 4, 5]}),
            ),
            "mrope_section",
        ),
        (
            "granite-layer-types",
            changed(granite(), "layer_types", json!(["mamba", "attention"])),
            "\"layer_types\" is an array",
        ),
        (
            "granite-layer-type-unknown",
            changed(granite(), "layer_types", json!(["mamba", "attention", 1])),
            "3 times \"mamba\" or \"attention\"",
        ),
        (
            "granite-heads-do-not-divide",
            changed(granite(), "mamba_n_heads", json!(9)),
            "a divisor of the 128 values",
        ),
        (
            "granite-groups-do-not-divide",
            changed(granite(), "mamba_n_groups", json!(3)),
            "a multiple of the 3 groups",
        ),
        (
            "granite-head-width",
            changed(granite(), "mamba_d_head", json!(64)),
            "\"mamba_d_head\" is 64, where 16",
        ),
        (
            "granite-steps-limited",
            changed(granite(), "time_step_limit", json!([0.001, 0.1])),
            "`time_step_limit`",
        ),
        (
            "granite-turned",
            changed(granite(), "position_embedding_type", json!("rope")),
            "rotary embedding beside Mamba layers",
        ),
        (
            "granite-positions",
            changed(granite(), "position_embedding_type", json!("alibi")),
            "\"position_embedding_type\" is the string \"alibi\"",
        ),
        (
            "granite-experts-without-mamba",
            bytes(sparse),
            "a mixture of experts whose layers all attend",
        ),
        (
            "granite-factor-zero",
            changed(granite(), "logits_scaling", json!(0)),
            "\"logits_scaling\" is 0",
        ),
        (
            "kimi-heads-differ",
            kimi_layers("num_heads", json!(8)),
            "num_heads\" is 8",
        ),
        (
            "kimi-layer-beyond",
            kimi_layers("full_attn_layers", json!([4])),
            "numbers of layers from 1 to 3",
        ),
        (
            "kimi-layer-zero",
            kimi_layers("full_attn_layers", json!([0])),
            "numbers of layers from 1 to 3",
        ),
        (
            "kimi-layer-type-unknown",
            changed(
                kimi(),
                "layer_types",
                json!(["linear_attention", "mamba", "full_attention"]),
            ),
            "\"layer_types\" is an array",
        ),
        (
            "kimi-dense-last",
            changed(
                kimi(),
                "mlp_layer_types",
                json!(["dense", "sparse", "dense"]),
            ),
            "\"mlp_layer_types\" is an array",
        ),
        (
            "kimi-queries-through-latents",
            changed(kimi(), "q_lora_rank", json!(1536)),
            "q_lora_rank",
        ),
        (
            "kimi-turned",
            changed(kimi(), "mla_use_nope", json!(false)),
            "mla_use_nope",
        ),
        (
            "kimi-key-heads",
            changed(kimi(), "num_key_value_heads", json!(2)),
            "\"num_key_value_heads\" is 2, where 4",
        ),
        (
            "kimi-groups-do-not-divide",
            changed(kimi(), "num_expert_group", json!(3)),
            "\"num_expert_group\" is 3",
        ),
        (
            "kimi-groups-huge",
            changed(kimi(), "num_expert_group", json!(1_u64 << 40)),
            "num_expert_group",
        ),
        (
            "kimi-softmax",
            changed(kimi(), "moe_router_activation_func", json!("softmax")),
            "moe_router_activation_func",
        ),
        (
            "kimi-scale-negative",
            changed(kimi(), "routed_scaling_factor", json!(-1)),
            "routed_scaling_factor",
        ),
        (
            "kimi-latents-huge",
            changed(kimi(), "kv_lora_rank", json!(1_u64 << 33)),
            "kv_lora_rank",
        ),
        (
            "griffin-layer-type-unknown",
            changed(
                griffin(),
                "block_types",
                json!(["recurrent", "mamba", "attention"]),
            ),
            "\"block_types\" is an array",
        ),
        (
            "griffin-no-layer-types",
            changed(griffin(), "block_types", json!([])),
            "\"block_types\" is an array",
        ),
        (
            "griffin-layer-types-text",
            changed(griffin(), "block_types", json!("recurrent")),
            "block_types",
        ),
        (
            "griffin-width-does-not-divide",
            changed(griffin(), "lru_width", json!(66)),
            "\"lru_width\" is 66",
        ),
        (
            "griffin-width-huge",
            changed(griffin(), "lru_width", json!(1_u64 << 40)),
            "lru_width",
        ),
        (
            "griffin-window-none",
            changed(griffin(), "attention_window_size", json!(0)),
            "attention_window_size",
        ),
        (
            "griffin-cap-zero",
            changed(griffin(), "logits_soft_cap", json!(0)),
            "logits_soft_cap",
        ),
        (
            "griffin-half-of-nothing",
            changed(griffin(), "intermediate_size", json!(1)),
            "\"intermediate_size\" is 1",
        ),
        (
            "griffin-embeddings-unscaled",
            changed(griffin(), "embeddings_scale_by_sqrt_dim", json!(false)),
            "embeddings_scale_by_sqrt_dim",
        ),
        (
            "griffin-activation",
            changed(griffin(), "hidden_activation", json!("silu")),
            "hidden_activation",
        ),
        (
            "griffin-stretched",
            changed(
                griffin(),
                "rope_scaling",
                json!({"rope_type": "linear", "factor": 2.0}),
            ),
            "rope scaling \"linear\"",
        ),
        (
            "experts-some-layers",
            changed(experts(), "decoder_sparse_step", json!(2)),
            "dense and sparse",
        ),
        (
            "experts-not-normalised",
            changed(experts(), "norm_topk_prob", json!(false)),
            "norm_topk_prob",
        ),
        (
            "experts-more-used",
            changed(experts(), "num_experts_per_tok", json!(9)),
            "num_experts_per_tok",
        ),
        (
            "experts-huge",
            changed(experts(), "num_experts", json!(1_u64 << 40)),
            "num_experts",
        ),
    ]
}
