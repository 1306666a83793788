//! Spending more than one has: time, memory, processes, disk, output.

use std::fs;
use std::time::{Duration, Instant};

use sandbox::{Capture, Continue, End, Limits, Outcome};

use crate::ground::{Ground, alive, at_each_level, mark, stdout};

const MIB: u64 = 1 << 20;

/// Runs a script with limits changed; it must not take longer than 10 s.
fn spend(ground: &Ground<'_>, python: bool, script: &str, change: impl Fn(&mut Limits)) -> Outcome {
    let mut job = if python {
        ground.python(script)
    } else {
        ground.shell(script)
    };
    change(&mut job.limits);
    let began = Instant::now();
    let outcome = ground.run(&job);
    println!("   {} after {:?}", outcome.end, outcome.wall);
    assert!(began.elapsed() < Duration::from_secs(10), "{outcome:?}");
    outcome
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn who_sleeps_is_woken() {
    at_each_level(|ground| {
        let outcome = spend(ground, false, "sleep 100", |limits| limits.wall = SHORT);
        assert_eq!(outcome.end, End::WallLimit);
        assert!(outcome.wall >= SHORT);
        assert!(outcome.wall < SHORT + Duration::from_secs(1));
    });
}

#[test]
fn who_is_asked_to_end_may_clean_up_and_who_ignores_it_is_killed() {
    at_each_level(|ground| {
        let polite = "trap 'echo cleaned; exit' TERM; sleep 100 & wait";
        let outcome = spend(ground, false, polite, |limits| limits.wall = SHORT);
        assert_eq!(outcome.end, End::WallLimit);
        assert_eq!(stdout(&outcome), "cleaned\n");

        let deaf = "import signal, time\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\n\
                    while True: time.sleep(1)";
        let outcome = spend(ground, true, deaf, |limits| limits.wall = SHORT);
        assert_eq!(outcome.end, End::WallLimit);
        let stopped = "kill -STOP $$";
        let outcome = spend(ground, false, stopped, |limits| limits.wall = SHORT);
        assert_eq!(outcome.end, End::WallLimit);
    });
}

#[test]
fn who_closes_its_outputs_lives_no_longer() {
    at_each_level(|ground| {
        let hidden = mark();
        let script = format!("exec >&- 2>&- <&-; sleep {hidden}");
        let outcome = spend(ground, false, &script, |limits| limits.wall = SHORT);
        assert_eq!(outcome.end, End::WallLimit);
        assert_eq!(alive(&hidden), 0);
    });
}

#[test]
fn processor_time_is_of_all_together() {
    at_each_level(|ground| {
        for burn in [
            "while :; do :; done",
            "for i in 1 2 3 4; do (while :; do :; done) & done; wait",
            // Children that nobody waits for, one after the other.
            "while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done) & wait; done",
        ] {
            let outcome = spend(ground, false, burn, |limits| limits.cpu = Some(SHORT));
            assert_eq!(outcome.end, End::CpuLimit, "{burn}");
            assert!(outcome.cpu >= SHORT, "{:?}", outcome.cpu);
            assert!(outcome.cpu < Duration::from_secs(2), "{:?}", outcome.cpu);
        }
    });
}

#[test]
fn memory_is_of_all_together_and_however_it_is_taken() {
    const ONE: &str = "x = []\nwhile True: x.append(bytearray(1 << 22))";
    const MANY: &str = "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    x = bytearray(40 << 20); time.sleep(9)\ntime.sleep(9)";
    const FILE: &str = "import os, time\nf = os.memfd_create('x')\nfor i in range(100): os.write(f, bytes(4 << 20)); time.sleep(.02)\ntime.sleep(9)";
    const THREAD: &str = r#"
import ctypes, threading, time
def hog():
    x = []
    for i in range(100): x.append(bytearray(4 << 20)); time.sleep(.02)
    time.sleep(9)
threading.Thread(target=hog).start()
ctypes.CDLL(None).pthread_exit(None)
"#;
    at_each_level(|ground| {
        for hog in [ONE, MANY, FILE, THREAD] {
            let outcome = spend(ground, true, hog, |limits| {
                limits.memory_bytes = Some(100 * MIB);
            });
            // Its own allocator may be the first to notice; then it fails by itself, and no more was taken.
            let failed = outcome.end == End::Exited(1) && hog == ONE;
            assert!(
                outcome.end == End::MemoryLimit || failed,
                "{hog} {outcome:?}"
            );
            assert!(
                outcome.peak_memory_bytes.unwrap() < 300 * MIB,
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn forks_share_their_memory_and_are_not_charged_twice() {
    const SHARE: &str = "import os, time\nx = bytearray(60 << 20)\nfor i in range(5):\n  if os.fork() == 0:\n    time.sleep(.5); os._exit(0)\nfor i in range(5): os.wait()";
    at_each_level(|ground| {
        let outcome = spend(ground, true, SHARE, |limits| {
            limits.memory_bytes = Some(150 * MIB);
        });
        assert_eq!(outcome.end, End::Exited(0));
    });
}

#[test]
fn bombs_of_processes_and_threads_go_off_inside() {
    const FORKS: &str = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    // Over as quickly as it came, where the system refuses more: it is held, and may be over before anybody saw it.
    const BRIEF: &str = "b() { b | b & }; b; sleep 0.5";
    const THREADS: &str = "import threading, time\nfor i in range(500):\n  try: threading.Thread(target=time.sleep, args=(9,)).start()\n  except RuntimeError: break\ntime.sleep(1)";
    at_each_level(|ground| {
        for bomb in [FORKS, THREADS] {
            let outcome = spend(ground, true, bomb, |limits| limits.processes = Some(20));
            assert_eq!(outcome.end, End::ProcessLimit, "{outcome:?}");
        }
        let outcome = spend(ground, false, BRIEF, |limits| limits.processes = Some(20));
        assert!(
            matches!(outcome.end, End::ProcessLimit | End::Exited(0)),
            "{outcome:?}"
        );
        let modest = "for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait";
        let outcome = spend(ground, false, modest, |limits| limits.processes = Some(20));
        assert_eq!(outcome.end, End::Exited(0));
    });
}

#[test]
fn the_disk_is_not_filled() {
    const BIG: &str = "import os\nf = open('big', 'wb')\nfor i in range(1000): f.write(bytes(1 << 20)); f.flush()";
    const MANY: &str =
        "import os\nfor i in range(100000): open(f'f{i}', 'wb').write(bytes(1 << 16))";
    const TEMPORARY: &str = "import os\nfor i in range(100000): open(os.environ['HOME'] + f'/f{i}', 'wb').write(bytes(1 << 16))";
    const NAMELESS: &str = "import os, time\nk = []\nfor i in range(60):\n  f = open('x', 'wb'); k.append(f); os.unlink('x'); f.write(bytes(1 << 20)); f.flush(); time.sleep(.01)\ntime.sleep(9)";
    const BURIED: &str = "import os, time\nos.mkdir('a'); os.chdir('a')\nfor i in range(30): os.mkdir('d' * 250); os.chdir('d' * 250)\nopen('x', 'wb').write(bytes(1 << 20))\ntime.sleep(9)";
    at_each_level(|ground| {
        for fill in [BIG, MANY, TEMPORARY, NAMELESS, BURIED] {
            let outcome = spend(ground, true, fill, |limits| {
                limits.written_bytes = Some(20 * MIB);
            });
            assert_eq!(outcome.end, End::DiskLimit, "{fill}\n{outcome:?}");
            // So that the next one starts with an empty folder; deep ones defeat the standard library.
            let done = std::process::Command::new("rm")
                .arg("-rf")
                .arg(ground.at("work"))
                .status();
            assert!(done.unwrap().success());
            fs::create_dir(ground.at("work")).unwrap();
        }
        let modest = "head -c 10000000 /dev/zero > fine; truncate -s 1M hole";
        let outcome = spend(ground, false, modest, |limits| {
            limits.written_bytes = Some(20 * MIB);
        });
        assert_eq!(outcome.end, End::Exited(0));
    });
}

#[test]
fn a_flood_is_cut_and_held_in_little_memory() {
    at_each_level(|ground| {
        for flood in ["yes", "yes >&2"] {
            let before = resident();
            let outcome = spend(ground, false, flood, |limits| {
                limits.output_bytes = 64 * MIB
            });
            assert_eq!(outcome.end, End::OutputLimit);
            let (tail, other) = match flood {
                "yes" => (&outcome.stdout, &outcome.stderr),
                _ => (&outcome.stderr, &outcome.stdout),
            };
            assert!(tail.total > 64 * MIB);
            assert_eq!(tail.bytes.len(), 64 << 10);
            assert_eq!(other.total, 0);
            // Other tests run beside this one: far less than was printed is enough.
            assert!(resident() < before + 48 * MIB);
        }
    });
}

#[test]
fn a_gibibyte_that_is_allowed_is_counted_and_dropped() {
    at_each_level(|ground| {
        let mut job = ground.shell("yes | head -c 1073741824; echo end");
        job.limits.output_bytes = 2 << 30;
        job.stdout = Capture::Tail(4);
        let before = resident();
        let outcome = ground.run(&job);
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(outcome.stdout.total, (1 << 30) + 4);
        assert_eq!(stdout(&outcome), "end\n");
        assert!(resident() < before + 256 * MIB);
    });
}

#[test]
fn an_output_file_is_no_longer_than_it_may_be() {
    at_each_level(|ground| {
        let log = ground.at("log");
        let mut job = ground.shell("yes");
        job.stdout = Capture::File(log.clone());
        job.limits.output_bytes = MIB;
        assert_eq!(ground.run(&job).end, End::OutputLimit);
        assert_eq!(fs::metadata(&log).unwrap().len(), MIB);
    });
}

#[test]
fn who_deletes_its_folder_has_none() {
    at_each_level(|ground| {
        let outcome = spend(
            ground,
            false,
            "rm -rf ../work/* \"$PWD\"; echo done",
            |_| {},
        );
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(stdout(&outcome), "done\n");
    });
}

#[test]
fn the_caller_sees_it_often_and_can_stop_it() {
    at_each_level(|ground| {
        let job = ground.shell("while :; do echo x; sleep 0.01; done");
        let mut last = Instant::now();
        let mut longest = Duration::ZERO;
        let mut seen = None;
        let outcome = ground.sandbox.run(&job, &mut |pulse| {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            seen = Some(pulse);
            if pulse.elapsed > SHORT {
                Continue::Stop
            } else {
                Continue::Yes
            }
        });
        let pulse = seen.unwrap();
        assert_eq!(outcome.unwrap().end, End::Stopped);
        assert!(longest < Duration::from_millis(150), "{longest:?}");
        assert!(pulse.stdout_bytes > 0 && pulse.tasks > 0, "{pulse:?}");
        assert!(pulse.memory_bytes.unwrap() > 0, "{pulse:?}");
    });
}

/// Of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kibibytes = line.split_ascii_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() << 10
}
