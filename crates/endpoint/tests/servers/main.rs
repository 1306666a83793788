//! Servers that behave, and servers that do not, on this machine's loopback: real sockets, real HTTP.

mod attacks;
mod firsts;
mod pairs;
mod stops;
mod wire;

use std::time::Duration;

use endpoint::{
    Ask, Cause, EndpointError, Message, Options, Patience, Report, Server, measure, report::Prompt,
};
use wire::{Piece, Site, events, model_list};

fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(400),
    }
}

fn connect(site: &Site) -> Result<Server, EndpointError> {
    Server::connect(&site.address(), None, None, patience())
}

fn ask(max_tokens: usize) -> Ask {
    Ask::streamed(vec![Message::user("Hello".into())], max_tokens)
}

/// A site that answers every question with these pieces.
fn answering(pieces: Vec<Piece>) -> Site {
    Site::new(move |request| match request.path.as_str() {
        "/v1/models" => model_list(&["tiny"]),
        _ => pieces.clone(),
    })
}

fn failure(pieces: Vec<Piece>) -> (endpoint::Exchange, Option<Cause>) {
    let site = answering(pieces);
    let exchange = connect(&site).expect("a server").ask(&ask(4));
    let cause = exchange.failure.clone();
    (exchange, cause)
}

fn options() -> Options {
    Options {
        depths: vec![0, 300],
        prefill: 100,
        answer: 8,
        rounds: 2,
        clients: vec![3],
        limit_first_ms: 60_000.0,
        limit_token_ms: 60_000.0,
        seed: 7,
    }
}

fn measured(site: &Site) -> Report {
    measure(
        &connect(site).expect("a server"),
        &options(),
        &mut |_, _| true,
    )
    .expect("a report")
}

