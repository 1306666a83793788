//! Living on when the command is over.

use std::time::{Duration, Instant};

use sandbox::End;

use crate::ground::{alive, at_each_level, leftovers, mark, stdout};

/// Forks twice and begins a session, for each of them; the last ones are deaf too.
const HUNDRED: &str = r#"
import os, signal, sys
for i in range(100):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(s, signal.SIG_IGN)
            os.closerange(0, 3)
            os.execv("/usr/bin/sleep" if os.path.exists("/usr/bin/sleep") else "/bin/sleep", ["sleep", os.environ["MARK"]])
        os._exit(0)
for i in range(100): os.wait()
"#;

#[test]
fn a_hundred_stragglers_are_gone() {
    at_each_level(|ground| {
        let hidden = mark();
        let mut job = ground.python(HUNDRED);
        job.environment.insert("MARK".to_owned(), hidden.clone());
        let began = Instant::now();
        let outcome = ground.run(&job);
        let took = began.elapsed() - outcome.wall;
        println!("   {} killed in {took:?}", outcome.stragglers_killed);
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(outcome.stragglers_killed, 100);
        assert_eq!(alive(&hidden), 0);
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn stragglers_that_hold_the_output_open_delay_nothing() {
    at_each_level(|ground| {
        let hidden = mark();
        let began = Instant::now();
        let outcome = ground.run(&ground.shell(&format!("setsid sleep {hidden} & echo done")));
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(stdout(&outcome), "done\n");
        assert_eq!(alive(&hidden), 0);
    });
}

#[test]
fn stragglers_that_multiply_are_gone_too() {
    const MULTIPLY: &str = r#"
import os, sys
if os.fork() == 0:
    os.setsid()
    while True:
        try:
            if os.fork() != 0: os._exit(0)
        except OSError: pass
"#;
    at_each_level(|ground| {
        let hidden = format!("# {}", mark());
        let outcome = ground.run(&ground.python(&format!("{MULTIPLY}\n{hidden}")));
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(alive(&hidden), 0);
    });
}

#[test]
fn temporary_folders_and_groups_are_gone() {
    at_each_level(|ground| {
        // Closed to everybody, and deeper than a path can say.
        let script = r#"echo "$TMPDIR" > name; cd "$TMPDIR"; mkdir -p a/b/c; touch a/b/c/d; chmod 700 a; cat /proc/self/cgroup 2>/dev/null
            python3 -I -c "import os
for i in range(40): os.mkdir('e' * 200); os.chdir('e' * 200)"; true"#;
        let outcome = ground.run(&ground.shell(script));
        assert_eq!(outcome.end, End::Exited(0));
        let own = format!("-{}-", std::process::id());
        let mut left = leftovers(&std::env::temp_dir());
        let name = std::fs::read_to_string(ground.at("work/name")).unwrap();
        left.retain(|path| {
            path.to_string_lossy() == name.trim() || path.to_string_lossy().contains(&own)
        });
        assert!(left.is_empty(), "{left:?}");
    });
}
