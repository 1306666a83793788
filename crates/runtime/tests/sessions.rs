//! Sessions: contexts, cutting back, and that what was there before leaves no trace in a single bit.

use formats::gguf::{Array, TextArray, Value};
use kernels::{
    BarrierStyle, Pinning, Role, RuntimeProfile,
    cpu::{Member, Outputs, Step},
    program::Node,
};
use runtime::{Engine, RuntimeError, Session};

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../models/tests/draft/mod.rs"]
mod draft;

use draft::Draft;

const FIXTURES: [&str; 9] = [
    "llama",
    "qwen2",
    "qwen3",
    "gemma3",
    "qwen35",
    "qwen3next",
    "rwkv7",
    "kimi-linear",
    "recurrentgemma",
];

fn open(draft: &Draft) -> Result<Engine, RuntimeError> {
    let profile = RuntimeProfile {
        threads: 1,
        prefill_chunk: 64,
        ..RuntimeProfile::default()
    };
    Engine::from_gguf(draft.build(), profile, &mut |_, _| {})
}

fn engine(fixture: &str) -> Engine {
    open(&Draft::of(fixture)).expect("a model we run")
}

fn text(len: usize) -> Vec<u32> {
    (0..len).map(|i| 10 + (i as u32 * 37) % 240).collect()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn prefill(session: &mut Session<'_>, tokens: &[u32]) -> Vec<u32> {
    bits(
        session
            .prefill(tokens, &mut |_| true)
            .expect("tokens that fit")
            .expect("not interrupted"),
    )
}

/// The logits after `tokens` in a session without a past.
fn fresh(engine: &Engine, tokens: &[u32]) -> Vec<u32> {
    prefill(&mut engine.session(None).expect("memory"), tokens)
}

/// A profile speaks of products by their role, which follows from the names that blocks give their parts.
#[test]
fn every_architecture_has_products_of_every_role() {
    for fixture in FIXTURES {
        let engine = engine(fixture);
        let nodes = engine.model().program.nodes();
        let roles: Vec<Role> = nodes
            .iter()
            .filter(|labelled| {
                matches!(
                    labelled.node,
                    Node::MatMul { .. } | Node::ExpertMatMul { .. }
                )
            })
            .map(|labelled| labelled.role)
            .collect();
        for role in Role::ALL {
            assert!(roles.contains(&role), "{fixture}: no {}", role.name());
        }
    }
}

/// More threads than there are processors, bound to those of this process, in every style of waiting.
#[test]
fn bound_threads_give_the_same_bits() {
    let draft = Draft::of("qwen3");
    let want = fresh(&engine("qwen3"), &text(20));
    for pinning in Pinning::ALL {
        for barrier in BarrierStyle::ALL {
            let profile = RuntimeProfile {
                threads: 3,
                pinning,
                barrier,
                barrier_spins: 10,
                ..RuntimeProfile::default()
            };
            let engine =
                Engine::from_gguf(draft.build(), profile, &mut |_, _| {}).expect("a model we run");
            let got = fresh(&engine, &text(20));
            assert!(got == want, "{pinning:?}, {barrier:?}: other bits");
        }
    }
}

#[test]
fn the_likeliest_token_is_that_of_the_largest_logit() {
    let engine = engine("qwen35");
    let (mut all, mut best) = (
        engine.session(None).expect("memory"),
        engine.session(None).expect("memory"),
    );
    for token in text(12) {
        let logits = all.decode(token).expect("it fits").to_vec();
        let found = best.decode_likeliest(token).expect("it fits") as usize;
        assert!(logits.iter().all(|&x| x <= logits[found]));
        assert!(
            logits[..found].iter().all(|&x| x < logits[found]),
            "the first of equals"
        );
    }
}

#[test]
fn a_context_is_at_most_the_models() {
    let engine = engine("llama");
    assert_eq!(engine.session(None).expect("memory").room(), 512);
    assert_eq!(engine.session(Some(1)).expect("memory").room(), 1);
    assert_eq!(engine.session(Some(512)).expect("memory").room(), 512);
    let beyond = engine.session(Some(513)).err().expect("beyond the model's");
    assert!(
        matches!(
            beyond,
            RuntimeError::Context {
                asked: 513,
                trained: 512
            }
        ),
        "{beyond}"
    );
    assert!(engine.session(Some(usize::MAX)).is_err());
    let none = engine
        .session(Some(0))
        .err()
        .expect("no context")
        .to_string();
    assert_eq!(none, "--context is 0; expected at least 1 token");
}

/// A file may claim any context: memory is taken for 8192 tokens unless more is asked for.
#[test]
fn a_claimed_context_takes_no_memory_until_asked_for() {
    let mut draft = Draft::of("llama");
    let engine = open(draft.set("llama.context_length", Value::U64(1 << 32))).expect("a model");
    assert_eq!(engine.session(None).expect("memory").room(), 8192);
    let all = engine.session(Some(1 << 32));
    // The system may promise the memory; it does not take it before it is used.
    if let Err(error) = all {
        assert!(
            matches!(
                error,
                RuntimeError::Memory {
                    context: 0x1_0000_0000,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_reset_session_is_a_fresh_one() {
    for fixture in FIXTURES {
        let engine = engine(fixture);
        let mut session = engine.session(None).expect("memory");
        prefill(&mut session, &text(150));
        session.reset();
        assert!(session.tokens().is_empty() && session.room() == 512);
        let other: Vec<u32> = text(90).into_iter().rev().collect();
        assert_eq!(
            prefill(&mut session, &other),
            fresh(&engine, &other),
            "{fixture}"
        );
    }
}

#[test]
fn a_prompt_in_pieces_is_the_prompt_at_once() {
    let tokens = text(130);
    for fixture in FIXTURES {
        let engine = engine(fixture);
        let mut session = engine.session(None).expect("memory");
        for piece in [&tokens[..1], &tokens[1..64], &tokens[64..70]] {
            prefill(&mut session, piece);
        }
        for &token in &tokens[70..129] {
            session.decode(token).expect("room");
        }
        let last = bits(session.decode(tokens[129]).expect("room"));
        assert_eq!(last, fresh(&engine, &tokens), "{fixture}");
        assert_eq!(session.tokens(), tokens);
    }
}

#[test]
fn cutting_back_forgets_what_was_behind() {
    for fixture in ["llama", "gemma3"] {
        let engine = engine(fixture);
        let mut session = engine.session(None).expect("memory");
        let tokens = text(150);
        prefill(&mut session, &tokens);
        assert!(session.truncate(150) && !session.truncate(151));
        for keep in [149, 70, 64, 1] {
            assert!(session.truncate(keep), "{fixture}");
            assert_eq!(session.tokens(), &tokens[..keep]);
            let other = [&tokens[..keep], &[7, 9, 11]].concat();
            assert_eq!(
                prefill(&mut session, &[7, 9, 11]),
                fresh(&engine, &other),
                "{fixture} at {keep}"
            );
            assert!(session.truncate(keep));
        }
        assert!(session.truncate(0) && session.tokens().is_empty());
    }
}

#[test]
fn a_hybrid_forgets_everything_or_nothing() {
    let engine = engine("qwen35");
    let mut session = engine.session(None).expect("memory");
    prefill(&mut session, &text(80));
    assert!(!session.truncate(79) && session.truncate(80));
    assert_eq!(session.tokens().len(), 80);
    assert_eq!(session.keep_common(&text(90)), 80);
    assert_eq!(
        session.keep_common(&text(80)),
        0,
        "the last token must be computed anew"
    );
    assert!(session.tokens().is_empty());
}

#[test]
fn what_both_begin_with_is_kept() {
    let engine = engine("llama");
    let mut session = engine.session(None).expect("memory");
    let tokens = text(80);
    for (next, kept) in [
        (text(90), 80),
        (text(80), 79),
        (text(30), 29),
        (vec![1], 0),
        (vec![], 0),
    ] {
        session.reset();
        prefill(&mut session, &tokens);
        assert_eq!(session.keep_common(&next), kept);
        assert_eq!(session.tokens(), &tokens[..kept]);
    }
}

#[test]
fn a_refused_step_changes_nothing() {
    let engine = engine("qwen35");
    let mut session = engine.session(Some(20)).expect("memory");
    prefill(&mut session, &text(12));
    assert!(matches!(
        session.prefill(&text(9), &mut |_| true),
        Err(RuntimeError::PromptTooLong {
            tokens: 9,
            room: 8,
            ..
        })
    ));
    assert!(matches!(
        session.prefill(&[], &mut |_| true),
        Err(RuntimeError::EmptyPrompt)
    ));
    assert!(session.decode(288).is_err() && session.decode(u32::MAX).is_err());
    assert_eq!(session.tokens(), text(12));
    assert_eq!(
        prefill(&mut session, &text(20)[12..]),
        fresh(&engine, &text(20))
    );
    let full = session.decode(1).expect_err("no room").to_string();
    assert!(
        full.contains("21 tokens do not fit the context of 20"),
        "{full}"
    );
}

/// A table is too large to be checked at load. A token whose row is damaged is told, and leaves nothing behind.
#[test]
fn a_damaged_embedding_is_told_and_forgotten() {
    for fixture in ["llama", "gemma3", "qwen35"] {
        let mut draft = Draft::of(fixture);
        if !draft
            .tensors
            .iter()
            .any(|part| part.name == "output.weight")
        {
            let mut output = draft.tensor("token_embd.weight").clone();
            output.name = "output.weight".into();
            draft.tensors.push(output);
        }
        draft.tensor("token_embd.weight").put(64 * 99 + 3, f32::NAN);
        let engine = open(&draft).expect("a model");
        let mut session = engine.session(None).expect("memory");
        let error = session
            .prefill(&[20, 99, 30], &mut |_| true)
            .expect_err("logits that are no numbers");
        assert!(
            matches!(error, RuntimeError::NotFinite { position: 2 }),
            "{fixture}: {error}"
        );
        session.reset();
        assert_eq!(
            prefill(&mut session, &[20, 21]),
            fresh(&engine, &[20, 21]),
            "{fixture}"
        );
    }
}

/// A tokenizer that names tokens which the model has no rows for.
#[test]
fn every_token_has_a_row() {
    let mut draft = Draft::of("llama");
    for name in ["token_embd.weight", "output.weight"] {
        draft.tensor(name).reshape(&[64, 287]);
    }
    let error = open(&draft)
        .err()
        .expect("a token without a row")
        .to_string();
    let expected = "metadata `tokenizer.ggml.tokens` is 288 tokens; expected at most 287, the rows of `token_embd.weight`";
    assert!(
        error.starts_with("(bytes in memory): ") && error.contains(expected),
        "{error}"
    );
}

/// The reverse is common: tables are padded. Ids without a spelling are silent.
#[test]
fn rows_without_a_token_are_silent() {
    let mut draft = Draft::of("llama");
    let spelt = |key: &str, draft: &Draft| {
        draft
            .metadata
            .iter()
            .find(|(k, _)| k == key)
            .expect("a key")
            .1
            .clone()
    };
    let Value::Array(Array::Str(tokens)) = spelt("tokenizer.ggml.tokens", &draft) else {
        panic!("strings")
    };
    let Value::Array(Array::I32(types)) = spelt("tokenizer.ggml.token_type", &draft) else {
        panic!("integers")
    };
    let fewer: TextArray = tokens.iter().take(280).collect();
    draft.set("tokenizer.ggml.tokens", Value::Array(Array::Str(fewer)));
    draft.set(
        "tokenizer.ggml.token_type",
        Value::Array(Array::I32(types[..280].to_vec())),
    );
    draft.unset("tokenizer.ggml.merges").set(
        "tokenizer.ggml.merges",
        Value::Array(Array::Str(TextArray::from_iter([""; 0]))),
    );
    let engine = open(&draft).expect("a model");
    assert_eq!(
        (
            engine.tokenizer().vocab_size(),
            engine.model().config.vocabulary
        ),
        (280, 288)
    );
    assert!(
        engine.tokenizer().bytes_of(285).is_empty()
            && engine.tokenizer().decode(&[285, u32::MAX]).is_empty()
    );
    let mut session = engine.session(None).expect("memory");
    assert!(session.decode(287).is_ok() && session.decode(288).is_err());
}

#[test]
fn special_tokens_out_of_range_are_refused() {
    for key in ["tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"] {
        for id in [288, u32::MAX - 1] {
            let error = open(Draft::of("llama").set(key, Value::U32(id)))
                .err()
                .expect("an id out of range")
                .to_string();
            let expected = format!(
                "(bytes in memory): `{key}` is {id}, but the vocabulary ends at 288; the model file is damaged"
            );
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

/// Logits after each sequence's prompt and then after each of its next tokens, sequences side by side.
#[test]
fn sequences_of_a_batch_do_not_know_of_each_other() {
    const LENGTHS: [usize; 4] = [130, 1, 64, 17];
    const FOLLOWING: usize = 6;
    for fixture in FIXTURES {
        let engine = engine(fixture);
        let mut batch = engine.batch(LENGTHS.len(), Some(200)).expect("memory");
        let texts: Vec<Vec<u32>> = (0..LENGTHS.len())
            .map(|s| text(200).into_iter().map(|t| t + s as u32).collect())
            .collect();
        let mut got = Vec::new();
        for (s, &len) in LENGTHS.iter().enumerate() {
            let logits = batch
                .prefill(s, &texts[s][..len], &mut |_| true)
                .expect("tokens that fit")
                .expect("not interrupted");
            got.push(vec![bits(logits)]);
        }
        for i in 0..FOLLOWING {
            let members: Vec<Member<'_>> = (0..LENGTHS.len())
                .map(|sequence| Member {
                    sequence,
                    step: Step {
                        tokens: &texts[sequence][LENGTHS[sequence] + i..][..1],
                        outputs: Outputs::Last,
                    },
                })
                .collect();
            batch.step(&members, None).expect("a step that fits");
            for (s, got) in got.iter_mut().enumerate() {
                got.push(bits(batch.finite_logits(s).expect("numbers")));
            }
        }
        for (s, &len) in LENGTHS.iter().enumerate() {
            let mut session = engine.session(Some(200)).expect("memory");
            let mut want = vec![prefill(&mut session, &texts[s][..len])];
            for &token in &texts[s][len..][..FOLLOWING] {
                want.push(bits(session.decode(token).expect("a token that fits")));
            }
            assert!(got[s] == want, "{fixture}, sequence {s}");
            assert_eq!(batch.tokens(s), session.tokens());
            assert_eq!(batch.room(s), session.room());
        }
        // One starts anew; the others go on.
        batch.reset(1);
        let again = batch.prefill(1, &texts[1][..1], &mut |_| true);
        let again = bits(again.expect("room").expect("not interrupted"));
        assert!(again == got[1][0], "{fixture}");
        assert_eq!(batch.tokens(2).len(), LENGTHS[2] + FOLLOWING);
    }
}
