//! Reading, writing and changing what isn't the job's.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sandbox::{End, Level, Mount};

use crate::ground::{SECRET, at_each_level, at_level, stdout};

const READS: &str = r#"
import os
outside, locked, engine = (os.environ[k] for k in ("OUTSIDE", "LOCKED", "ENGINE"))
secret = outside + "/secret"
def attempt(name, f):
    try:
        got = f()
    except OSError as e:
        print(name, "refused:", e)
        return
    print("THROUGH", name, repr(got)[:200])
def read(path):
    with open(path, "rb") as f:
        return f.read(100)
here = os.getcwd()
os.symlink(secret, "link")
os.symlink(outside, "folder")
paths = {
    "directly": secret,
    "by ..": here + "/../outside/secret",
    "by a link": "link",
    "by a linked folder": "folder/secret",
    "by the mount's ..": locked + "/../outside/secret",
    "by /proc/self/root": "/proc/self/root" + secret,
    "by /proc/self/cwd": "/proc/self/cwd/../outside/secret",
    "by /proc/1/root": "/proc/1/root" + secret,
    "by the engine's root": f"/proc/{engine}/root{secret}",
    "by the engine's folder": f"/proc/{engine}/cwd/Cargo.toml",
    "engine's environment": f"/proc/{engine}/environ",
    "engine's memory": f"/proc/{engine}/mem",
    "engine's maps": f"/proc/{engine}/maps",
    "engine's command line": f"/proc/{engine}/cmdline",
    "passwords": "/etc/shadow",
    "machine": "/etc/machine-id",
    "ssh keys": "/etc/ssh/sshd_config",
    "kernel memory": "/proc/kcore",
    "kernel log": "/dev/kmsg",
    "disk": "/dev/vda",
    "memory": "/dev/mem",
}
for name, path in paths.items():
    attempt(name, lambda: read(path))
top = "/"
folders = [outside, outside + "/..", top + "root", top + "home", top + "var/lib", top + "mnt", top + "opt", top + "srv",
           f"/proc/{engine}/fd", f"/proc/{engine}/task"]
for path in folders:
    # An empty folder that only holds the mounts says nothing.
    attempt("list " + path, lambda: [n for n in os.listdir(path) if n not in ("work", "locked")] or os.listdir("/nothing"))
attempt("a name for it here", lambda: os.link(secret, "hard"))
attempt("move it here", lambda: os.rename(secret, "moved"))
print("all tried")
"#;

#[test]
fn nothing_outside_is_read() {
    at_each_level(|ground| {
        let breaches = ground.breaches(&ground.python(READS));
        assert!(breaches.is_empty(), "{breaches:#?}");
    });
}

const WRITES: &str = r#"
import os, ctypes
outside, locked = os.environ["OUTSIDE"], os.environ["LOCKED"]
def attempt(name, f):
    try:
        f()
    except OSError as e:
        print(name, "refused:", e)
        return
    print("THROUGH", name)
open("mine", "w").write("mine")
for where in (outside, locked):
    old = where + ("/secret" if where == outside else "/given")
    new = where + "/new"
    attempt("create", lambda: open(new, "w"))
    attempt("append", lambda: open(old, "a"))
    attempt("overwrite", lambda: open(old, "r+"))
    attempt("shorten", lambda: os.truncate(old, 0))
    attempt("mkdir", lambda: os.mkdir(new))
    attempt("symlink", lambda: os.symlink("x", new))
    attempt("fifo", lambda: os.mkfifo(new))
    attempt("link", lambda: os.link("mine", new))
    attempt("a name for it here", lambda: os.link(old, "hard"))
    attempt("move it here", lambda: os.rename(old, "moved"))
    attempt("move there", lambda: os.rename("mine", new))
    attempt("unlink", lambda: os.unlink(old))
    attempt("rmdir", lambda: os.rmdir(where))
    attempt("rename", lambda: os.rename(old, new))
    attempt("close", lambda: os.chmod(old, 0))
    attempt("open to all", lambda: os.chmod(old, 0o777))
    attempt("set-user-id", lambda: os.chmod(old, 0o4755))
    attempt("chown", lambda: os.chown(old, os.getuid(), os.getgid()))
    attempt("lchown", lambda: os.lchown(old, os.getuid(), os.getgid()))
    attempt("times", lambda: os.utime(old, (1, 1)))
    attempt("attribute", lambda: os.setxattr(old, "user.x", b"x"))
