//! `lens endpoint` against servers of this process: one and two, sound and hostile, and what the exit code says.

#[path = "../../../endpoint/tests/servers/wire.rs"]
mod wire;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::sprag::{Done, Sandbox, sprag};
use wire::{Piece, Request, Site, model_list};

/// A server whose only answer this is, with a token for each four bytes asked.
fn saying(answer: &'static str) -> Site {
    Site::new(move |request| match request.path.as_str() {
        "/v1/models" => model_list(&["tiny"]),
        _ => said(answer, request, 4),
    })
}

fn said(answer: &str, request: &Request, bytes_per_token: usize) -> Vec<Piece> {
    let words = answer.split_inclusive(' ');
    let mut pieces = vec![
        Piece::head("text/event-stream"),
        Piece::event(r#"{"choices":[{"delta":{"role":"assistant"}}]}"#),
    ];
    for word in words.clone() {
        pieces.push(Piece::Wait(Duration::from_millis(1)));
        pieces.push(Piece::event(&format!(
            r#"{{"choices":[{{"delta":{{"content":"{word}"}}}}]}}"#
        )));
    }
    let usage = format!(
        r#"{{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}}}}"#,
        request.body.len() / bytes_per_token,
        words.count()
    );
    pieces.extend([Piece::event(&usage), Piece::event("[DONE]")]);
    pieces
}

const ANSWER: &str = "the wind came in from the sea";
const SMALL: [&str; 8] = [
    "--depth",
    "0,64",
    "--prefill",
    "64",
    "--decode",
    "8",
    "--clients",
    "2",
];

fn measured(sandbox: &Sandbox, first: &Site, second: Option<&Site>, more: &[&str]) -> Done {
    let (first, second) = (first.address(), second.map(Site::address));
    let mut arguments = vec!["lens", "endpoint", &first];
    arguments.extend(SMALL);
    arguments.extend(second.iter().flat_map(|s| ["--against", s]));
    arguments.extend(more);
    sandbox.run(&arguments)
}

#[test]
fn one_server_on_a_terminal_as_json_and_as_a_file() {
    let sandbox = Sandbox::new();
    let site = saying(ANSWER);
    let done = measured(&sandbox, &site, None, &["--html", "report.html"]);
    assert_eq!(done.told(), (Some(0), "the report is in report.html\n"));
    for part in ["64 TOKENS OF PROMPT", "the next turn", "SEVERAL CLIENTS"] {
        assert!(done.out.contains(part), "{}", done.out);
    }
    let page = fs::read_to_string(sandbox.folder.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
    let json = measured(&sandbox, &site, None, &["--json"]).json();
    assert_eq!(json["schema"], "sprag.endpoint/1");
    assert_eq!(json["rounds"], 3);
    assert!(json["against"].is_null());
}

#[test]
fn two_servers_of_one_model() {
    let sandbox = Sandbox::new();
    let second = saying("the wind came in from a mountain");
    let done = measured(
        &sandbox,
        &saying(ANSWER),
        Some(&second),
        &["--html", "two.html"],
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    let words: Vec<&str> = done.out.split_whitespace().collect();
    let on_one_line = words.join(" ");
    for part in [
        "FIRST: tiny",
        "SECOND: tiny",
        "FIRST AGAINST SECOND",
        "agree for 5 of 7 words",
        "times the second's speed",
    ] {
        assert!(on_one_line.contains(part), "no {part} in {}", done.out);
    }
    let page = fs::read_to_string(sandbox.folder.path().join("two.html")).unwrap();
    assert!(page.contains("second server") && page.contains("a mountain"));
    let json = measured(&sandbox, &saying(ANSWER), Some(&second), &["--json"]).json();
    assert_eq!(json["rounds"], 6);
    // Which figures have one depends on how busy the machine is: a prompt may take no longer than one of a few words.
    let ratios = json["against"]["ratios"].as_array().unwrap();
    let has_interval = |r: &serde_json::Value| r["speed"]["interval"].is_object();
    assert!(ratios.iter().any(has_interval), "{ratios:?}");
}

#[test]
fn servers_that_do_other_work_are_refused() {
    let sandbox = Sandbox::new();
    let other = saying("nobody ever saw it");
    let done = measured(&sandbox, &saying(ANSWER), Some(&other), &["--json"]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("do not do the same work"), "{}", done.err);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json["against"]["refusal"]["kind"], "answers");
    assert_eq!(json["against"]["ratios"], serde_json::json!([]));
    assert!(json["against"]["report"]["depths"][0]["decode_tokens_per_s"].is_object());

    let other = Site::new(|request| match request.path.as_str() {
        "/v1/models" => model_list(&["tiny"]),
        _ => said(ANSWER, request, 5),
    });
    let done = measured(&sandbox, &saying(ANSWER), Some(&other), &[]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.out.contains("Not the same tokenizer"), "{}", done.out);

    let same = saying(ANSWER);
    let done = measured(&sandbox, &same, Some(&same), &[]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("is both servers"), "{}", done.err);
}

/// What a failing server does instead of an answer.
type Way = fn() -> Vec<Piece>;

/// A server that fails in some way from its 20th answer on.
fn failing(how: Way) -> Site {
    let count = AtomicUsize::new(0);
    Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        if count.fetch_add(1, SeqCst) < 20 {
            return said(ANSWER, request, 4);
        }
        how()
    })
}

