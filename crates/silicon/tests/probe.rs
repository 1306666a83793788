//! The probe against this machine and against laid-out files of another one.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use silicon::probe::cgroup::{memory_left_bytes, quota_cpus};
use silicon::probe::cpuinfo::CpuInfo;
use silicon::probe::files::{Files, cpu_list};
use silicon::probe::{CacheKind, Machine, linux};
use silicon::{Fact, spec};

/// A fresh folder with the given files.
fn root(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("the test folder can be made");
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }
    root
}

const DESKTOP: &[(&str, &str)] = &[
    (
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 97\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\nstepping\t: 2\ncpu MHz\t\t: 2999.9\n\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:       65536000 kB\nMemFree: 1 kB\nMemAvailable:   32768000 kB\n",
    ),
    (
        "proc/self/status",
        "Name:\tx\nCpus_allowed_list:\t0-1,16-17\n",
    ),
    ("proc/self/cgroup", "0::/user.slice/job\n"),
    ("sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n"),
    ("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"),
    ("sys/fs/cgroup/user.slice/job/memory.max", "8589934592\n"),
    (
        "sys/fs/cgroup/user.slice/job/memory.current",
        "1589934592\n",
    ),
    (
        "sys/fs/cgroup/user.slice/job/memory.stat",
        "anon 5\nfile 1100000000\ninactive_file 900000000\nactive_file 100000000\nslab 7\n",
    ),
    ("sys/devices/system/cpu/online", "0-31\n"),
    ("sys/devices/system/cpu/smt/active", "1\n"),
    ("sys/devices/system/node/online", "0\n"),
    (
        "sys/devices/system/cpu/cpu0/topology/physical_package_id",
        "0\n",
    ),
    (
        "sys/devices/system/cpu/cpu1/topology/physical_package_id",
        "0\n",
    ),
    (
        "sys/devices/system/cpu/cpu16/topology/physical_package_id",
        "0\n",
    ),
    (
        "sys/devices/system/cpu/cpu17/topology/physical_package_id",
        "0\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
        "0,16\n",
    ),
    (
        "sys/devices/system/cpu/cpu16/topology/thread_siblings_list",
        "0,16\n",
    ),
    (
        "sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
        "1,17\n",
    ),
    (
        "sys/devices/system/cpu/cpu17/topology/thread_siblings_list",
        "1,17\n",
    ),
    ("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n"),
    (
        "sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list",
        "0,16\n",
    ),
    ("sys/devices/system/cpu/cpu0/cache/index3/level", "3\n"),
    ("sys/devices/system/cpu/cpu0/cache/index3/type", "Unified\n"),
    ("sys/devices/system/cpu/cpu0/cache/index3/size", "32M\n"),
    (
        "sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list",
        "0-7,16-23\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
        "5881000\n",
    ),
];

/// Which processors are ours and which of those share a core; and without topology, each alone.
#[test]
fn own_processors_are_grouped_by_core() {
    let desktop = root("own-cores", DESKTOP);
    assert_eq!(linux::own_cores(&desktop), [[0, 16], [1, 17]]);
    let topology = "sys/devices/system/cpu/cpu17/topology/thread_siblings_list";
    fs::remove_file(desktop.join(topology)).expect("the file is there");
    assert_eq!(linux::own_cores(&desktop), [[0], [1], [16], [17]]);
    assert!(linux::own_cores(&root("own-cores-empty", &[])).is_empty());
}

#[test]
fn a_desktop_in_a_container_is_read() {
    let machine = linux::probe(&root("desktop", DESKTOP));
    assert_eq!(
        machine.cpu.vendor.value().map(String::as_str),
        Some("AuthenticAMD")
    );
    assert_eq!(
        (machine.cpu.family.value(), machine.cpu.model.value()),
        (Some(&25), Some(&97))
    );
    assert_eq!(machine.cores.online.value(), Some(&32));
    assert_eq!(machine.cores.allowed.value(), Some(&vec![0, 1, 16, 17]));
    assert_eq!(machine.cores.quota_cpus.value(), Some(&1.5));
    assert_eq!(machine.cores.usable, 2);
    assert_eq!(
        (
            machine.cores.physical.value(),
            machine.cores.sockets.value()
        ),
        (Some(&2), Some(&1))
    );
    assert_eq!(machine.cores.smt.value(), Some(&true));
    assert_eq!(machine.clock.max_mhz.value(), Some(&5881.0));
    assert_eq!(
        machine.memory.total_bytes.value(),
        Some(&(65_536_000 * 1024))
    );
    assert_eq!(machine.memory.available_bytes.value(), Some(&8_000_000_000));
    let last = machine.last_cache().expect("the caches are laid out");
    assert_eq!(
        (
            last.level,
            last.kind,
            last.size_bytes,
            last.shared_by,
            last.shared_by_ours
        ),
        (3, CacheKind::Unified, 32 << 20, 16, 4)
    );
    assert_eq!(machine.last_cache_share_bytes(), Some(8 << 20));

    // No firmware table, so the model name decides.
    let spec = spec::Spec::of(&machine);
    assert_eq!(spec.memory_gb_s.value(), Some(83.2));
}

