//! Two servers in turns: the same work, other work, and one that fails.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use endpoint::{
    Options, Report, compare,
    report::{Against, Prompt, Refusal, Speed, What},
};

use crate::{
    connect, options,
    wire::{Piece, Site, model_list},
};

/// What a made-up model is.
#[derive(Clone)]
struct Model {
    /// Words of its answers, whatever it is asked.
    answer: &'static str,
    /// Bytes of a request that it counts as a token; `None` where it does not count.
    bytes_per_token: Option<usize>,
    /// Before each word.
    pace: Duration,
}

const ANSWER: &str = "It was a cold day and the wind came";

impl Model {
    fn new(answer: &'static str) -> Self {
        Self {
            answer,
            bytes_per_token: Some(4),
            pace: Duration::ZERO,
        }
    }

    fn pieces(&self, body: &str) -> Vec<Piece> {
        let mut pieces = vec![Piece::head("text/event-stream")];
        let words = self.answer.split_inclusive(' ');
        for word in words.clone() {
            pieces.push(Piece::Wait(self.pace));
            pieces.push(Piece::event(&format!(
                r#"{{"choices":[{{"delta":{{"content":"{word}"}}}}]}}"#
            )));
        }
        if let Some(bytes) = self.bytes_per_token {
            pieces.push(Piece::event(&format!(
                r#"{{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}}}}"#,
                body.len() / bytes,
                words.count()
            )));
        }
        pieces.push(Piece::event("[DONE]"));
        pieces
    }

    fn site(self) -> Site {
        Site::new(move |request| match request.path.as_str() {
            "/v1/models" => model_list(&["tiny"]),
            _ if !request.body.contains(r#""stream":true"#) => {
                vec![Piece::json(
                    200,
                    r#"{"choices":[{"message":{"content":"a"}}]}"#,
                )]
            }
            _ => self.pieces(&request.body),
        })
    }
}

fn six_rounds() -> Options {
    Options {
        rounds: 6,
        clients: vec![2],
        ..options()
    }
}

fn compared(first: &Site, second: &Site) -> (Report, Against) {
    let (first, second) = (
        connect(first).expect("a server"),
        connect(second).expect("a server"),
    );
    let report = compare(&first, &second, &six_rounds(), &mut |_, _| true).expect("a report");
    let against = report.against.as_deref().cloned().expect("a second server");
    (report, against)
}

