//! The parts that can be read without a kernel's help; limits themselves are tested with real memory hogs and fork bombs.

use super::*;

#[test]
fn controllers_mounted_together_share_a_line() {
    let own = "5:cpu,cpuacct:/nowhere\n4:memory:/no/such/group\n0::/\n";
    for controller in ["memory", "cpuacct", "pids"] {
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

#[test]
fn processors_are_listed_as_the_system_reads_them() {
    assert_eq!(processor_list(&[0, 2, 3]), "0,2,3");
}
