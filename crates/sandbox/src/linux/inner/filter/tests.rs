//! Filters for kernels that this machine is not: a filter binds the thread that installs it, so that a thread can try one.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};

use super::*;
use crate::job::{Job, Limits};
use crate::linux::wire::Held;

fn order(level: Level, network: Network) -> CellOrder {
    let mut job = Job::new(["true"], "/", Limits::wall(Duration::from_secs(1)));
    job.network = network;
    job.environment = BTreeMap::new();
    CellOrder {
        job,
        level,
        temporary: "/tmp".into(),
        held: Held::default(),
        tasks_before: 0,
    }
}

fn in_a_cell<T: Send>(
    order: &CellOrder,
    landlock: Option<Strength>,
    attack: impl FnOnce() -> T + Send,
) -> T {
    thread::scope(|scope| {
        let cell = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            apply(order, landlock).unwrap();
            attack()
        });
        cell.join().unwrap()
    })
}

const OLD: Strength = Strength {
    truncation: false,
    signals: false,
};

const NEW: Strength = Strength {
    truncation: true,
    signals: true,
};

fn is_refused<T: std::fmt::Debug>(result: Result<T, rustix::io::Errno>) -> bool {
    result.is_err_and(|error| error == rustix::io::Errno::PERM)
}

#[test]
fn where_landlock_is_old_the_filter_refuses_signals_and_truncation() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "kept").unwrap();
    let parent = rustix::process::getppid().unwrap();
    let own = rustix::process::getpid();
    let shorten = || {
        let path = std::ffi::CString::new(file.path().to_str().unwrap()).unwrap();
        nix::unistd::truncate(path.as_c_str(), 0)
    };
    for (strength, is_old) in [(OLD, true), (NEW, false)] {
        let (outsider, itself, group, cut) = in_a_cell(
            &order(Level::Landlock, Network::None),
            Some(strength),
            || {
                (
                    rustix::process::test_kill_process(parent),
                    rustix::process::test_kill_process(own),
                    rustix::process::test_kill_current_process_group(),
                    shorten(),
                )
            },
        );
        // Landlock itself is not at work here: a new one would refuse what the filter then leaves to it.
        assert_eq!(is_refused(outsider), is_old);
        assert_eq!(itself, Ok(()));
        assert_eq!(group, Ok(()));
        assert_eq!(cut.is_err(), is_old);
    }
}

#[test]
fn other_processes_limits_and_odd_modes_are_refused_beside_others_only() {
    use rustix::fs::{Mode, chmod};
    let file = tempfile::NamedTempFile::new().unwrap();
    let parent: Pid = rustix::process::getppid().unwrap();
    let limit = Rlimit {
        current: Some(0),
        maximum: None,
    };
    let attack = || {
        let refused = [0o000, 0o400, 0o200, 0o622, 0o4755, 0o2755, 0o1700];
        let refused = refused.map(|mode| is_refused(chmod(file.path(), Mode::from_raw_mode(mode))));
        let allowed = [0o600, 0o644, 0o755];
        let allowed = allowed.map(|mode| chmod(file.path(), Mode::from_raw_mode(mode)).is_ok());
        let other = is_refused(rustix::process::prlimit(
            Some(parent),
            Resource::Core,
            limit,
        ));
        (refused, allowed, other)
    };
    let beside = in_a_cell(&order(Level::Landlock, Network::None), Some(NEW), attack);
    assert_eq!(beside, ([true; 7], [true; 3], true));
    let walled = in_a_cell(&order(Level::Bubblewrap, Network::None), None, || {
        chmod(file.path(), Mode::from_raw_mode(0o400)).is_ok()
    });
    assert!(walled);
}

#[test]
fn each_network_has_its_sockets() {
    use rustix::net::{AddressFamily, SocketType, socket};
    let families = [
        AddressFamily::UNIX,
        AddressFamily::INET,
        AddressFamily::NETLINK,
    ];
    for (level, network, open) in [
        (Level::Landlock, Network::None, [false, false, false]),
        (Level::Landlock, Network::Host, [false, true, true]),
        (Level::Bubblewrap, Network::None, [true, true, false]),
        (Level::Bubblewrap, Network::Loopback, [true, true, false]),
        (Level::Bubblewrap, Network::Host, [false, true, true]),
    ] {
        let strength = (level == Level::Landlock).then_some(NEW);
        let seen = in_a_cell(&order(level, network), strength, || {
            families.map(|family| socket(family, SocketType::DGRAM, None).is_ok())
        });
        assert_eq!(seen, open, "{level} {network:?}");
    }
}

#[test]
fn a_filter_stays_when_more_is_asked_for() {
    let error = in_a_cell(&order(Level::Bubblewrap, Network::None), None, || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).unwrap_err()
    });
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EPERM));
}
