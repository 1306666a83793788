//! What configurations give, and what is refused by which name.

use serde_json::{Value as Json, json};

use super::*;

fn llama() -> Json {
    json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 80, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_hidden_layers": 3, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": null, "hidden_act": "silu", "vocab_size": 288,
    })
}

fn parse(config: &Json) -> Result<Dimensions, CheckpointError> {
    let bytes = serde_json::to_vec(config).unwrap();
    Dimensions::parse(&Document::from_bytes(Path::new("config.json"), &bytes).unwrap())
}

fn with(key: &str, value: Json) -> Json {
    let mut config = llama();
    config[key] = value;
    config
}

#[test]
fn old_and_new_forms_of_rotary_settings_say_the_same() {
    let old = parse(&llama()).unwrap();
    let mut new = llama();
    new.as_object_mut().unwrap().remove("rope_theta");
    new["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 10000.0});
    assert_eq!(parse(&new).unwrap(), old);
    let scaled = with("rope_scaling", json!({"type": "linear", "factor": 8.0}));
    assert_eq!(parse(&scaled).unwrap().rope.linear_factor, Some(8.0));
}

#[test]
fn a_text_model_inside_another_is_found() {
    let mut inner = llama();
    inner.as_object_mut().unwrap().remove("model_type");
    inner["model_type"] = json!("gemma3_text");
    inner["hidden_act"] = Json::Null;
    inner["query_pre_attn_scalar"] = json!(16);
    inner["head_dim"] = json!(16);
    let outer = json!({"model_type": "gemma3", "text_config": inner, "vision_config": {}});
    let found = parse(&outer).unwrap();
    assert_eq!(
        (found.family, found.window.unwrap().pattern),
        (Family::Gemma3, 6)
    );
}

#[test]
fn intervals_follow_the_list_of_layer_types() {
    let mut config = llama();
    config["model_type"] = json!("qwen3_5_text");
    config["head_dim"] = json!(16);
    let types = |full: &[usize]| {
        (0..8)
            .map(|i| {
                if full.contains(&i) {
                    "full_attention"
                } else {
                    "linear_attention"
                }
            })
            .collect::<Vec<_>>()
    };
    config["num_hidden_layers"] = json!(8);
    config["layer_types"] = json!(types(&[1, 3, 5, 7]));
    assert_eq!(parse(&config).unwrap().delta.unwrap().interval, 2);
    for irregular in [&[1, 2][..], &[7, 3, 4]] {
        config["layer_types"] = json!(types(irregular));
        assert!(
            parse(&config)
                .unwrap_err()
                .to_string()
                .contains("layer_types")
        );
    }
    config["layer_types"] = json!(types(&[]));
    assert_eq!(parse(&config).unwrap().delta.unwrap().interval, 9);
}

#[test]
fn experts_are_read_with_their_restrictions() {
    let mut config = llama();
    for (key, value) in [
        ("model_type", json!("qwen3_moe")),
        ("num_experts", json!(8)),
        ("num_experts_per_tok", json!(2)),
        ("moe_intermediate_size", json!(32)),
    ] {
        config[key] = value;
    }
    let experts = parse(&config).unwrap().experts.unwrap();
    assert_eq!(
        (experts.count, experts.used, experts.shared_width),
        (8, 2, None)
    );
    for (key, value) in [
        ("decoder_sparse_step", json!(2)),
        ("mlp_only_layers", json!([0])),
        ("norm_topk_prob", json!(false)),
        ("num_experts_per_tok", json!(9)),
        ("num_experts", json!(null)),
    ] {
        let mut config = config.clone();
        config[key] = value;
        assert!(parse(&config).is_err(), "{key}");
    }
}
