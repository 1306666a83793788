//! Other processes, privileges, and the kernel's many doors.

use std::process::{Child, Command};

use sandbox::{End, Level};

use crate::ground::{at_each_level, at_level, stdout};

/// Calls by number, since no library offers them; each with harmless arguments that would work, or fail otherwise than by refusal,
/// if it were open.
#[cfg(target_arch = "x86_64")]
const DOORS: &str = r#"
import ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args, closed=(errno.EPERM, errno.ENOSYS)):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    code = ctypes.get_errno()
    if got == -1 and code in closed:
        print(name, "refused:", code)
    else:
        print("THROUGH", name, got, code)
room = ctypes.create_string_buffer(4096)
call("io_uring", 425, 1, room)
call("add_key", 248, b"user", b"x", b"x", 1, -3)
call("keyctl", 250, 0, -3, 1)
call("bpf", 321, 5, room, 128)
call("perf_event_open", 298, room, 0, -1, -1, 0)
call("userfaultfd", 323, 1)
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount", 166, b"/tmp", 2)
call("unshare", 272, 0x10000000)
call("unshare nothing", 272, 0)
call("setns", 308, 0, 0)
call("pivot_root", 155, b"/", b"/")
call("chroot", 161, b"/")
call("ptrace", 101, 0, 0, 0, 0)
call("process_vm_readv", 310, os.getppid(), room, 0, room, 0, 0)
call("pidfd_getfd", 438, 0, 0, 0)
call("kcmp", 312, os.getpid(), os.getpid(), 0, 0, 0)
call("open_by_handle_at", 304, 0, room, 0)
call("name_to_handle_at", 303, -100, b"/", room, room, 0)
call("fsopen", 430, b"tmpfs", 0)
call("open_tree", 428, -100, b"/", 1)
call("clone into a user namespace", 56, 0x10000000 | 17, 0, 0, 0, 0)
call("clone into a network namespace", 56, 0x40000000 | 17, 0, 0, 0, 0)
call("clone3", 435, room, 88)
call("a call of the future", 463, 0)
call("a call of the far future", 1000, 0)
call("x32 getpid", 0x40000000 | 39)
call("x32 ptrace", 0x40000000 | 521, 0, 0, 0, 0)
call("TIOCSTI", 16, 0, 0x5412, b"x")
call("TIOCSTI with dirt above", 16, 0, 0xffff_ffff_0000_5412 - (1 << 64), b"x")
call("syslog", 103, 2, room, 100)
call("settimeofday", 164, room, 0)
call("sethostname", 170, b"x", 1)
call("swapon", 167, b"/x", 0)
call("reboot", 169, 0, 0, 0, 0)
call("iopl", 172, 3)
call("fanotify", 300, 0, 0)
call("init_module", 175, room, 1, b"")
call("kexec", 246, 0, 0, 0, 0)
call("setuid to another", 105, 1234, closed=(errno.EPERM, errno.EINVAL))
call("setgroups", 116, 1, room)
print("all tried")
"#;

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_doors_are_closed() {
    at_each_level(|ground| {
        let breaches = ground.breaches(&ground.python(DOORS));
        assert!(breaches.is_empty(), "{breaches:#?}");
    });
}

/// A call by the 32-bit convention has other numbers: 20 is getpid there.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_foreign_convention_is_death() {
    const FOREIGN: &str = r"
import ctypes, mmap
code = bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3])
page = mmap.mmap(-1, 4096, prot=7)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
";
    at_each_level(|ground| {
        let outcome = ground.run(&ground.python(FOREIGN));
        // SIGSYS, or SIGSEGV where the kernel knows no such convention.
        assert!(
            matches!(outcome.end, End::Signalled(31 | 11)),
            "{}",
            outcome.end
        );
    });
}