#[test]
fn a_stream_and_its_times() {
    let mut pieces = vec![Piece::head("text/event-stream")];
    pieces.push(Piece::event(
        r#"{"choices":[{"delta":{"role":"assistant"}}]}"#,
    ));
    pieces.push(Piece::Wait(Duration::from_millis(60)));
    pieces.push(Piece::event(r#"{"choices":[{"delta":{"content":"Hel"}}]}"#));
    pieces.push(Piece::Wait(Duration::from_millis(60)));
    pieces.push(Piece::event(
        r#"{"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}"#,
    ));
    pieces.push(Piece::event(
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
    ));
    pieces.push(Piece::event("[DONE]"));
    let (exchange, cause) = failure(pieces);
    assert_eq!(cause, None);
    assert_eq!(exchange.visible, "Hello");
    assert_eq!(
        (exchange.prompt_tokens(), exchange.answer_tokens(4)),
        (Some(9), (2, true))
    );
    assert_eq!(exchange.finish.as_deref(), Some("stop"));
    assert!(exchange.is_streamed);
    let times = [
        exchange.head_ms,
        exchange.first_event_ms,
        exchange.first_text_ms,
    ];
    let [Some(head), Some(event), Some(text)] = times else {
        panic!("{times:?}")
    };
    // Waits are at least as long as they were; nothing is said of how much longer.
    assert!(head <= event && event + 50.0 <= text, "{times:?}");
    assert!(
        exchange.token_ms(4).is_some_and(|ms| ms >= 50.0),
        "{exchange:?}"
    );
    assert!(exchange.end_ms >= text);
}

#[test]
fn an_answer_in_one_piece() {
    let body = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
    let (exchange, cause) = failure(vec![Piece::json(200, body)]);
    assert_eq!(cause, None);
    assert_eq!(
        (exchange.visible.as_str(), exchange.is_streamed),
        ("Hello", false)
    );
    assert_eq!(exchange.token_ms(4), None);
}

#[test]
fn connections_that_break_off_keep_what_came() {
    let begun = [
        Piece::head("text/event-stream"),
        Piece::event(r#"{"choices":[{"delta":{"content":"Hel"}}]}"#),
    ];
    let mut cut = begun.to_vec();
    cut.push(Piece::Raw(b"4000\r\ndata: {\"cho".to_vec()));
    cut.push(Piece::Close);
    let (exchange, cause) = failure(cut);
    assert!(matches!(cause, Some(Cause::Dropped { .. })), "{cause:?}");
    assert_eq!(exchange.visible, "Hel");

    // It ends in order, but nobody said that the answer does.
    let (_, cause) = failure(begun.to_vec());
    assert!(matches!(cause, Some(Cause::Dropped { .. })), "{cause:?}");

    let mut still = begun.to_vec();
    still.push(Piece::Wait(Duration::from_millis(900)));
    let (exchange, cause) = failure(still);
    assert_eq!(cause, Some(Cause::Stalled { waited_s: 0.4 }));
    assert_eq!(exchange.visible, "Hel");

    let (_, cause) = failure(vec![Piece::Close]);
    assert!(
        matches!(
            cause,
            Some(Cause::Dropped { .. } | Cause::Connection { .. })
        ),
        "{cause:?}"
    );
    let (_, cause) = failure(vec![Piece::Wait(Duration::from_millis(900))]);
    assert_eq!(cause, Some(Cause::Stalled { waited_s: 0.4 }));
    let (_, cause) = failure(vec![
        Piece::Raw(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()),
        Piece::Close,
    ]);
    assert!(cause.is_some());
}

#[test]
fn events_that_are_no_answers() {
    let (exchange, cause) = failure(events(&[
        "{broken",
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        "[1,2]",
        "[DONE]",
    ]));
    let Some(Cause::Malformed {
        events: count,
        first,
    }) = cause
    else {
        panic!("{cause:?}")
    };
    assert_eq!(count, 2);
    assert!(first.contains("{broken"), "{first}");
    assert_eq!(exchange.visible, "a");

    let reported = events(&[
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        "{\"error\":{\"message\":\"out of \\u001b[2Jmemory\"}}",
    ]);
    let (_, cause) = failure(reported);
    let message = "out of  [2Jmemory".to_owned();
    assert_eq!(cause, Some(Cause::Reported { message }));

    let (_, cause) = failure(events(&["[DONE]"]));
    assert_eq!(cause, Some(Cause::Empty));
    let (_, cause) = failure(vec![Piece::json(200, "<html>welcome</html>")]);
    assert!(matches!(cause, Some(Cause::Malformed { .. })), "{cause:?}");
}

#[test]
fn an_answer_without_end_ends() {
    let (exchange, cause) = failure(events(
        &[r#"{"choices":[{"delta":{"content":"a"}}]}"#; 3000],
    ));
    assert_eq!(
        cause,
        Some(Cause::Endless {
            events: 4 * 16 + 1024
        })
    );
    assert_eq!(exchange.visible.len(), 4 * 16 + 1024);
}

#[test]
fn refusals_say_what_the_server_said() {
    let refusal = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 0.01\r\ncontent-length: 34\r\n\r\n{\"error\":{\"message\":\"slow \\u0007down\"}}";
    let (_, cause) = failure(vec![Piece::Raw(refusal.to_vec()), Piece::Close]);
    let Some(Cause::Status {
        status: 429,
        retry_after_s,
        message,
    }) = cause
    else {
        panic!("{cause:?}")
    };
    assert_eq!(retry_after_s, Some(0.01));
    assert!(!message.contains('\u{7}'), "{message:?}");
    let (_, cause) = failure(vec![Piece::json(500, "boom")]);
    let expected = Cause::Status {
        status: 500,
        retry_after_s: None,
        message: "boom".into(),
    };
    assert_eq!(cause, Some(expected));
}

#[test]
fn a_server_that_does_not_know_usage_is_asked_without() {
    let site = Site::new(|request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        if request.body.contains("stream_options") {
            return vec![Piece::json(400, r#"{"error":{"message":"unknown field"}}"#)];
        }
        events(&[
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":"b"}}]}"#,
            "[DONE]",
        ])
    });
    let exchange = connect(&site).expect("a server").ask(&ask(4));
    assert_eq!(exchange.failure, None);
    assert_eq!(exchange.answer_tokens(4), (2, false));
}

#[test]
fn which_model() {
    let many = Site::new(|_| model_list(&["a", "b:latest", "bad\u{1b}[2J"]));
    let connect = |name: Option<&str>| {
        Server::connect(&many.address(), name, None, patience()).map(|s| s.model().to_owned())
    };
    assert!(
        matches!(connect(None), Err(EndpointError::WhichModel { models, .. }) if models == ["a", "b:latest"])
    );
    assert_eq!(connect(Some("a")).ok().as_deref(), Some("a"));
    assert_eq!(connect(Some("b")).ok().as_deref(), Some("b:latest"));
    assert!(matches!(
        connect(Some("c")),
        Err(EndpointError::NoModel { .. })
    ));
    let none = Site::new(|_| vec![Piece::json(404, "no such page")]);
    let listless = |name| Server::connect(&none.address(), name, None, patience());
    assert!(matches!(
        listless(None),
        Err(EndpointError::NoAnswer {
            cause: Cause::Status { status: 404, .. },
            ..
        })
    ));
    assert!(listless(Some("x")).is_ok());
    let gone = Server::connect("127.0.0.1:1", None, None, patience());
    assert!(matches!(
        gone,
        Err(EndpointError::NoAnswer {
            cause: Cause::Connection { .. },
            ..
        })
    ));
}

#[test]
fn the_key_is_sent_and_never_shown() {
    let site = Site::new(|request| {
        if request.head.contains("authorization: Bearer secret") {
            model_list(&["tiny"])
        } else {
            vec![Piece::json(401, "who are you")]
        }
    });
    assert!(connect(&site).is_err());
    let server = Server::connect(&site.address(), None, Some("secret"), patience());
    assert!(server.is_ok());
}

/// Counts a token a character and keeps its promise of a prefix cache, in the size of its waits.
fn caching() -> Site {
    let seen = std::sync::Mutex::new(Vec::<String>::new());
    Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        let mut seen = seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let common = |old: &String| {
            old.bytes()
                .zip(request.body.bytes())
                .take_while(|(a, b)| a == b)
                .count()
        };
        let cached = seen.iter().map(common).max().unwrap_or(0);
        let length = request.body.len();
        seen.push(request.body.clone());
        let mut pieces = vec![
            Piece::head("text/event-stream"),
            Piece::Wait(Duration::from_micros(20 * (length - cached) as u64)),
        ];
        for _ in 0..8 {
            pieces.push(Piece::event(r#"{"choices":[{"delta":{"content":"a"}}]}"#));
            pieces.push(Piece::Wait(Duration::from_millis(2)));
        }
        pieces.push(Piece::event(&format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":{length},"completion_tokens":8,"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#
        )));
        pieces.push(Piece::event("[DONE]"));
        pieces
    })
}

#[test]
fn a_whole_measurement() {
    let report = measured(&caching());
    assert_eq!(report.failures, []);
    assert_eq!(report.stopped, None);
    assert!(report.counted_by_server, "{:?}", report.warnings);
    assert!(
        (report.characters_per_token - 1.0).abs() < 0.05,
        "{}",
        report.characters_per_token
    );
    let depths: Vec<usize> = report.depths.iter().map(|d| d.depth).collect();
    assert_eq!(depths, [0, 300]);
    let kinds = |at: usize| {
        report.depths[at]
            .phases
            .iter()
            .map(|p| p.prompt)
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(0), [Prompt::New, Prompt::Again, Prompt::NextTurn]);
    assert_eq!(
        kinds(1),
        [
            Prompt::New,
            Prompt::SeenPrefix,
            Prompt::Again,
            Prompt::NextTurn
        ]
    );
    for depth in &report.depths {
        assert!(
            depth
                .decode_tokens_per_s
                .as_ref()
                .is_some_and(|f| f.samples.len() == 2)
        );
        for phase in &depth.phases {
            assert_eq!((phase.requests, phase.failed), (2, 0));
            assert!(phase.cached_tokens.is_some());
        }
    }
    assert_eq!(report.clients[0].requests, 6);
    assert_eq!(report.clients[0].goodput, 1.0);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["schema"], "sprag.endpoint/1");
    assert!(
        report.verdict.contains("tokens/s of answer"),
        "{}",
        report.verdict
    );
}

#[test]
fn a_server_that_dies_on_the_way_leaves_a_report() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let site = Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 6 {
            return vec![Piece::Close];
        }
        events(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#, "[DONE]"])
    });
    let report = measured(&site);
    assert!(report.stopped.is_some() && report.failures.len() >= 4);
    let deeper = &report.depths[1];
    assert_eq!((deeper.phases[0].requests, deeper.phases[0].failed), (1, 1));
    assert_eq!(deeper.decode_tokens_per_s, None);
    assert!(
        report.warnings.iter().any(|w| w.contains("failed")),
        "{:?}",
        report.warnings
    );
    assert!(!report.counted_by_server);
}

#[test]
fn a_server_that_counts_only_what_it_does_not_stream() {
    let site = Site::new(|request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        if request.body.contains(r#""stream":true"#) {
            return events(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#, "[DONE]"]);
        }
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":"a"}}}}],"usage":{{"prompt_tokens":{},"completion_tokens":1}}}}"#,
            request.body.len() / 4
        );
        vec![Piece::json(200, &body)]
    });
    let report = measured(&site);
    assert_eq!(report.failures, []);
    assert!(report.is_scale_measured && !report.counted_by_server);
    assert!(
        (report.characters_per_token - 4.0).abs() < 0.2,
        "{}",
        report.characters_per_token
    );
}
