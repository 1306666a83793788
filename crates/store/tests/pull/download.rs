//! Downloads from a server that behaves, and from servers that do not.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use store::{PullError, Secret, Silent, Source, pull_with};

use crate::server::{self, *};

#[test]
fn a_whole_file_then_nothing_more_to_do() {
    let body = model(1, LEN);
    let copy = body.clone();
    let server =
        Server::start(move |_, request, connection| serve(request, connection, &copy, "a"));
    let (_folder, store) = store();
    let suffix = format!("#sha256={}", sum(&body));
    let mut watch = Watch::default();
    let pulled = pull_with(
        &source(&server, &suffix),
        &store,
        &server.network(),
        &mut watch,
    )
    .unwrap();
    assert_holds(&pulled.model.path, &body);
    assert!(pulled.verified && !pulled.already_here);
    assert_eq!(
        (watch.starts, watch.bytes),
        (vec![(Some(LEN as u64), 0)], LEN as u64)
    );
    let record = store.list().unwrap()[0].record.clone().unwrap();
    assert_eq!((record.sha256, record.bytes), (sum(&body), LEN as u64));
    assert!(record.source.ends_with(&suffix) && record.pulled_at.ends_with('Z'));
    assert_eq!(store.resolve("model").unwrap(), pulled.model.path);

    assert!(pull_quietly(&server, &suffix, &store).unwrap().already_here);
    assert_eq!(server.seen().len(), 1, "the second pull asked nothing");
    let left: Vec<_> = fs::read_dir(store.models_folder().join(".pull"))
        .unwrap()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|e| e.path().extension().is_some_and(|x| x == "lock")),
        "{left:?}"
    );
}

#[test]
fn a_broken_connection_is_resumed() {
    let body = model(2, LEN);
    let copy = body.clone();
    let server = Server::start(move |number, request, connection| match number {
        0 => send_broken(connection, "200 OK", "ETag: \"a\"\r\n", &copy, 150_000),
        1 => {
            let start = request.range_start().unwrap();
            let range = format!(
                "ETag: \"a\"\r\nContent-Range: bytes {start}-{}/{LEN}\r\n",
                LEN - 1
            );
            send_broken(
                connection,
                "206 Partial Content",
                &range,
                &copy[start..],
                100_000,
            );
        }
        _ => serve(request, connection, &copy, "a"),
    });
    let (_folder, store) = store();
    let pulled = pull_quietly(&server, "", &store).unwrap();
    assert_holds(&pulled.model.path, &body);
    let seen = server.seen();
    let starts: Vec<_> = seen.iter().map(server::Request::range_start).collect();
    assert_eq!(starts, [None, Some(150_000), Some(250_000)]);
    assert_eq!(seen[1].headers["if-range"], "\"a\"");
}

#[test]
fn an_interrupted_pull_is_resumed_by_the_next() {
    let body = model(3, LEN);
    let copy = body.clone();
    let server =
        Server::start(move |_, request, connection| serve(request, connection, &copy, "a"));
    let (_folder, store) = store();
    let mut watch = Watch {
        stop_after: Some(100_000),
        ..Watch::default()
    };
    let error = pull_with(&source(&server, ""), &store, &server.network(), &mut watch).unwrap_err();
    assert!(matches!(error, PullError::Cancelled), "{error}");
    assert_empty(&store);
    let mut watch = Watch::default();
    let pulled = pull_with(&source(&server, ""), &store, &server.network(), &mut watch).unwrap();
    assert_holds(&pulled.model.path, &body);
    assert!(
        watch.starts[0].1 >= 100_000 && watch.bytes <= 300_000,
        "{:?}",
        watch.starts
    );
    assert!(server.seen()[1].range_start().is_some());
}

#[test]
fn a_server_that_ignores_ranges_begins_again() {
    let body = model(4, LEN);
    let copy = body.clone();
    let server =
        Server::start(move |_, _, connection| send(connection, "200 OK", "ETag: \"a\"\r\n", &copy));
    let (_folder, store) = store();
    interrupt(&server, "", &store, 100_000);
    assert_holds(
        &pull_quietly(&server, "", &store).unwrap().model.path,
        &body,
    );
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let (old, new) = (model(5, LEN), model(6, LEN + 7));
    let copy = new.clone();
    let server = Server::start(move |number, request, connection| match number {
        0 => serve(request, connection, &old, "old"),
        _ => serve(request, connection, &copy, "new"),
    });
    let (_folder, store) = store();
    interrupt(&server, "", &store, 100_000);
    assert_holds(&pull_quietly(&server, "", &store).unwrap().model.path, &new);
    assert_eq!(server.seen()[1].headers["if-range"], "\"old\"");
}

