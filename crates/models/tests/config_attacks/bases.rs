//! Good configurations, which the attacks spoil in one place.

use serde_json::{Value, json};

pub(crate) fn good() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 80, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_hidden_layers": 3, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": null, "hidden_act": "silu", "vocab_size": 288,
    })
}

pub(crate) fn hybrid() -> Value {
    let mut config = good();
    config["model_type"] = json!("qwen3_5_text");
    config["head_dim"] = json!(16);
    config
}

pub(crate) fn windows() -> Value {
    let mut config = good();
    config["model_type"] = json!("gemma3_text");
    config["hidden_act"] = json!("gelu_pytorch_tanh");
    config["head_dim"] = json!(16);
    config["query_pre_attn_scalar"] = json!(16);
    config
}

pub(crate) fn granite() -> Value {
    let mut config = good();
    config["model_type"] = json!("granitemoehybrid");
    config["layer_types"] = json!(["mamba", "attention", "linear_attention"]);
    config["num_local_experts"] = json!(0);
    config["mamba_n_heads"] = json!(8);
    config
}

pub(crate) fn kimi() -> Value {
    let mut config = good();
    config["model_type"] = json!("kimi_linear");
    config["num_key_value_heads"] = json!(4);
    config["num_experts"] = json!(8);
    config["num_experts_per_token"] = json!(2);
    config["linear_attn_config"] = json!({
        "head_dim": 16, "num_heads": 4, "short_conv_kernel_size": 4, "kda_layers": [1, 2], "full_attn_layers": [3],
    });
    config
}

pub(crate) fn kimi_layers(key: &str, value: Value) -> Vec<u8> {
    let mut config = kimi();
    config["linear_attn_config"][key] = value;
    serde_json::to_vec(&config).expect("JSON")
}

pub(crate) fn griffin() -> Value {
    let mut config = good();
    config["model_type"] = json!("recurrent_gemma");
    config["hidden_act"] = Value::Null;
    config["hidden_activation"] = json!("gelu_pytorch_tanh");
    config["block_types"] = json!(["recurrent", "recurrent", "attention"]);
    config
}

pub(crate) fn experts() -> Value {
    let mut config = good();
    for (key, value) in [
        ("num_experts", 8),
        ("num_experts_per_tok", 2),
        ("moe_intermediate_size", 32),
    ] {
        config[key] = json!(value);
    }
    config["model_type"] = json!("qwen3_moe");
    config
}

/// YaRN as it should be, but for one setting.
pub(crate) fn yarn(key: &str, value: Value) -> Value {
    let mut settings = json!({"rope_type": "yarn", "factor": 4.0});
    settings[key] = value;
    settings
}
