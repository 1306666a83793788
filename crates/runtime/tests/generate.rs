//! Generation on the fixtures: what ends it, what a listener may do, and that a resumed session answers as a fresh one.

use kernels::RuntimeProfile;
use runtime::{
    Engine, Event, Finish, Generation, GenerationOptions, RuntimeError, Sampler, SamplingOptions,
    Session, generate,
};

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../models/tests/draft/mod.rs"]
mod draft;

use draft::Draft;

const PROMPT: [u32; 7] = [40, 41, 42, 60, 61, 62, 90];

fn engine(fixture: &str) -> Engine {
    let profile = RuntimeProfile {
        threads: 1,
        prefill_chunk: 64,
        ..RuntimeProfile::default()
    };
    Engine::from_gguf(Draft::of(fixture).build(), profile, &mut |_, _| {}).expect("a model we run")
}

fn most(max_tokens: usize) -> GenerationOptions {
    GenerationOptions {
        max_tokens: Some(max_tokens),
        ..GenerationOptions::default()
    }
}

fn answer(session: &mut Session<'_>, prompt: &[u32], options: &GenerationOptions) -> Generation {
    let mut sampler = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    generate(session, prompt, &mut sampler, options, &mut |_| true).expect("a prompt that fits")
}

/// A drawn answer of a fresh session; seeds avoid an early end of generation.
fn drawn(engine: &Engine, seed: u64) -> Generation {
    let options = SamplingOptions {
        temperature: 1.5,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed,
        ..SamplingOptions::default()
    };
    let mut sampler = Sampler::new(options).expect("valid options");
    let mut session = engine.session(Some(64)).expect("memory");
    generate(&mut session, &PROMPT, &mut sampler, &most(40), &mut |_| {
        true
    })
    .expect("a prompt that fits")
}

fn prompt(len: usize) -> Vec<u32> {
    (0..len).map(|i| 10 + (i as u32 * 37) % 240).collect()
}

#[test]
fn greedy_answers_and_seeds_repeat_themselves() {
    for fixture in ["llama", "qwen35"] {
        let engine = engine(fixture);
        let greedy = || {
            answer(
                &mut engine.session(Some(64)).expect("memory"),
                &PROMPT,
                &most(20),
            )
        };
        let (a, b) = (greedy(), greedy());
        assert_eq!(
            (&a.text, &a.tokens, &a.finish),
            (&b.text, &b.tokens, &b.finish)
        );
        assert_eq!((a.prompt_tokens, a.kept_tokens), (7, 0));
        let (one, again, other) = (drawn(&engine, 3), drawn(&engine, 3), drawn(&engine, 4));
        assert_eq!((&one.tokens, &one.text), (&again.tokens, &again.text));
        assert_ne!(one.tokens, other.tokens);
    }
}

#[test]
fn text_is_what_the_tokens_spell_and_what_the_listener_heard() {
    let engine = engine("llama");
    let mut session = engine.session(Some(64)).expect("memory");
    let mut sampler = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    let (mut heard, mut prefilled) = (String::new(), Vec::new());
    let done = generate(
        &mut session,
        &PROMPT,
        &mut sampler,
        &most(20),
        &mut |event| {
            match event {
                Event::Prefill { done, total } => prefilled.push((done, total)),
                Event::Text(text) => heard.push_str(text),
            }
            true
        },
    );
    let done = done.expect("a prompt that fits");
    assert_eq!(prefilled, [(7, 7)]);
    assert_eq!(heard, done.text);
    assert_eq!(done.text, engine.tokenizer().decode(&done.tokens));
    assert!(!done.text.is_empty());
}

#[test]
fn the_token_limit_ends_it() {
    let engine = engine("llama");
    for limit in [0, 1, 5] {
        let done = answer(
            &mut engine.session(Some(64)).expect("memory"),
            &PROMPT,
            &most(limit),
        );
        assert_eq!((done.tokens.len(), done.finish), (limit, Finish::Length));
    }
}

#[test]
fn a_full_context_ends_it_after_one_more_token() {
    let engine = engine("llama");
    let mut session = engine.session(Some(10)).expect("memory");
    let done = answer(&mut session, &PROMPT, &GenerationOptions::default());
    // Three tokens fit behind the prompt; the fourth needs no place, as nothing follows it.
    assert_eq!((done.tokens.len(), done.finish), (4, Finish::ContextFull));
    assert_eq!(session.room(), 0);
    let at_limit = answer(
        &mut engine.session(Some(10)).expect("memory"),
        &PROMPT,
        &most(4),
    );
    assert_eq!(
        (at_limit.tokens.len(), at_limit.finish),
        (4, Finish::Length)
    );
    let exact = answer(
        &mut engine.session(Some(7)).expect("memory"),
        &PROMPT,
        &GenerationOptions::default(),
    );
    assert_eq!((exact.tokens.len(), exact.finish), (1, Finish::ContextFull));
}