#[test]
fn a_mixture_of_two_versions_is_caught_by_the_sum_and_forgiven_once() {
    let (old, new) = (model(7, LEN), model(8, LEN));
    let (copy, suffix) = (new.clone(), format!("#sha256={}", sum(&new)));
    // No tag, so that nothing but the sum can tell.
    let server = Server::start(move |number, request, connection| {
        let body = if number == 0 { &old } else { &copy };
        match request.range_start() {
            Some(start) => {
                let range = format!("Content-Range: bytes {start}-{}/{LEN}\r\n", LEN - 1);
                send(connection, "206 Partial Content", &range, &body[start..]);
            }
            None => send(connection, "200 OK", "", body),
        }
    });
    let (_folder, store) = store();
    interrupt(&server, &suffix, &store, 100_000);
    assert_holds(
        &pull_quietly(&server, &suffix, &store).unwrap().model.path,
        &new,
    );
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_server_that_sends_another_range_is_not_believed() {
    let body = model(9, LEN);
    let copy = body.clone();
    let server = Server::start(move |_, request, connection| match request.range_start() {
        Some(_) => {
            let range = format!(
                "ETag: \"a\"\r\nContent-Range: bytes 5-{}/{LEN}\r\n",
                LEN - 1
            );
            send(connection, "206 Partial Content", &range, &copy[5..]);
        }
        None => send(connection, "200 OK", "ETag: \"a\"\r\n", &copy),
    });
    let (_folder, store) = store();
    interrupt(&server, "", &store, 100_000);
    assert_holds(
        &pull_quietly(&server, "", &store).unwrap().model.path,
        &body,
    );
}

#[test]
fn a_wrong_sum_leaves_nothing() {
    let server =
        Server::start(|_, request, connection| serve(request, connection, &model(10, LEN), "a"));
    let (_folder, store) = store();
    let suffix = format!("#sha256={}", sum(b"something else"));
    let error = pull_quietly(&server, &suffix, &store).unwrap_err();
    assert!(matches!(error, PullError::WrongSum { .. }), "{error}");
    assert_empty(&store);
    assert_eq!(
        server.seen().len(),
        1,
        "a wrong sum in one sitting is not tried again"
    );
}

#[test]
fn refusals_are_told_apart_and_not_repeated() {
    let (_folder, store) = store();
    for (status, expected) in [
        ("404 Not Found", "not found"),
        ("401 Unauthorized", "refused"),
        ("418 Teapot", "answered HTTP 418"),
    ] {
        let server = Server::start(move |_, _, connection| send(connection, status, "", b"no"));
        let error = pull_quietly(&server, "", &store).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.seen().len(), 1);
        assert_empty(&store);
    }
}