#[test]
fn programs_of_other_users_give_nothing() {
    at_each_level(|ground| {
        let script = "id -u; for p in su sudo passwd mount newgrp; do test -u /usr/bin/$p && echo found; done; \
                      grep -c . /proc/self/status >/dev/null 2>&1; python3 -I -c 'import os; print(os.getresuid())'";
        let outcome = ground.run(&ground.shell(script));
        let text = stdout(&outcome);
        let own = rustix::process::getuid().as_raw();
        assert!(text.contains(&format!("({own}, {own}, {own})")), "{text}");
        assert!(text.starts_with(&own.to_string()), "{text}");
    });
}

/// Somebody of the same user, outside.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const SIGNALS: &str = r#"
import os, signal, resource
victim, engine = int(os.environ["VICTIM"]), int(os.environ["ENGINE"])
def attempt(name, f):
    try:
        f()
    except OSError as e:
        print(name, "refused:", e)
        return
    print("THROUGH", name)
for pid in (victim, engine):
    for s in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
        attempt(f"signal {s}", lambda: os.kill(pid, s))
    attempt("group", lambda: os.killpg(pid, signal.SIGKILL))
    attempt("pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL))
    attempt("limits", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)))
    attempt("processors", lambda: os.sched_setaffinity(pid, {0}))
    attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt("class", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
    attempt("group of mine", lambda: os.setpgid(pid, 0))
    attempt("memory", lambda: open(f"/proc/{pid}/mem", "r+b"))
    attempt("oom", lambda: open(f"/proc/{pid}/oom_score_adj", "w").write("1000"))
print("all tried", flush=True)
"#;

#[test]
fn nobody_outside_is_touched() {
    at_each_level(|ground| {
        let mut victim = Victim::start();
        let mut job = ground.python(SIGNALS);
        let pid = victim.0.id().to_string();
        job.environment.insert("VICTIM".to_owned(), pid);
        let breaches = ground.breaches(&job);
        assert!(breaches.is_empty(), "{breaches:#?}");
        assert!(victim.is_alive());
    });
}

#[test]
fn a_signal_to_everybody_stays_inside() {
    at_each_level(|ground| {
        let mut victim = Victim::start();
        ground.run(&ground.shell("kill -9 -1; sleep 0.1; kill -9 0"));
        assert!(victim.is_alive());
    });
}

#[test]
fn its_own_children_are_its_own() {
    at_each_level(|ground| {
        let outcome = ground.run(&ground.shell("sleep 30 & kill $!; wait $!; echo $?"));
        assert_eq!(stdout(&outcome), "143\n");
    });
}

#[test]
fn nothing_is_kept_in_the_kernel_for_the_next_one() {
    const KEEP: &str = r#"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
made = [n for n, got in (("shm", libc.shmget(4711, 4096, 0o1600)), ("sem", libc.semget(4711, 1, 0o1600)),
        ("msg", libc.msgget(4711, 0o1600))) if got >= 0]
print(" ".join(made))
"#;
    at_each_level(|ground| {
        let script = ground.python(KEEP);
        for _ in 0..2 {
            // Its own, which go with it, or none.
            let made = stdout(&ground.run(&script));
            let fresh = ["shm sem msg\n", "\n"];
            assert!(fresh.contains(&made.as_str()), "{made}");
        }
        let here = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        assert!(!here.contains(" 4711 "), "{here}");
    });
}

#[test]
fn bubblewrap_hides_all_other_processes() {
    at_level(Level::Bubblewrap, |ground| {
        let outcome = ground.run(&ground.shell("ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline"));
        let text = stdout(&outcome);
        let count: u32 = text.lines().next().unwrap().parse().unwrap();
        assert!(count < 10, "{text}");
    });
}

#[test]
fn pinned_processors_stay_pinned() {
    at_each_level(|ground| {
        let mut job = ground.python(
            "import os\ntry: os.sched_setaffinity(0, range(os.cpu_count()))\nexcept OSError: pass\nprint(os.sched_getaffinity(0))",
        );
        job.processors = Some(vec![0]);
        assert_eq!(stdout(&ground.run(&job)), "{0}\n");
        job.processors = Some(vec![1 << 20]);
        assert!(ground.refused(&job).to_string().contains("no processor"));
    });
}
