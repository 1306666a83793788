//! The parts that can be read without a kernel's help; limits themselves are tested with real memory hogs and fork bombs.

use super::*;

#[test]
fn controllers_mounted_together_share_a_line() {
    let own = "5:cpu,cpuacct:/no/where\n4:memory:/no/such/group\n0::/\n";
    for controller in ["memory", "cpu", "pids"] {
        assert_eq!(v1_parent(own, controller), None);
    }
}

#[test]
fn a_group_that_cannot_be_made_holds_nothing() {
    let none = Group::none();
    assert_eq!(none.held(), Held::default());
    assert_eq!(none.cpu(), None);
    assert!(!none.ran_out_of_memory());
    assert!(!none.ran_out_of_processes());
    none.take(rustix::process::getpid()).unwrap();
}

/// A hierarchy of plain files, as a desktop has it: the session's own group gives its children nothing, the one above does.
#[test]
fn the_nearest_group_that_gives_controllers_is_used_and_limited() {
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    fs::create_dir_all(at("user/app/own.scope")).unwrap();
    let control = |folder: &str, given: &str| {
        fs::write(at(folder).join("cgroup.subtree_control"), given).unwrap();
    };
    control("user/app/own.scope", "");
    control("user/app", "cpu memory pids\n");
    control("user", "cpuset cpu io memory pids\n");
    control("", "");
    let own = "0::/user/app/own.scope\n";
    assert_eq!(unified(mount.path(), own, "cell"), None);
    fs::write(at("cgroup.controllers"), "").unwrap();
    let folder = unified(mount.path(), own, "cell").unwrap();
    assert_eq!(folder, at("user/app/cell"));

    let mut limits = crate::Limits::wall(Duration::from_secs(1));
    limits.memory_bytes = Some(1 << 20);
    limits.processes = Some(10);
    let job = Job::new(["true"], "/", limits);
    let mut group = Group::none();
    group.unified = Some(folder.clone());
    group.limit(&job, 3);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(
        (read("pids.max").as_str(), read("memory.max").as_str()),
        ("13", "1048576")
    );
    assert!(group.held().memory && group.held().processes);
    assert!(!group.ran_out_of_memory());
    fs::write(
        folder.join("memory.events"),
        "low 0\nmax 9\noom 1\noom_kill 1\n",
    )
    .unwrap();
    fs::write(folder.join("pids.events"), "max 2\n").unwrap();
    fs::write(folder.join("cpu.stat"), "usage_usec 1500\nuser_usec 1\n").unwrap();
    assert!(group.ran_out_of_memory() && group.ran_out_of_processes());
    assert_eq!(group.cpu(), Some(Duration::from_micros(1500)));
    group.unified = None;
}

#[test]
fn processors_are_listed_as_the_system_reads_them() {
    assert_eq!(processor_list(&[0, 2, 3]), "0,2,3");
}
