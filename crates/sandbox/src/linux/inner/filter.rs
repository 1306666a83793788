//! The seccomp half of a seal: system calls that no candidate needs and some attacks do, refused with EPERM.
//!
//! 1. Calls by a foreign convention (32 bits, x32) and calls newer than this list are refused too: nobody could say what
//!    they do.
//! 2. At every level: other namespaces and mounts, tracing and other processes' memory, kernel keys, programs in the kernel, io_uring
//!    (which makes calls that no filter sees), terminals' input queues, clocks and modules, raw and exotic sockets (a virtual
//!    machine's vsock is in no network namespace).
//! 3. Under Landlock, which sees opened files alone: sockets, IPC by number, changes of owner, times and attributes by path, mode bits
//!    that close a file to its owner or open it to others' writing, scheduling of other processes, and watching files.
//!    A filter sees numbers and no paths, so that these go for the command's own files too.
//!
//! `clone3` hides its flags from filters and is said not to exist, which every C library is prepared for.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::ruleset::Strength;
use crate::job::Network;
use crate::level::Level;
use crate::linux::wire::{CellOrder, Refusal};

const STEP: &str = "close system calls with seccomp";

/// `mseal`, the newest call that this list was made with. The numbers of new calls are the same on all architectures.
const NEWEST_CALL: u32 = 462;

/// Refused at both levels, whatever the arguments.
const NEVER: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Refused under Landlock too, whatever the arguments.
const NEVER_BESIDE_OTHERS: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_ioprio_set,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_removexattr,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_setpriority,
    libc::SYS_setxattr,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
];

/// Refused on one architecture only.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Closes them. `landlock` says what Landlock does by itself, where it is Landlock that keeps the files.
pub(super) fn apply(order: &CellOrder, landlock: Option<Strength>) -> Result<(), Refusal> {
    let mut rules = Rules::new();
    for &call in NEVER.iter().chain(NEVER_HERE) {
        rules.insert(call, Vec::new());
    }
    everywhere(&mut rules, order)?;
    if let Some(strength) = landlock {
        for &call in NEVER_BESIDE_OTHERS {
            rules.insert(call, Vec::new());
        }
        beside_others(&mut rules, order, strength)?;
    }
    let hidden = Rules::from([(libc::SYS_clone3, Vec::new())]);
    install(&compile(hidden, libc::ENOSYS)?)?;
    install(&known_calls_only())?;
    install(&compile(rules, libc::EPERM)?)
}

fn everywhere(rules: &mut Rules, order: &CellOrder) -> Result<(), Refusal> {
    const NAMESPACES: u64 = (libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWUTS) as u64;
    // Each flag by itself: any of them is too much. (The time namespace's bit is part of the signal in this call.)
    for bit in (0..64).map(|n| 1 << n).filter(|bit| NAMESPACES & bit != 0) {
        let set = is(0, SeccompCmpOp::MaskedEq(bit), bit)?;
        rules.entry(libc::SYS_clone).or_default().push(all([set])?);
    }
    for request in [TIOCSTI, TIOCLINUX] {
        let rule = all([is32(1, SeccompCmpOp::Eq, request)?])?;
        rules.entry(libc::SYS_ioctl).or_default().push(rule);
    }
    let own_network = order.level == Level::Bubblewrap && order.job.network != Network::Host;
    let mut families = Vec::new();
    if own_network {
        families.push(libc::AF_UNIX);
    }
    if own_network || order.job.network == Network::Host {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if order.job.network == Network::Host {
        // Its routes, without which no resolver works.
        families.push(libc::AF_NETLINK);
    }
    rules.insert(libc::SYS_socket, refuse_unless(0, &families)?);
    if order.job.network == Network::Host {
        let netlink = is32(0, SeccompCmpOp::Eq, libc::AF_NETLINK as u64)?;
        let other = is32(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE as u64)?;
        let raw = is_type(SeccompCmpOp::MaskedEq(0xf), libc::SOCK_RAW)?;
        let ip = is32(0, SeccompCmpOp::Ne, libc::AF_NETLINK as u64)?;
        let socket = rules.entry(libc::SYS_socket).or_default();
        socket.extend([all([netlink, other])?, all([raw, ip])?]);
    }
    if !own_network {
        // A pair of datagram sockets can be turned to any address; the other kinds stay a pair.
        let datagrams = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM];
        let pairs: Result<Vec<_>, _> = datagrams
            .iter()
            .map(|&kind| all([is_type(SeccompCmpOp::MaskedEq(0xf), kind)?]))
            .collect();
        rules.insert(libc::SYS_socketpair, pairs?);
    }
    if order.job.processors.is_some() && !order.held.processors {
        // Pinned by nothing but the process's own mask, which it could widen.
        rules.insert(libc::SYS_sched_setaffinity, Vec::new());
    }
    Ok(())
}