#[test]
fn the_same_texts_to_both_in_turns() {
    let log: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
    let sites = [0, 1].map(|server| {
        let (log, model) = (Arc::clone(&log), Model::new(ANSWER));
        Site::new(move |request| {
            if request.path == "/v1/models" {
                return model_list(&["tiny"]);
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push((server, request.body.clone()));
            model.pieces(&request.body)
        })
    });
    let (report, against) = compared(&sites[0], &sites[1]);
    assert_eq!(
        (&report.failures, &against.report.failures),
        (&vec![], &vec![])
    );
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let mut of = [0, 1].map(|server| {
        let own = log.iter().filter(|l| l.0 == server);
        own.map(|l| l.1.as_str()).collect::<Vec<_>>()
    });
    // Clients' requests may overtake each other.
    let turns: usize = 6 * 2;
    for own in &mut of {
        let sequential = own.len() - turns;
        own[sequential..].sort_unstable();
    }
    assert_eq!(of[0], of[1]);
    // After the first requests: first second, second first, and so on; each block has all requests of a depth.
    let blocks = log[6..].chunk_by(|a, b| a.0 == b.0).map(|block| block[0].0);
    let blocks: Vec<usize> = blocks.take(12).collect();
    assert_eq!(blocks[..8], [0, 1, 0, 1, 0, 1, 0, 1]);
    let lengths: Vec<usize> = log[6..]
        .chunk_by(|a, b| a.0 == b.0)
        .map(<[_]>::len)
        .take(4)
        .collect();
    // Depth 0 and depth 300 by each; then the second goes first, so that its turns of two rounds stand together.
    assert_eq!(lengths, [4, 4, 5, 10]);
}

#[test]
fn the_same_model_at_another_pace() {
    let paced = |ms| Model {
        pace: Duration::from_millis(ms),
        ..Model::new(ANSWER)
    };
    let (report, against) = compared(&paced(1).site(), &paced(6).site());
    assert_eq!(against.refusal, None);
    assert!(against.agreement.answers.iter().all(|a| a.are_same()));
    assert!(
        against.agreement.finding.contains("word for word"),
        "{}",
        against.agreement.finding
    );
    let decode = against.ratios.iter().find(|r| r.what == What::Decode);
    let Some(Speed::Known {
        ratio,
        interval: Some(interval),
        pairs: 6,
    }) = decode.map(|r| &r.speed)
    else {
        panic!("{decode:?}")
    };
    assert!(*ratio > 1.5 && interval.low > 1.0, "{decode:?}");
    let all = |what| against.ratios.iter().filter(|r| r.what == what).count();
    assert_eq!(
        [
            What::Prefill,
            What::NewFirstText,
            What::SeenPrefixFirstText,
            What::AgainFirstText,
            What::NextTurnFirstText,
            What::ClientsTokens,
            What::ClientsFirstText
        ]
        .map(all),
        [2, 2, 1, 2, 2, 1, 1]
    );
    let turns = &report.clients[0].turns_tokens_per_s;
    assert_eq!(turns.as_ref().map(|t| t.samples.len()), Some(6));
    assert!(against.verdict.contains("times the second's speed"));
    let json = serde_json::to_string(&report).expect("JSON");
    let back: Report = serde_json::from_str(&json).expect("a report");
    assert_eq!(back, report);
}

#[test]
fn another_quantisation_parts_after_some_words() {
    let other = Model::new("It was a cold day but nobody minded it");
    let (_, against) = compared(&Model::new(ANSWER).site(), &other.site());
    assert_eq!(against.refusal, None);
    let found = &against.agreement;
    assert!(
        found.finding.contains("agree for 5 of 9 words"),
        "{}",
        found.finding
    );
    let answers = &found.answers[0];
    assert_eq!((answers.agreed_words, answers.words), (5, 9));
    assert!(answers.first_goes_on.starts_with("and the"), "{answers:?}");
}

#[test]
fn another_tokenizer_is_refused() {
    let other = Model {
        bytes_per_token: Some(5),
        ..Model::new(ANSWER)
    };
    let (report, against) = compared(&Model::new(ANSWER).site(), &other.site());
    assert!(
        matches!(against.refusal, Some(Refusal::PromptTokens { first, second }) if first > second)
    );
    assert_eq!(against.ratios, []);
    assert_eq!(against.verdict, against.agreement.finding);
    // What each did by itself is there all the same.
    for report in [&report, &against.report] {
        assert!(report.depths[0].decode_tokens_per_s.is_some());
    }
}

#[test]
fn another_model_is_refused() {
    let other = Model::new("Perhaps nothing of all this was ever true");
    let (_, against) = compared(&Model::new(ANSWER).site(), &other.site());
    assert_eq!(
        against.refusal,
        Some(Refusal::Answers {
            prompts: 12,
            words: 3
        })
    );
    assert!(against.agreement.finding.starts_with("Not the same model"));
}

#[test]
fn a_server_that_does_not_count_is_told() {
    let other = Model {
        bytes_per_token: None,
        ..Model::new(ANSWER)
    };
    let (report, against) = compared(&Model::new(ANSWER).site(), &other.site());
    assert_eq!(against.refusal, None);
    assert!(
        against
            .agreement
            .finding
            .contains("the second server does not count"),
        "{}",
        against.agreement.finding
    );
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("counted differently"))
    );
}

#[test]
fn one_that_dies_on_the_way_leaves_the_other_whole() {
    let count = AtomicUsize::new(0);
    let model = Model::new(ANSWER);
    let dying = Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        if count.fetch_add(1, SeqCst) >= 20 {
            return vec![Piece::json(500, "boom")];
        }
        model.pieces(&request.body)
    });
    let (report, against) = compared(&Model::new(ANSWER).site(), &dying);
    assert_eq!((report.failures.len(), &report.stopped), (0, &None));
    assert_eq!(report.depths[0].phases[0].requests, 6);
    assert_eq!(report.clients[0].requests, 12);
    let second = &against.report;
    assert!(
        second
            .stopped
            .as_deref()
            .is_some_and(|s| s.contains("in a row"))
    );
    assert_eq!(second.failures.len(), 4);
    assert_eq!(second.clients, []);
    // What both did before stands, and what only one did has a reason.
    assert_eq!(against.refusal, None);
    let pairs = |what| {
        let of = against.ratios.iter().find(|r| r.what == what);
        match of.map(|r| &r.speed) {
            Some(Speed::Known { pairs, .. }) => *pairs,
            _ => 0,
        }
    };
    assert_eq!(
        (pairs(What::NewFirstText), pairs(What::ClientsTokens)),
        (2, 0)
    );
    assert_eq!(second.depths[0].phases[0].prompt, Prompt::New);
}