#[test]
fn an_empty_machine_is_unknown_and_not_zero() {
    let machine = linux::probe(&root("empty", &[]));
    assert!(machine.cpu.name.value().is_none() && machine.caches.value().is_none());
    assert!(
        machine.memory.total_bytes.value().is_none() && machine.cores.sockets.value().is_none()
    );
    assert!(machine.cores.usable >= 1);
    let spec = spec::Spec::of(&machine);
    match &spec.memory_gb_s {
        spec::Claim::Unknown { reason, remedy } => {
            assert!(
                reason.contains("DMI") && reason.contains("model name"),
                "{reason}"
            );
            assert!(remedy.contains("--spec-bandwidth"), "{remedy}");
        }
        known => panic!("expected no claim, got {known:?}"),
    }
    let given = spec.with_memory_gb_s(50.0).unwrap();
    assert_eq!(given.memory_gb_s.value(), Some(50.0));
    assert!(given.with_memory_gb_s(f64::NAN).is_err());
}

#[test]
fn hostile_files_are_survived() {
    let machine = linux::probe(&root(
        "hostile",
        &[
            (
                "proc/cpuinfo",
                "model name : \u{0}\nmodel : -1\ncpu MHz : 1e300\n:::\n",
            ),
            (
                "proc/meminfo",
                "MemTotal: 99999999999999999999 kB\nMemAvailable: x\n",
            ),
            ("proc/self/status", "Cpus_allowed_list:\t5-2,,\n"),
            ("proc/self/cgroup", "0::/../../etc\n1\n::\n3:cpu:/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "0\n"),
            ("sys/devices/system/cpu/online", "0-99999999999\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n"),
            (
                "sys/devices/system/cpu/cpu0/cache/index0/size",
                "99999999999999999999G\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list",
                "0\n",
            ),
            ("sys/firmware/dmi/tables/DMI", "\u{11}\u{0}\u{0}"),
        ],
    ));
    assert!(machine.cpu.model.value().is_none() && machine.clock.nominal_mhz.value().is_none());
    assert!(machine.memory.total_bytes.value().is_none() && machine.caches.value().is_none());
    assert!(machine.cores.online.value().is_none() && machine.cores.quota_cpus.value().is_none());
}

#[test]
fn version_1_groups_are_read() {
    let files = Files::under(&root(
        "cgroup1",
        &[
            ("proc/self/cgroup", "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            (
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "5\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "400\n"),
            (
                "sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 10\ntotal_inactive_file 60\ntotal_active_file 40\nactive_file x\n",
            ),
        ],
    ));
    assert_eq!(quota_cpus(&files).value(), Some(&4.0));
    assert_eq!(memory_left_bytes(&files).value(), Some(&700));
}

#[test]
fn this_machine_survives_json() {
    let machine = Machine::probe();
    assert!(machine.cores.usable >= 1);
    let text = serde_json::to_string(&machine).unwrap();
    assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
    let spec = spec::Spec::of(&machine);
    assert_eq!(
        serde_json::from_str::<spec::Spec>(&serde_json::to_string(&spec).unwrap()).unwrap(),
        spec
    );
}

#[test]
fn the_built_in_table_is_sound() {
    let rows = spec::table::rows().unwrap();
    let found = |name: &str| spec::table::find(&rows, name).map(|row| row.memory_gb_s);
    assert_eq!(found("AMD EPYC 9654P 96-Core Processor"), Some(460.8));
    assert_eq!(found("AMD EPYC 9755 128-Core Processor"), Some(614.4));
    assert_eq!(found("AMD EPYC 7763 64-Core Processor"), Some(204.8));
    assert_eq!(found("INTEL(R) XEON(R) PLATINUM 8480+"), Some(307.2));
    assert_eq!(
        (found("Apple M1"), found("Apple M1 Max")),
        (Some(68.0), Some(410.0))
    );
    assert_eq!(found("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"), Some(256.0));
    assert_eq!(found("Intel(R) Xeon(R) Processor"), None);
    assert_eq!(found(""), None);
    for bad in [
        "x",
        "[[cpu]]\nname = \"\"\nmemory_gb_s = 1.0\nstatus = \"vendor\"\nsource = \"s\"",
        "[[cpu]]\nname = \"n\"\nmemory_gb_s = nan\nstatus = \"vendor\"\nsource = \"s\"",
    ] {
        assert!(spec::table::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn processor_lists() {
    assert_eq!(cpu_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
    assert_eq!(cpu_list("7"), Some(vec![7]));
    for bad in ["", "a", "3-1", "0-99999999", "1,,2", "-1"] {
        assert_eq!(cpu_list(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        let _ = cpu_list(&text);
        let info = CpuInfo::parse(&text);
        let _: Fact<u32> = info.first_number("model");
        let _ = spec::table::parse(&text);
    }
}
