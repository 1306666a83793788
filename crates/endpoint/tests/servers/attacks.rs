//! Serves every stream of `attacks/`, and says what must come of it.

use std::{fs, path::Path, time::Duration};

use crate::wire::{Piece, Site, model_list};
use endpoint::{Ask, Cause, Message, Patience, Server};

fn kind(cause: Option<&Cause>) -> &'static str {
    match cause {
        None => "whole",
        Some(Cause::Connection { .. }) => "connection",
        Some(Cause::Dropped { .. }) => "dropped",
        Some(Cause::Stalled { .. }) => "stalled",
        Some(Cause::Status { .. }) => "status",
        Some(Cause::Malformed { .. }) => "malformed",
        Some(Cause::Reported { .. }) => "reported",
        Some(Cause::Endless { .. }) => "endless",
        Some(Cause::Empty) => "empty",
    }
}

#[test]
fn each_is_told_apart() {
    let expected = [
        ("bytes.txt", "dropped"),
        ("cut.txt", "malformed"),
        ("error.txt", "reported"),
        ("good.txt", "whole"),
        ("nested.txt", "malformed"),
        ("returns.txt", "whole"),
        ("usage.txt", "dropped"),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks");
    let streams = fs::read_dir(&folder)
        .expect("the folder")
        .filter(|f| {
            f.as_ref()
                .is_ok_and(|f| f.path().extension().is_some_and(|e| e == "txt"))
        })
        .count();
    assert_eq!(streams, expected.len(), "a stream without an expectation");
    for (name, outcome) in expected {
        let stream = fs::read(folder.join(name)).expect("a stream");
        let site = Site::new(move |request| {
            if request.path == "/v1/models" {
                return model_list(&["tiny"]);
            }
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            vec![Piece::Raw([head, &stream[..]].concat()), Piece::Close]
        });
        let patience = Patience {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(5),
        };
        let server = Server::connect(&site.address(), None, None, patience).expect("a server");
        let exchange = server.ask(&Ask::streamed(vec![Message::user("Hello".into())], 4));
        assert_eq!(
            kind(exchange.failure.as_ref()),
            outcome,
            "{name}: {exchange:?}"
        );
    }
}