attempt("a system program", lambda: open("/usr/bin/env", "r+"))
attempt("a new system program", lambda: open("/usr/local/bin/trojan", "w"))
attempt("the loader's list", lambda: open("/etc/ld.so.preload", "w"))
attempt("a kernel setting", lambda: open("/proc/sys/kernel/core_pattern", "w"))
attempt("a kernel trigger", lambda: open("/proc/sysrq-trigger", "w"))
attempt("a device", lambda: os.mknod("device", 0o20666, os.makedev(1, 1)))
open("tmpfile", "w").write("fine")
open(os.environ["TMPDIR"] + "/fine", "w").write("fine")
open(os.environ["HOME"] + "/fine", "w").write("fine")
print("all tried")
"#;

#[test]
fn nothing_outside_and_nothing_read_only_is_changed() {
    at_each_level(|ground| {
        let secret = ground.at("outside/secret");
        let before = fs::metadata(&secret).unwrap();
        let breaches = ground.breaches(&ground.python(WRITES));
        assert!(breaches.is_empty(), "{breaches:#?}");
        let after = fs::metadata(&secret).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
        let kept = |data: &fs::Metadata| (data.mode(), data.mtime(), data.uid(), data.ctime());
        assert_eq!(kept(&before), kept(&after));
        for folder in ["outside", "locked"] {
            assert_eq!(fs::read_dir(ground.at(folder)).unwrap().count(), 1);
        }
    });
}

#[test]
fn the_home_is_fresh_each_time_and_nothing_is_inherited() {
    at_each_level(|ground| {
        let job = ground.shell(
            r#"ls -A "$HOME"; echo x > "$HOME/cache"; echo x > "$TMPDIR/cache"; env | cut -d= -f1 | sort | tr '\n' ' '"#,
        );
        for _ in 0..2 {
            let outcome = ground.run(&job);
            assert_eq!(outcome.end, End::Exited(0));
            assert_eq!(
                stdout(&outcome),
                "ENGINE HOME LANG LOCKED OUTSIDE PATH PWD TMPDIR "
            );
        }
    });
}

#[test]
fn no_descriptor_of_the_engine_is_there() {
    let leak = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    at_each_level(|ground| {
        let outcome = ground.run(&ground.python(
            "import os\nfor n in range(4096):\n  try: os.fstat(n); print(n)\n  except OSError: pass",
        ));
        assert_eq!(stdout(&outcome), "0\n1\n2\n");
    });
}

#[test]
fn a_read_only_folder_inside_a_writable_one_is_kept_or_refused() {
    at_each_level(|ground| {
        let judge = ground.at("work/judge");
        fs::create_dir(&judge).unwrap();
        fs::write(judge.join("score"), "0").unwrap();
        let mut job = ground.shell("echo 1 > judge/score; rm -r judge; cat judge/score");
        job.read_only.push(Mount::at(&judge));
        if ground.level() == Level::Bubblewrap {
            assert_eq!(stdout(&ground.run(&job)), "0\n".trim_end());
        } else {
            let refusal = ground.refused(&job).to_string();
            assert!(refusal.contains("read-only inside"), "{refusal}");
        }
        assert_eq!(fs::read_to_string(judge.join("score")).unwrap(), "0");
    });
}

#[test]
fn bubblewrap_moves_mounts_and_shows_nothing_else() {
    at_level(Level::Bubblewrap, |ground| {
        let mut job = ground.shell("cat /data/given; ls -A / /data");
        job.read_only = vec![Mount {
            host: ground.at("locked"),
            inside: "/data".into(),
        }];
        let outcome = ground.run(&job);
        let text = stdout(&outcome);
        assert!(text.starts_with("given"), "{text}");
        for hidden in ["root", "home", "var", "opt", "boot", "mnt", "srv", "run"] {
            assert!(!text.lines().any(|line| line == hidden), "{text}");
        }
    });
}

#[test]
fn without_the_system_there_is_no_shell() {
    at_each_level(|ground| {
        let mut job = ground.shell("echo hello");
        job.system = false;
        let refusal = ground.refused(&job).to_string();
        assert!(refusal.contains("cannot run \"sh\""), "{refusal}");
    });
}
