//! What a caller is promised: inputs, conversations, errors that help, and a start that costs little.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use sandbox::{Capture, End, Helper, Level, Limits, Mount, Sandbox, SandboxError, Stdin};

use crate::ground::{alive, at_each_level, at_level, helper, levels, mark, stderr, stdout};

#[test]
fn some_seal_is_to_be_had_and_every_probe_was_stopped() {
    assert!(!levels().is_empty(), "neither level works on this machine");
    for sandbox in levels() {
        assert!(sandbox.probes().len() >= 22);
        for probe in sandbox.probes() {
            assert!(probe.stopped, "{}: {probe}", sandbox.level());
        }
    }
    let best = Sandbox::detect(Helper::program(helper()), None).unwrap();
    assert_eq!(best.level(), levels()[0].level());
}

#[test]
fn a_helper_that_seals_nothing_is_found_out() {
    // It runs what it is told to, or nothing, and closes no door.
    for program in ["/bin/true", "/bin/cat"] {
        let refused = Sandbox::detect(Helper::program(program), None).unwrap_err();
        assert_eq!(refused.reasons.len(), 2, "{refused}");
        assert!(refused.to_string().contains("--seal unsealed"), "{refused}");
    }
    let missing = Sandbox::detect(Helper::program("/no/such/cell"), None).unwrap_err();
    assert!(missing.to_string().contains("/no/such/cell"), "{missing}");
}

#[test]
fn inputs_arrive_whole() {
    at_each_level(|ground| {
        let mut job = ground.shell("cat | wc -c");
        assert_eq!(stdout(&ground.run(&job)), "0\n");
        let bytes = vec![b'x'; 3 << 20];
        job.stdin = Stdin::Bytes(bytes.clone());
        assert_eq!(stdout(&ground.run(&job)), "3145728\n");
        let file = ground.at("outside/input");
        std::fs::write(&file, &bytes[..5]).unwrap();
        job.stdin = Stdin::File(file);
        assert_eq!(stdout(&ground.run(&job)), "5\n");
        job.stdin = Stdin::File(ground.at("nothing"));
        assert!(ground.refused(&job).to_string().contains("nothing"));
        job.stdin = Stdin::File("/dev/zero".into());
        let refusal = ground.refused(&job).to_string();
        assert!(refusal.contains("ordinary"), "{refusal}");
        // What is given in memory is not the command's.
        let mut job = ground.shell("sleep 0.3; cat | wc -c");
        job.stdin = Stdin::Bytes(vec![0; 64 << 20]);
        job.limits.memory_bytes = Some(32 << 20);
        let outcome = ground.run(&job);
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(stdout(&outcome), "67108864\n");
    });
}

#[test]
fn codes_and_signals_are_told_apart() {
    at_each_level(|ground| {
        for code in [0, 1, 127, 137, 139, 255] {
            let outcome = ground.run(&ground.shell(&format!("exit {code}")));
            assert_eq!(outcome.end, End::Exited(code));
        }
        for signal in [9, 15, 6] {
            let outcome = ground.run(&ground.shell(&format!("kill -{signal} $$")));
            assert_eq!(outcome.end, End::Signalled(signal));
        }
    });
}

#[test]
fn both_outputs_are_kept_apart() {
    at_each_level(|ground| {
        let mut job = ground.shell("echo out; echo err >&2; printf abcdef >&2");
        job.stderr = Capture::Tail(3);
        let outcome = ground.run(&job);
        assert_eq!(stdout(&outcome), "out\n");
        assert_eq!(stderr(&outcome), "def");
        assert_eq!(outcome.stderr.total, 10);
    });
}

#[test]
fn a_conversation_ends_when_the_caller_hangs_up() {
    at_each_level(|ground| {
        let mut job = ground.shell("while read line; do echo \"heard $line\"; done; echo bye >&2");
        job.stdin = Stdin::Piped;
        job.stdout = Capture::Piped;
        let mut running = ground.sandbox.start(&job).unwrap();
        let (mut tell, mut hear) = (running.stdin().unwrap(), running.stdout().unwrap());
        for word in ["one", "two"] {
            writeln!(tell, "{word}").unwrap();
            let expected = format!("heard {word}\n");
            let mut answer = vec![0; expected.len()];
            hear.read_exact(&mut answer).unwrap();
            assert_eq!(answer, expected.as_bytes());
        }
        assert!(!running.is_over());
        drop(tell);
        let outcome = running.end().unwrap();
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(stderr(&outcome), "bye\n");
        assert!(matches!(
            ground.refused(&job),
            SandboxError::Piped {
                what: "standard input"
            }
        ));
    });
}

#[test]
fn a_started_job_has_its_limits_and_dies_when_dropped() {
    at_each_level(|ground| {
        let hidden = mark();
        let mut job = ground.shell(&format!("setsid sleep {hidden} & sleep {hidden}"));
        let running = ground.sandbox.start(&job).unwrap();
        while alive(&format!("sleep\0{hidden}")) < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(running);
        assert_eq!(alive(&hidden), 0);

        job.limits.wall = Duration::from_millis(200);
        let ended = ground.sandbox.start(&job).unwrap().end().unwrap();
        assert_eq!(ended.end, End::WallLimit);
        job.limits.wall = Duration::from_secs(20);
        let running = ground.sandbox.start(&job).unwrap();
        running.stop();
        assert_eq!(running.end().unwrap().end, End::Stopped);
        assert_eq!(alive(&hidden), 0);
    });
}

