//! What configurations give, and what is refused by which name.

use serde_json::{Value as Json, json};

use super::rope::Scaling;
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
    let scaling = parse(&scaled).unwrap().rope.scaling;
    assert_eq!(scaling, Some(Scaling::Linear(8.0)));
}

#[test]
fn extensions_have_the_defaults_of_transformers() {
    let yarn = |more: Json| {
        let mut settings = json!({"type": "yarn", "factor": 4.0});
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        match parse(&with("rope_scaling", settings)).unwrap().rope.scaling {
            Some(Scaling::Yarn(yarn)) => yarn,
            other => panic!("{other:?}"),
        }
    };
    let plain = yarn(json!({}));
    // The context of the whole model, where nothing else is said.
    assert_eq!(plain.original_context, 512);
    assert_eq!((plain.beta_fast, plain.beta_slow), (32.0, 1.0));
    assert_eq!(plain.magnitude, 0.1 * 4.0_f64.ln() + 1.0);
    let inner =
        json!({"original_max_position_embeddings": 64, "attention_factor": 1.5, "beta_slow": 0.5});
    let said = yarn(inner);
    assert_eq!(
        (said.original_context, said.magnitude, said.beta_slow),
        (64, 1.5, 0.5)
    );
    assert_eq!(
        yarn(json!({"mscale": 1.0, "mscale_all_dim": 1.0})).magnitude,
        1.0
    );
    assert_eq!(yarn(json!({"mscale": 1.0})).magnitude, plain.magnitude);

    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let mut config = with("rope_scaling", llama3);
    let original = |config: &Json| match parse(config).unwrap().rope.scaling {
        Some(Scaling::Llama3(llama3)) => llama3.original_context,
        other => panic!("{other:?}"),
    };
    assert_eq!(original(&config), 64);
    // Beside the other fields it goes first.
    config["original_max_position_embeddings"] = json!(128);
    assert_eq!(original(&config), 128);
}

