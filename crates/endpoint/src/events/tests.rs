//! Streams in memory, cut anywhere, without end, and broken.

use std::io::{self, BufReader, Read};

use super::{Events, MAX_BYTES, StreamError};

fn all(bytes: &[u8], capacity: usize) -> Vec<String> {
    Events::new(BufReader::with_capacity(capacity, bytes))
        .map(|event| event.expect("a stream in memory"))
        .collect()
}

#[test]
fn lines_end_in_three_ways_wherever_the_bytes_are_cut() {
    let stream = b"data: one\n\ndata:two\r\n\r\ndata: three\rdata: more\r\r: note\nevent: x\nid: 3\n\ndata: [DONE]\n\n";
    for capacity in [1, 2, 3, 7, 4096] {
        assert_eq!(
            all(stream, capacity),
            ["one", "two", "three\nmore", "[DONE]"],
            "{capacity}"
        );
    }
}

#[test]
fn an_event_that_the_end_cut_off_counts() {
    assert_eq!(all(b"data: {\"a\"", 16), ["{\"a\""]);
    assert_eq!(all(b"data: x\n", 16), ["x"]);
    assert!(all(b"", 16).is_empty());
    assert!(all(b"\n\n: only a comment\n\n", 16).is_empty());
}

#[test]
fn what_is_no_data_is_skipped() {
    assert_eq!(all(b"database: 3\ndata\n\n", 16), [""]);
    assert_eq!(all(b"data: \xff\xfe\n\n", 16), ["\u{fffd}\u{fffd}"]);
}

#[test]
fn an_event_without_end_ends() {
    let mut line = Events::new(BufReader::new(io::repeat(b'x')));
    assert!(matches!(line.next(), Some(Err(StreamError::TooLong))));
    let many = b"data: 0123456789\n".repeat(MAX_BYTES / 10 + 1);
    let mut event = Events::new(&many[..]);
    assert!(matches!(event.next(), Some(Err(StreamError::TooLong))));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_broken_connection_is_told() {
    let mut events = Events::new(BufReader::new((&b"data: a\n\ndata: b"[..]).chain(Broken)));
    assert!(matches!(events.next(), Some(Ok(data)) if data == "a"));
    assert!(matches!(events.next(), Some(Err(StreamError::Io(_)))));
}