#[test]
fn jobs_that_are_none_are_refused_with_words() {
    at_each_level(|ground| {
        let good = ground.shell("true");
        let mut job = good.clone();
        job.command.clear();
        assert!(matches!(ground.refused(&job), SandboxError::NoCommand));
        job = good.clone();
        job.command = vec!["no-such-program".into()];
        let refusal = ground.refused(&job).to_string();
        assert!(refusal.contains("no-such-program"), "{refusal}");
        job = good.clone();
        job.folder = "relative".into();
        assert!(matches!(
            ground.refused(&job),
            SandboxError::Relative { .. }
        ));
        job = good.clone();
        job.folder = ground.at("outside");
        assert!(matches!(
            ground.refused(&job),
            SandboxError::FolderOutside { .. }
        ));
        job = good.clone();
        job.read_only.push(Mount::at(ground.at("missing")));
        assert!(matches!(ground.refused(&job), SandboxError::Mount { .. }));
        job = good.clone();
        job.read_only.push(Mount::at(ground.at("work/../outside")));
        assert!(matches!(
            ground.refused(&job),
            SandboxError::Relative { .. }
        ));
        job = good;
        job.stderr = Capture::Piped;
        assert!(matches!(ground.refused(&job), SandboxError::Piped { .. }));
    });
}

#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    at_each_level(|ground| {
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe odd\n");
        let folder = ground.at("work").join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut job = ground.job([std::ffi::OsStr::new("touch"), name]);
        job.folder = folder.clone();
        assert_eq!(ground.run(&job).end, End::Exited(0));
        assert!(folder.join(name).exists());
    });
}

#[test]
fn unsealed_is_only_what_was_asked_for_and_still_limited() {
    let sandbox = Sandbox::detect(Helper::program(helper()), Some(Level::Unsealed)).unwrap();
    assert!(sandbox.probes().is_empty());
    let ground = crate::ground::Ground::on(&sandbox);
    let mut job = ground.shell("cat \"$OUTSIDE/secret\"; sleep 100");
    job.limits = Limits::wall(Duration::from_millis(300));
    let outcome = ground.run(&job);
    assert_eq!(outcome.end, End::WallLimit);
    assert_eq!(stdout(&outcome), crate::ground::SECRET);
}

#[test]
fn compilers_and_interpreters_of_the_system_work() {
    const BUILD: &str = "printf 'int main(void){return 42;}' > a.c && cc a.c -o a && ./a; echo $?; \
        python3 -I -c 'import json, ssl, subprocess; print(subprocess.run([\"echo\", \"child\"], capture_output=True).stdout)'; \
        mkdir d && cp a d/b && mv d e && tar cf t.tar e && gzip t.tar && ls e";
    if !std::path::Path::new("/usr/bin/cc").exists() {
        return;
    }
    at_each_level(|ground| {
        let outcome = ground.run(&ground.shell(BUILD));
        let said = format!("{}{}", stdout(&outcome), stderr(&outcome));
        assert_eq!(said, "42\nb'child\\n'\nb\n");
    });
}

/// The experiment's whole budget is 300 ms; a tenth of it for a cell on a quiet machine, and here a bound that holds on a busy one.
#[test]
fn a_cell_starts_quickly() {
    at_each_level(|ground| {
        let job = ground.job(["true"]);
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(ground.run(&job).end, End::Exited(0));
                began.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "   `true` takes {:?} (median of 50), {:?} at most",
            times[25], times[49]
        );
        assert!(times[25] < Duration::from_millis(200), "{times:?}");
    });
}

/// Prints the level that it finds, where the test below runs it.
#[test]
fn a_detector_for_the_others() {
    if std::env::var("SPRAG_TEST_DETECT").is_ok() {
        match Sandbox::detect(Helper::program(helper()), None) {
            Ok(sandbox) => println!("found {:?}", sandbox.level()),
            Err(why) => println!("found nothing: {why}"),
        }
    }
}

/// A cell is a container that forbids namespaces, as many do: in there, bubblewrap can't work, and Landlock has to be found.
#[test]
fn where_namespaces_are_forbidden_landlock_is_found() {
    at_level(Level::Bubblewrap, |ground| {
        let tests = std::env::current_exe().unwrap();
        let mut job = ground.job([
            tests.as_os_str(),
            "--exact".as_ref(),
            "contract::a_detector_for_the_others".as_ref(),
            "--nocapture".as_ref(),
        ]);
        job.read_only
            .extend([Mount::at(&tests), Mount::at(helper())]);
        let cell = helper().to_string_lossy().into_owned();
        for (name, value) in [("SPRAG_TEST_DETECT", "1"), (crate::ground::HELPER, &cell)] {
            job.environment.insert(name.to_owned(), value.to_owned());
        }
        let outcome = ground.run(&job);
        let said = stdout(&outcome);
        assert!(
            said.contains("found Landlock"),
            "{said}{}",
            stderr(&outcome)
        );
    });
}

#[test]
fn a_users_own_compiler_works_by_its_toolchain() {
    let rust = sandbox::toolchain("cargo".as_ref());
    if rust.mounts.is_empty() {
        return;
    }
    at_each_level(|ground| {
        let script = "cargo init --quiet --vcs none --name hello . && cargo run --quiet --offline";
        let mut job = ground.shell(script);
        job.limits.wall = Duration::from_secs(60);
        job.read_only.extend(rust.mounts.clone());
        job.environment.extend(rust.environment.clone());
        let outcome = ground.run(&job);
        let said = format!("{}{}", stdout(&outcome), stderr(&outcome));
        assert!(said.ends_with("Hello, world!\n"), "{} {said}", outcome.end);
    });
}