#[test]
fn yarn_is_told_in_the_keys_that_llama_cpp_reads() {
    let keys = |settings: Json| {
        let pairs = parse(&with("rope_scaling", settings))
            .unwrap()
            .metadata("", 1);
        pairs
            .into_iter()
            .filter(|(key, _)| key.contains("scaling"))
            .collect::<Vec<_>>()
    };
    let pair = |key: &str, value| (format!("llama.rope.scaling.{key}"), value);
    let usual = vec![
        pair("type", Value::Str(Text::from("yarn"))),
        pair("factor", Value::F32(4.0)),
        pair("original_context_length", Value::U32(512)),
    ];
    let yarn = json!({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.138629436111989});
    assert_eq!(keys(yarn), usual);
    let yarn =
        json!({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.0, "beta_fast": 16.0});
    let attention = (1.0 / (0.1 * 4.0_f64.ln() + 1.0)) as f32;
    let said = [
        pair("attn_factor", Value::F32(attention)),
        pair("yarn_beta_fast", Value::F32(16.0)),
    ];
    assert_eq!(keys(yarn), [usual, said.to_vec()].concat());
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

#[test]
fn a_granite_whose_layers_all_attend_is_the_simpler_architecture() {
    let mut config = llama();
    config["model_type"] = json!("granitemoehybrid");
    config["num_local_experts"] = json!(0);
    config["shared_intermediate_size"] = json!(96);
    config["layers_block_type"] = json!(["attention", "attention", "attention"]);
    let finetuned = |config: &Json| {
        let pairs = parse(config).unwrap().metadata("", 1);
        let found = pairs
            .into_iter()
            .find(|(key, _)| key.ends_with("finetuned"));
        found.map(|(key, value)| (key, value.as_bool()))
    };
    let key = "granite.rope.scaling.finetuned".to_owned();
    assert_eq!(finetuned(&config), Some((key, Some(false))));
    // Nothing stretches where nothing turns.
    config["rope_scaling"] = json!({"rope_type": "linear", "factor": 2.0});
    assert_eq!(parse(&config).unwrap().rope.scaling, None);
    config["position_embedding_type"] = json!("rope");
    let found = parse(&config).unwrap();
    assert_eq!((found.family, found.feed_forward), (Family::Granite, 96));
    assert_eq!(found.rope.scaling, Some(Scaling::Linear(2.0)));
    assert_eq!(finetuned(&config), None);
    // One layer of Mamba, and it is a hybrid; experts have the other width.
    config["layers_block_type"] = json!(["attention", "mamba", "attention"]);
    config["position_embedding_type"] = json!("nope");
    config["mamba_n_heads"] = json!(8);
    config["num_local_experts"] = json!(4);
    let found = parse(&config).unwrap();
    let experts = found.experts.unwrap();
    assert_eq!(found.family, Family::GraniteHybrid);
    assert_eq!((experts.width, experts.shared_width), (80, Some(96)));
    let mamba = found.granite.unwrap().mamba.unwrap();
    assert_eq!(mamba.attends, [true, false, true]);
    assert_eq!((mamba.head_dim, mamba.channels()), (16, 128 + 2 * 256));
}

/// The fields of the published configuration, in small.
fn kimi_linear() -> Json {
    let mut config = llama();
    for (key, value) in [
        ("model_type", json!("kimi_linear")),
        ("num_key_value_heads", json!(4)),
        ("head_dim", json!(72)),
        ("kv_lora_rank", json!(48)),
        ("q_lora_rank", json!(null)),
        ("qk_nope_head_dim", json!(32)),
        ("qk_rope_head_dim", json!(16)),
        ("v_head_dim", json!(32)),
        ("mla_use_nope", json!(true)),
        ("num_experts", json!(8)),
        ("num_experts_per_token", json!(2)),
        ("num_shared_experts", json!(1)),
        ("num_expert_group", json!(1)),
        ("topk_group", json!(1)),
        ("moe_intermediate_size", json!(32)),
        ("moe_renormalize", json!(true)),
        ("moe_router_activation_func", json!("sigmoid")),
        ("moe_layer_freq", json!(1)),
        ("first_k_dense_replace", json!(1)),
        ("routed_scaling_factor", json!(2.446)),
        ("model_max_length", json!(1024)),
        (
            "linear_attn_config",
            json!({
                "head_dim": 16, "num_heads": 4, "short_conv_kernel_size": 4, "kda_layers": [1, 2],
                "full_attn_layers": [3],
            }),
        ),
    ] {
        config[key] = value;
    }
    config
}

/// Published configurations state neither context nor rotary settings as others do; those that transformers saves have more.
#[test]
fn published_and_saved_forms_of_recurrent_gemma_say_the_same() {
    let published = json!({
        "model_type": "recurrent_gemma", "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4,
        "num_key_value_heads": 1, "num_hidden_layers": 5, "head_dim": 16, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5, "attention_window_size": 2048, "conv1d_width": 4, "logits_soft_cap": 30.0,
        "block_types": ["recurrent", "recurrent", "attention"], "lru_width": 64, "embeddings_scale_by_sqrt_dim": true,
        "hidden_activation": "gelu_pytorch_tanh", "vocab_size": 288,
    });
    let dimensions = parse(&published).unwrap();
    let griffin = dimensions.recurrent_gemma.as_ref().unwrap();
    assert_eq!(griffin.attends, [false, false, true, false, false]);
    assert_eq!((griffin.channels, griffin.heads, griffin.taps), (64, 4, 4));
    assert_eq!((dimensions.feed_forward, dimensions.rope.dims), (80, 8));
    assert_eq!((dimensions.context, dimensions.tied), (8192, None));
    let mut saved = published.clone();
    let fields = saved.as_object_mut().unwrap();
    for key in ["rope_theta", "partial_rotary_factor"] {
        fields.remove(key);
    }
    saved["rope_parameters"] =
        json!({"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5});
    assert_eq!(parse(&saved).unwrap(), dimensions);
    // What is absent is as in transformers.
    let mut bare = published;
    let fields = bare.as_object_mut().unwrap();
    fields.retain(|key, _| {
        let needed = [
            "model_type",
            "hidden_size",
            "intermediate_size",
            "vocab_size",
        ];
        needed.contains(&key.as_str()) || key.starts_with("num_")
    });
    assert_eq!(parse(&bare).unwrap(), dimensions);
}

#[test]
fn published_and_saved_forms_of_kimi_linear_say_the_same() {
    let published = parse(&kimi_linear()).unwrap();
    let kimi = published.kimi.as_ref().unwrap();
    assert_eq!(kimi.attends, [false, false, true]);
    assert_eq!((kimi.dense, kimi.delta, kimi.row()), (1, 16, 64));
    assert_eq!((published.context, published.head_dim), (1024, 64));
    let mut saved = kimi_linear();
    let fields = saved.as_object_mut().unwrap();
    for key in [
        "linear_attn_config",
        "first_k_dense_replace",
        "moe_router_activation_func",
    ] {
        fields.remove(key);
    }
    for (from, to) in [
        ("num_experts", "num_local_experts"),
        ("num_experts_per_token", "num_experts_per_tok"),
        ("num_shared_experts", "n_shared_experts"),
        ("num_expert_group", "n_group"),
        ("moe_renormalize", "norm_topk_prob"),
        ("model_max_length", "max_position_embeddings"),
    ] {
        let value = fields.remove(from).unwrap();
        fields.insert(to.to_owned(), value);
    }
    for (key, value) in [
        ("linear_head_dim", json!(16)),
        ("linear_num_heads", json!(4)),
        (
            "layer_types",
            json!(["linear_attention", "linear_attention", "full_attention"]),
        ),
        ("mlp_layer_types", json!(["dense", "sparse", "sparse"])),
    ] {
        saved[key] = value;
    }
    assert_eq!(parse(&saved).unwrap(), published);
    // Without either, every fifth attends, as in transformers; in so short a model none does.
    saved.as_object_mut().unwrap().remove("layer_types");
    let kimi = parse(&saved).unwrap().kimi.unwrap();
    assert_eq!(kimi.attends, [false; 3]);
}
