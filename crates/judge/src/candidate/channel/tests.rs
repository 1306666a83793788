//! A shell on the other end that does each thing a hostile process can do with two pipes.

use std::process::{Child, Command, Stdio};

use super::*;

struct Other {
    child: Child,
    channel: Channel,
}

impl Other {
    fn doing(script: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let channel = Channel::of_child(child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let channel = channel.unwrap();
        Self { child, channel }
    }

    fn ask(&self, bytes: &[u8], wanted_bytes: usize, hold: Option<Duration>) -> Result<Reply, Cut> {
        self.channel.ask(&Question {
            bytes,
            wanted_bytes,
            limit: Duration::from_millis(500),
            hold,
        })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
    }
}

const HOLD: Option<Duration> = Some(Duration::from_millis(60));

#[test]
fn an_echo_larger_than_the_pipes_comes_back() {
    let other = Other::doing("exec cat");
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    assert_eq!(other.ask(&bytes, bytes.len(), None).unwrap().bytes, bytes);
    let reply = other.ask(b"once more", 9, None).unwrap();
    assert!(reply.seconds > 0.0);
    other.channel.is_quiet(Duration::from_millis(5)).unwrap();
}

#[test]
fn what_comes_before_the_end_of_the_question_is_early() {
    let other = Other::doing("exec cat");
    assert!(matches!(
        other.ask(&[7; 64], 64, HOLD),
        Err(Cut::Early { sent: 60 })
    ));
    let late = Other::doing("head -c 64 >/dev/null; printf 1234");
    assert_eq!(late.ask(&[7; 64], 4, HOLD).unwrap().bytes, b"1234");
}

#[test]
fn every_way_not_to_answer_ends_in_time() {
    let begin = Instant::now();
    assert!(matches!(
        Other::doing("exec sleep 20").ask(b"hello", 4, None),
        Err(Cut::Late { got: 0 })
    ));
    let half = Other::doing("head -c 5 >/dev/null; printf 12; exec sleep 20");
    assert!(matches!(
        half.ask(b"hello", 4, None),
        Err(Cut::Late { got: 2 })
    ));
    let gone = Other::doing("head -c 5 >/dev/null; printf 123");
    assert!(matches!(
        gone.ask(b"hello", 4, None),
        Err(Cut::Closed { got: 3 })
    ));
    // Never reads: more than the pipe holds can't be sent.
    let deaf = Other::doing("exec sleep 20");
    assert!(matches!(
        deaf.ask(&[0; 1 << 20], 4, HOLD),
        Err(Cut::Late { got: 0 })
    ));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_nobody_asked_for_is_seen_at_the_next_question() {
    let flood = Other::doing("exec yes");
    flood.channel.is_quiet(Duration::from_secs(2)).unwrap_err();
    let more = Other::doing("head -c 5 >/dev/null; printf 12345; exec sleep 20");
    assert_eq!(more.ask(b"hello", 4, None).unwrap().bytes, b"1234");
    assert!(matches!(
        more.channel.is_quiet(Duration::from_secs(1)),
        Err(Cut::Unasked)
    ));
    assert!(matches!(
        more.channel.ask(&Question {
            bytes: b"x",
            wanted_bytes: 1,
            limit: Duration::ZERO,
            hold: None
        }),
        Err(Cut::Late { .. } | Cut::Unasked)
    ));
}