#[test]
fn a_stop_string_ends_it_and_is_not_shown() {
    let engine = engine("llama");
    let whole = answer(
        &mut engine.session(Some(64)).expect("memory"),
        &PROMPT,
        &most(20),
    )
    .text;
    let chars: Vec<char> = whole.chars().collect();
    let stop: String = chars[chars.len() / 2..chars.len() / 2 + 2].iter().collect();
    // An empty string never matches, and does not confuse which one did.
    let options = GenerationOptions {
        stop: vec![String::new(), "\u{1f980} never".into(), stop.clone()],
        ..most(20)
    };
    let done = answer(
        &mut engine.session(Some(64)).expect("memory"),
        &PROMPT,
        &options,
    );
    assert_eq!(done.finish, Finish::Stop(stop.clone()));
    let before = whole.find(&stop).expect("it was taken from there");
    assert_eq!(done.text, whole[..before]);
}

#[test]
fn a_listener_interrupts_the_prompt_and_the_text() {
    let engine = engine("qwen35");
    let prompt = prompt(200);
    let mut session = engine.session(None).expect("memory");
    let mut sampler = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    let early = generate(
        &mut session,
        &prompt,
        &mut sampler,
        &most(3),
        &mut |event| !matches!(event, Event::Prefill { done, .. } if done >= 128),
    );
    let early = early.expect("a prompt that fits");
    assert_eq!(
        (early.finish, early.tokens.len(), session.tokens().len()),
        (Finish::Interrupted, 0, 128)
    );
    // The prompt goes on where it was interrupted, to the same end.
    let resumed = answer(&mut session, &prompt, &most(8));
    let fresh = answer(
        &mut engine.session(None).expect("memory"),
        &prompt,
        &most(8),
    );
    assert_eq!((resumed.kept_tokens, fresh.kept_tokens), (128, 0));
    assert_eq!(resumed.tokens, fresh.tokens);

    let mut pieces = 0;
    let cut = generate(
        &mut session,
        &prompt,
        &mut sampler,
        &most(8),
        &mut |event| {
            pieces += usize::from(matches!(event, Event::Text(_)));
            pieces < 3
        },
    );
    let cut = cut.expect("a prompt that fits");
    assert_eq!(cut.finish, Finish::Interrupted);
    assert_eq!(cut.tokens, fresh.tokens[..3]);
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let engine = engine("llama");
    let mut session = engine.session(Some(10)).expect("memory");
    let mut sampler = Sampler::new(SamplingOptions::greedy()).expect("valid options");
    let mut ask =
        |prompt: &[u32]| generate(&mut session, prompt, &mut sampler, &most(1), &mut |_| true);
    assert!(matches!(ask(&[]), Err(RuntimeError::EmptyPrompt)));
    let long = ask(&prompt(11));
    assert!(
        matches!(
            long,
            Err(RuntimeError::PromptTooLong {
                tokens: 11,
                room: 10,
                trained: 512
            })
        ),
        "{long:?}"
    );
    let beyond = ask(&[40, 288])
        .expect_err("a token without a row")
        .to_string();
    assert!(
        beyond.contains("token 288 is beyond the vocabulary of 288"),
        "{beyond}"
    );
    // The session is as usable as before.
    let fresh = answer(
        &mut engine.session(Some(10)).expect("memory"),
        &PROMPT,
        &most(2),
    );
    assert_eq!(answer(&mut session, &PROMPT, &most(2)).tokens, fresh.tokens);
}

/// The next turn of a conversation keeps the last one; where a hybrid can't go back, it computes everything anew.
#[test]
fn a_second_turn_answers_as_a_fresh_session() {
    for (fixture, kept_after_change) in [("llama", 4), ("gemma3", 4), ("qwen35", 0)] {
        let engine = engine(fixture);
        let mut session = engine.session(None).expect("memory");
        let first = answer(&mut session, &PROMPT, &most(4));
        let seen = session.tokens().to_vec();
        let mut longer = [&PROMPT[..], &first.tokens].concat();
        longer.extend(prompt(100));
        let mut changed = PROMPT.to_vec();
        changed[4] = 200;
        for (prompt, kept) in [(longer, seen.len()), (changed, kept_after_change)] {
            let resumed = answer(&mut session, &prompt, &most(8));
            let fresh = answer(
                &mut engine.session(None).expect("memory"),
                &prompt,
                &most(8),
            );
            assert_eq!(resumed.kept_tokens, kept, "{fixture}");
            assert_eq!(
                (resumed.tokens, resumed.text),
                (fresh.tokens, fresh.text),
                "{fixture}"
            );
        }
    }
}