fn beside_others(rules: &mut Rules, order: &CellOrder, strength: Strength) -> Result<(), Refusal> {
    // The command keeps the cell's number: 0 and it are itself, and its negative is its own group.
    let own = std::process::id();
    let itself = [0, own as i32];
    if order.job.network == Network::None {
        rules.insert(libc::SYS_connect, Vec::new());
        rules.insert(libc::SYS_listen, Vec::new());
    } else {
        rules.remove(&libc::SYS_bind);
    }
    rules.insert(libc::SYS_prlimit64, refuse_unless(0, &itself)?);
    rules
        .entry(libc::SYS_sched_setaffinity)
        .or_insert(refuse_unless(0, &itself)?);
    // Times of an open file may change: it was opened for that, or at least could be.
    rules.insert(
        libc::SYS_utimensat,
        vec![all([is(1, SeccompCmpOp::Ne, 0)?])?],
    );
    for (call, argument) in mode_calls() {
        rules.insert(call, refuse_modes(argument)?);
    }
    if !strength.truncation {
        rules.insert(libc::SYS_truncate, Vec::new());
    }
    if !strength.signals {
        let group = (own as i32).wrapping_neg();
        rules.insert(libc::SYS_kill, refuse_unless(0, &[0, own as i32, group])?);
        for call in [
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
        ] {
            rules.insert(call, refuse_unless(0, &[own as i32])?);
        }
        rules.insert(libc::SYS_tkill, refuse_unless(0, &[own as i32])?);
    }
    Ok(())
}

/// `fchmod` is among them: a file of a read-only mount can be opened, and its mode is not its content's lock alone.
fn mode_calls() -> Vec<(c_long, u8)> {
    vec![
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (FCHMODAT2, 2),
    ]
}

/// Puts a letter into a terminal's input, as if it had been typed; their type differs between C libraries.
const TIOCSTI: u64 = 0x5412;
/// Pastes on a console.
const TIOCLINUX: u64 = 0x541c;

/// Newer than the constants of some systems.
const FCHMODAT2: c_long = 452;

/// Refuses modes by which the owner could no longer read or write, others could write, or a program would run as another user.
fn refuse_modes(argument: u8) -> Result<Vec<SeccompRule>, Refusal> {
    let mut rules = Vec::new();
    for needed in [0o400, 0o200] {
        let missing = is32(argument, SeccompCmpOp::MaskedEq(needed), 0)?;
        rules.push(all([missing])?);
    }
    for refused in [0o4000, 0o2000, 0o1000, 0o020, 0o002] {
        let set = is32(argument, SeccompCmpOp::MaskedEq(refused), refused)?;
        rules.push(all([set])?);
    }
    Ok(rules)
}

/// Refuses a call unless an argument is one of these.
fn refuse_unless(argument: u8, allowed: &[i32]) -> Result<Vec<SeccompRule>, Refusal> {
    if allowed.is_empty() {
        return Ok(Vec::new());
    }
    let others: Result<Vec<_>, _> = allowed
        .iter()
        .map(|&value| is32(argument, SeccompCmpOp::Ne, u64::from(value as u32)))
        .collect();
    Ok(vec![all(others?)?])
}

fn is_type(how: SeccompCmpOp, kind: i32) -> Result<SeccompCondition, Refusal> {
    is32(1, how, kind as u64)
}

fn is(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Refusal> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, value)
        .map_err(Refusal::step(STEP))
}

/// For arguments of which the kernel reads the lower half alone: what is in the upper half must change nothing.
fn is32(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Refusal> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
        .map_err(Refusal::step(STEP))
}

fn all(conditions: impl Into<Vec<SeccompCondition>>) -> Result<SeccompRule, Refusal> {
    SeccompRule::new(conditions.into()).map_err(Refusal::step(STEP))
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, Refusal> {
    let arch: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(Refusal::step(STEP))?;
    let refuse = SeccompAction::Errno(errno as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)
        .and_then(BpfProgram::try_from)
        .map_err(Refusal::step(STEP))
}

/// Calls beyond the list don't exist: `ENOSYS`, as on an older kernel. That covers x32, whose numbers begin at 2^30.
fn known_calls_only() -> BpfProgram {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_GREATER, 0, 1, NEWEST_CALL),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn install(program: &BpfProgram) -> Result<(), Refusal> {
    seccompiler::apply_filter(program).map_err(Refusal::step(STEP))
}

#[cfg(test)]
mod tests;