#[test]
fn a_second_server_that_fails_leaves_the_first_whole() {
    let ways: [(&str, Way); 4] = [
        ("dropped", || vec![Piece::Close]),
        ("status", || {
            vec![Piece::json(429, r#"{"error":{"message":"slow down"}}"#)]
        }),
        ("malformed", || wire::events(&["{broken", "[DONE]"])),
        ("stalled", || vec![Piece::Wait(Duration::from_secs(5))]),
    ];
    for (kind, how) in ways {
        let sandbox = Sandbox::new();
        let more = ["--json", "--stall", "1"];
        let done = measured(&sandbox, &saying(ANSWER), Some(&failing(how)), &more);
        assert_eq!(done.code, Some(5), "{kind}: {}", done.err);
        assert!(done.err.contains("4 of"), "{kind}: {}", done.err);
        let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(json["failures"], serde_json::json!([]), "{kind}");
        assert_eq!(json["depths"][0]["phases"][0]["requests"], 6, "{kind}");
        let second = &json["against"]["report"];
        assert_eq!(second["failures"][0]["cause"]["kind"], kind);
        assert!(second["stopped"].is_string(), "{kind}");
        assert!(json["against"]["refusal"].is_null(), "{kind}");
    }
    let gone = "127.0.0.1:1";
    let first = saying(ANSWER).address();
    let done = sprag(&["lens", "endpoint", &first, "--against", gone]);
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains("http://127.0.0.1:1/v1"), "{}", done.err);
}

#[test]
fn each_server_gets_its_own_key() {
    let guarded = |key: &'static str| {
        Site::new(move |request| {
            let bearer = format!("authorization: Bearer {key}\r\n");
            match request.path.as_str() {
                _ if !request.head.contains(&bearer) => vec![Piece::json(401, "who are you")],
                "/v1/models" => model_list(&["tiny"]),
                _ => said(ANSWER, request, 4),
            }
        })
    };
    let (first, second) = (guarded("one").address(), guarded("two").address());
    let mut arguments = vec!["lens", "endpoint", &first, "--against", &second];
    arguments.extend(SMALL);
    arguments.extend(["--rounds", "1", "--api-key-env", "KEY_ONE"]);
    let run = |arguments: &[&str]| {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command(arguments);
        let output = command.env("KEY_ONE", "one").env("KEY_TWO", "two").output();
        output.unwrap().status.code()
    };
    // The first's key is not sent to the second.
    assert_eq!(run(&arguments), Some(5));
    arguments.extend(["--against-api-key-env", "KEY_TWO"]);
    assert_eq!(run(&arguments), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_is_heard_while_several_clients_wait() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let site = Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        // Three to begin with, and four of the round; of four clients two get an answer.
        match count.fetch_add(1, SeqCst) {
            0..=8 => said(ANSWER, request, 4),
            _ => vec![Piece::Wait(Duration::from_secs(60))],
        }
    });
    let sandbox = Sandbox::new();
    let address = site.address();
    let child = sandbox
        .command(&[
            "lens",
            "endpoint",
            &address,
            "--depth",
            "0",
            "--prefill",
            "64",
            "--decode",
            "8",
            "--rounds",
            "1",
            "--clients",
            "4",
            "--json",
        ])
        .spawn()
        .unwrap();
    let began = Instant::now();
    while asked.load(SeqCst) < 3 + 4 + 4 && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
    }
    // Time for the answers that do come.
    thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(output.status.code(), Some(130));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["stopped"], "interrupted");
    assert_eq!(json["failures"], serde_json::json!([]));
    assert_eq!(json["clients"][0]["requests"], 2);
    assert!(json["depths"][0]["decode_tokens_per_s"].is_object());
}
