//! Names of processes are a stranger's text in the middle of a line that we take numbers from.

use super::*;

#[test]
fn a_name_with_brackets_and_numbers_changes_nothing() {
    let rest = "S 1 7 7 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 5 0 4242 1000 200";
    for name in ["sh", "a) S 9 9 9", ")))", "1 2 3 (x", ""] {
        let line = format!("77 ({name}) {rest}");
        let stat = Stat {
            ended: false,
            started: 4242,
            tasks: 5,
            own: 120,
            reaped: 4,
        };
        assert_eq!(parse(&line), Some(stat), "{line}");
    }
    assert_eq!(parse("77 (sh) S 1"), None);
    assert_eq!(parse(""), None);
}

#[test]
fn a_child_is_seen_with_its_start() {
    let mut child = std::process::Command::new("sleep")
        .arg("10")
        .spawn()
        .unwrap();
    let all = below(rustix::process::getpid());
    let pid = Pid::from_child(&child);
    let seen = all.iter().find(|process| process.pid == pid);
    assert_eq!(seen.map(|process| process.started), started(pid));
    assert!(seen.is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(started(pid), None);
}