#[test]
fn a_passing_failure_is_tried_again_and_a_lasting_one_reported() {
    let body = model(11, LEN);
    let copy = body.clone();
    let server = Server::start(move |number, request, connection| match number {
        0 => send(connection, "500 Internal Server Error", "", b""),
        1 => send(
            connection,
            "429 Too Many Requests",
            "Retry-After: 0\r\n",
            b"",
        ),
        _ => serve(request, connection, &copy, "a"),
    });
    let (_folder, store) = store();
    assert_holds(
        &pull_quietly(&server, "", &store).unwrap().model.path,
        &body,
    );

    let server =
        Server::start(|_, _, connection| send(connection, "503 Service Unavailable", "", b""));
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(
        matches!(error, PullError::Network { attempts: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_stall_ends_in_time_and_what_came_is_kept() {
    let body = model(12, LEN);
    let server = Server::start(move |_, _, connection| {
        send_broken(connection, "200 OK", "ETag: \"a\"\r\n", &body, 50_000);
        thread::sleep(Duration::from_secs(20));
    });
    let (_folder, store) = store();
    let started = Instant::now();
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    let text = error.to_string();
    assert!(
        matches!(error, PullError::Network { .. }) && text.contains("no answer in time"),
        "{text}"
    );
    assert_eq!(
        fs::metadata(job_folder(&store).join("model.part"))
            .unwrap()
            .len(),
        50_000
    );
    assert_empty(&store);
}

#[test]
fn a_trickle_is_slow_but_no_stall() {
    let body = model(13, 1200);
    let copy = body.clone();
    let server = Server::start(move |_, _, connection| {
        send_broken(connection, "200 OK", "", &copy, 0);
        for piece in copy.chunks(100) {
            thread::sleep(Duration::from_millis(100));
            let _gone = connection.write_all(piece);
        }
    });
    let (_folder, store) = store();
    // 1.2 s in all, twice the time that a stall is allowed.
    assert_holds(
        &pull_quietly(&server, "", &store).unwrap().model.path,
        &body,
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn no_server_is_a_network_error() {
    let server = Server::start(|_, _, _| {});
    let mut network = server.network();
    network.patience.attempts = 2;
    let (_folder, store) = store();
    let nowhere = Source::parse("http://127.0.0.1:9/model.gguf").unwrap();
    let error = pull_with(&nowhere, &store, &network, &mut Silent).unwrap_err();
    assert!(matches!(error, PullError::Network { .. }), "{error}");
    // A server that hangs up without a word.
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(matches!(error, PullError::Network { .. }), "{error}");
}

#[test]
fn redirects_are_followed_and_bounded() {
    let body = model(14, LEN);
    let copy = body.clone();
    let server = Server::start(move |_, request, connection| match request.path.as_str() {
        "/m/model.gguf" => send(
            connection,
            "302 Found",
            "Location: ../other/x?sig=secret\r\n",
            b"",
        ),
        "/other/x?sig=secret" => serve(request, connection, &copy, "a"),
        _ => send(
            connection,
            "301 Moved Permanently",
            "Location: /loop\r\n",
            b"",
        ),
    });
    let (_folder, store) = store();
    let pulled = pull_quietly(&server, "", &store).unwrap();
    assert_eq!(pulled.model.name, "model");
    assert_holds(&pulled.model.path, &body);
    let round = Source::parse(&format!("{}/loop.gguf", server.base)).unwrap();
    let error = pull_with(&round, &store, &server.network(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[test]
fn the_hub_states_the_sum_and_gets_the_token_alone() {
    let body = model(15, LEN);
    let copy = body.clone();
    let cdn = Server::start(move |_, request, connection| serve(request, connection, &copy, "a"));
    let (target, right) = (cdn.base.clone(), sum(&body));
    let hub = Server::start(move |number, _, connection| {
        let stated = if number == 0 { sum(b"other") } else { right };
        let headers = format!("Location: {target}/blob?sig=s\r\nX-Linked-ETag: \"{stated}\"\r\n");
        send(connection, "302 Found", &headers, b"");
    });
    let mut network = hub.network();
    network.hub_token = Some(Secret::new("hunter2"));
    let (_folder, store) = store();
    let source = Source::parse("hf:owner/repo/sub/a b.gguf").unwrap();
    let error = pull_with(&source, &store, &network, &mut Silent).unwrap_err();
    assert!(matches!(error, PullError::WrongSum { .. }), "{error}");
    let pulled = pull_with(&source, &store, &network, &mut Silent).unwrap();
    assert!(pulled.verified);
    assert_holds(&pulled.model.path, &body);
    assert_eq!(
        hub.seen()[0].path,
        "/hub/owner/repo/resolve/main/sub/a%20b.gguf"
    );
    assert_eq!(hub.seen()[0].headers["authorization"], "Bearer hunter2");
    assert!(!cdn.seen()[0].headers.contains_key("authorization"));
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let server = Server::start(|_, _, connection| send(connection, "401 Unauthorized", "", b""));
    let (_folder, store) = store();
    let text = server.base.replace("http://", "http://user:hunter2@") + "/model.gguf";
    let source = Source::parse(&text).unwrap();
    let error = pull_with(&source, &store, &server.network(), &mut Silent).unwrap_err();
    assert!(!format!("{error} {error:?} {source} {source:?}").contains("hunter2"));
    assert_eq!(
        server.seen()[0].headers["authorization"],
        "Basic dXNlcjpodW50ZXIy"
    );
}

#[test]
fn a_page_is_no_model() {
    let server = Server::start(|_, _, connection| {
        send(connection, "200 OK", "", b"<!DOCTYPE html><p>sign in")
    });
    let (_folder, store) = store();
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(
        matches!(error, PullError::NotGguf { .. }) && error.to_string().contains("<!DOCTYP"),
        "{error}"
    );
    assert_empty(&store);
}

#[test]
fn a_body_of_unknown_length() {
    let body = model(16, LEN);
    let copy = body.clone();
    let server = Server::start(move |_, _, connection| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let _gone = connection.write_all(head);
        for piece in copy.chunks(100_000) {
            let _gone = connection.write_all(format!("{:x}\r\n", piece.len()).as_bytes());
            let _gone = connection
                .write_all(piece)
                .and_then(|()| connection.write_all(b"\r\n"));
        }
        let _gone = connection.write_all(b"0\r\n\r\n");
    });
    let (_folder, store) = store();
    assert_holds(
        &pull_quietly(&server, "", &store).unwrap().model.path,
        &body,
    );
}

#[test]
fn a_proxy_is_asked_unless_the_host_is_excepted() {
    let body = model(22, LEN);
    let copy = body.clone();
    let proxy = Server::start(move |_, tunnel, connection| {
        assert_eq!(tunnel.path, "models.invalid:80");
        let _gone = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let Some(request) = read_request(connection) else {
            return;
        };
        serve(&request, connection, &copy, "a");
    });
    let mut network = proxy.network();
    network.proxies.http = Some(Secret::new(
        proxy.base.replace("http://", "http://user:hunter2@"),
    ));
    let (_folder, store) = store();
    let text = format!("http://models.invalid/model.gguf#sha256={}", sum(&body));
    let source = Source::parse(&text).unwrap();
    network.proxies.direct = vec!["invalid".to_owned()];
    let error = pull_with(&source, &store, &network, &mut Silent).unwrap_err();
    assert!(
        matches!(error, PullError::Network { .. }) && proxy.seen().is_empty(),
        "{error}"
    );
    network.proxies.direct.clear();
    let pulled = pull_with(&source, &store, &network, &mut Silent).unwrap();
    assert_holds(&pulled.model.path, &body);
    assert_eq!(
        proxy.seen()[0].headers["proxy-authorization"],
        "Basic dXNlcjpodW50ZXIy"
    );
}
