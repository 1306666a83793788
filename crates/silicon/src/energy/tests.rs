//! Sources of laid-out machines: good ones, refused ones, hostile ones, and none at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Covers, Found, How, Idle, Reading, Scope, Sources, Tally, Used, difference, powercap, totals,
};
use crate::Fact;
use crate::probe::files::{Files, refuses};

/// A fresh folder with the given files, gone with the test.
struct Root(PathBuf);

impl std::ops::Deref for Root {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root(name: &str, files: &[(&str, &str)]) -> Root {
    let root = std::env::temp_dir().join(format!("silicon-energy-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("the test folder can be made");
    for (path, text) in files {
        put(&root, path, text);
    }
    Root(root)
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(path, text).expect("a file can be written");
}

const PACKAGE: &str = "sys/class/powercap/intel-rapl:0/energy_uj";
const LAPTOP: &[(&str, &str)] = &[
    ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
    (PACKAGE, "9000000\n"),
    (
        "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
        "10000000\n",
    ),
    ("sys/class/powercap/intel-rapl:0:0/name", "core\n"),
    ("sys/class/powercap/intel-rapl:0:0/energy_uj", "1\n"),
    ("sys/class/powercap/intel-rapl:0:1/name", "dram\n"),
    ("sys/class/powercap/intel-rapl:0:1/energy_uj", "5\n"),
    (
        "sys/class/powercap/intel-rapl:0:1/max_energy_range_uj",
        "10000000\n",
    ),
    ("sys/class/powercap/intel-rapl-mmio:0/name", "package-0\n"),
    ("sys/class/hwmon/hwmon1/name", "amdgpu\n"),
    ("sys/class/hwmon/hwmon1/power1_average", "15000000\n"),
    ("sys/class/hwmon/hwmon1/power1_input", "99000000\n"),
    ("sys/class/hwmon/hwmon1/power1_label", "PPT\n"),
    ("sys/class/hwmon/hwmon2/name", "xe\n"),
    ("sys/class/hwmon/hwmon2/energy1_input", "100\n"),
    ("sys/class/hwmon/hwmon2/energy1_label", "card\n"),
    ("sys/class/hwmon/hwmon2/energy2_input", "90\n"),
    ("sys/class/hwmon/hwmon2/power1_input", "1\n"),
    ("sys/class/power_supply/BAT0/type", "Battery\n"),
    ("sys/class/power_supply/BAT0/status", "Discharging\n"),
    ("sys/class/power_supply/BAT0/current_now", "2000000\n"),
    ("sys/class/power_supply/BAT0/voltage_now", "12000000\n"),
    ("sys/class/power_supply/mouse/type", "Battery\n"),
    ("sys/class/power_supply/mouse/scope", "Device\n"),
    ("sys/class/power_supply/mouse/status", "Discharging\n"),
    ("sys/class/power_supply/mouse/power_now", "1\n"),
];

fn used<'a>(all: &'a [Used], name: &str) -> &'a Used {
    all.iter()
        .find(|used| used.scope.name == name)
        .unwrap_or_else(|| panic!("no {name} in {all:?}"))
}

/// The same reading, `seconds` later.
fn later(reading: Reading, seconds: u64) -> Reading {
    Reading {
        at: reading.at + Duration::from_secs(seconds),
        ..reading
    }
}

#[test]
fn a_laptop_is_read_and_nothing_counts_twice() {
    let root = root("laptop", LAPTOP);
    let sources = Sources::open_under(&root);
    let names: Vec<&str> = sources.scopes().map(|scope| scope.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "package-0",
            "dram of intel-rapl:0:1",
            "amdgpu PPT (hwmon1)",
            "xe card (hwmon2)",
            "battery BAT0"
        ]
    );
    assert!(sources.unreadable().is_empty() && !sources.is_empty());

    let before = sources.read();
    // The package wraps once: 1 J up to its range, 2 J after it.
    put(&root, PACKAGE, "2000000");
    put(
        &root,
        "sys/class/powercap/intel-rapl:0:1/energy_uj",
        "500005",
    );
    put(&root, "sys/class/hwmon/hwmon1/power1_average", "25000000");
    put(&root, "sys/class/hwmon/hwmon2/energy1_input", "4000100");
    let after = later(sources.read(), 10);
    let all = sources.between(&before, &after);
    let joules = |name: &str| used(&all, name).energy_j.value().copied();
    assert_eq!(joules("package-0"), Some(3.0));
    assert_eq!(joules("dram of intel-rapl:0:1"), Some(0.5));
    assert_eq!(joules("xe card (hwmon2)"), Some(4.0));
    let card = used(&all, "amdgpu PPT (hwmon1)");
    assert_eq!(
        (card.scope.how, card.scope.covers),
        (How::IntegratedPower, Covers::Gpu)
    );
    assert!(card.elapsed_s >= 10.0 && card.elapsed_s < 20.0);
    let power_w = card.power_w().expect("it is known");
    assert!(
        (power_w - 20.0).abs() < 1e-9,
        "the mean of 15 and 25, not {power_w}"
    );
    let power_w = used(&all, "battery BAT0").power_w().expect("it is known");
    assert!((power_w - 24.0).abs() < 1e-9);

    let totals = totals(&all);
    let parts = totals.parts.expect("there are parts");
    assert_eq!(parts.scopes.len(), 4, "{parts:?}");
    let wanted = 3.0 + 0.5 + 4.0 + 20.0 * card.elapsed_s;
    assert!((parts.energy_j - wanted).abs() < 1e-6, "{parts:?}");
    let system = totals.system.expect("the battery discharges");
    assert_eq!(system.scopes, ["battery BAT0"]);
}

#[test]
fn a_failing_source_leaves_the_others() {
    let root = root("failing", LAPTOP);
    let sources = Sources::open_under(&root);
    let before = sources.read();
    put(&root, PACKAGE, "broken");
    put(&root, "sys/class/hwmon/hwmon2/energy1_input", "99");
    put(&root, "sys/class/power_supply/BAT0/status", "Charging");
    let all = sources.between(&before, &later(sources.read(), 1));
    let why = |name: &str| used(&all, name).energy_j.why().to_owned();
    assert!(why("package-0").contains("expected a number, got 'broken'"));
    assert!(why("xe card (hwmon2)").contains("went back from 100 to 99"));
    assert!(why("battery BAT0").contains("Charging"));
    assert!(used(&all, "amdgpu PPT (hwmon1)").energy_j.value().is_some());
    let totals = totals(&all);
    assert_eq!(
        (totals.system, totals.parts.map(|sum| sum.scopes.len())),
        (None, Some(2))
    );
}

#[test]
fn wraps_are_corrected_once_and_within_the_range() {
    assert_eq!(difference(5, 9, Some(10)), Some(4));
    assert_eq!(difference(9, 2, Some(10)), Some(3));
    assert_eq!(difference(9, 2, None), None);
    assert_eq!(difference(11, 2, Some(10)), None);
    assert_eq!(difference(0, u64::MAX, Some(0)), Some(u64::MAX));
    assert_eq!(
        difference(u64::MAX, u64::MAX - 1, Some(u64::MAX)),
        Some(u64::MAX - 1)
    );
}

#[test]
fn a_processors_own_graphics_are_its_package_and_counters_win() {
    let mut files = LAPTOP[..4].to_vec();
    files.extend([
        ("sys/class/hwmon/hwmon0/name", "amdgpu\n"),
        ("sys/class/hwmon/hwmon0/power1_input", "15000000\n"),
        ("sys/class/hwmon/hwmon0/in1_label", "vddnb\n"),
        ("sys/class/hwmon/hwmon1/name", "amd_energy\n"),
        ("sys/class/hwmon/hwmon1/energy1_input", "7\n"),
        ("sys/class/hwmon/hwmon1/energy1_label", "Esocket0\n"),
        ("sys/class/hwmon/hwmon2/name", "ina3221\n"),
        ("sys/class/hwmon/hwmon2/power1_input", "1000000\n"),
        ("sys/class/hwmon/hwmon2/power2_input", "2000000\n"),
        ("sys/class/hwmon/hwmon2/powerx_input", "2000000\n"),
        ("sys/class/hwmon/hwmon3/name", "power_meter\n"),
        ("sys/class/hwmon/hwmon3/power1_average", "90000000\n"),
    ]);
    let root = root("graphics", &files);
    let sources = Sources::open_under(&root);
    let all = sources.between(&sources.read(), &later(sources.read(), 1));
    let covers: Vec<Covers> = sources.scopes().map(|scope| scope.covers).collect();
    use Covers::{Device, Package, System};
    assert_eq!(covers, [Package, Package, Device, Device, System]);
    let totals = totals(&all);
    assert_eq!(
        totals.parts.map(|sum| sum.scopes),
        Some(vec!["package-0".to_owned()])
    );
    assert_eq!(totals.system.map(|sum| sum.scopes.len()), Some(1));
}

#[test]
fn refused_counters_say_what_to_do() {
    let root = root("refused", &LAPTOP[..3]);
    let files = Files::under(&root);
    // Root reads whatever it likes, so that only another user sees the refusal itself.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root.join(PACKAGE), fs::Permissions::from_mode(0o000))
            .expect("our file");
    }
    let sources = Sources::open_under(&root);
    if files.is_refused(PACKAGE) {
        let [refused] = sources.unreadable() else {
            panic!("expected one refusal, got {:?}", sources.unreadable());
        };
        assert!(refused.why.reason.contains("energy_uj"), "{refused:?}");
        assert_eq!(refused.why.remedy, powercap::PERMISSION_REMEDY);
    } else {
        assert_eq!(sources.scopes().count(), 1);
    }
    assert!(refuses(std::io::ErrorKind::PermissionDenied));
    assert!(!refuses(std::io::ErrorKind::NotFound));
    for word in [
        "SUBSYSTEM==\"powercap\"",
        "chmod a+r /sys%p/energy_uj",
        "run as root",
    ] {
        assert!(powercap::PERMISSION_REMEDY.contains(word), "{word}");
    }
}

#[test]
fn garbage_is_unreadable_and_not_zero() {
    let sources = Sources::open_under(&root(
        "garbage",
        &[
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            (PACKAGE, "-5\n"),
            ("sys/class/powercap/intel-rapl:1/name", "package-1\n"),
            ("sys/class/powercap/intel-rapl:1/energy_uj", "5\n"),
            ("sys/class/powercap/intel-rapl:2/name", "\u{0}\u{1b}[31m"),
            ("sys/class/hwmon/hwmon0/name", "\u{1b}[31mx\n"),
            ("sys/class/hwmon/hwmon0/power1_input", "99999999999999\n"),
            ("sys/class/hwmon/hwmon0/power99999999999_input", "1\n"),
            ("sys/class/hwmon/hwmon0/energy_input", "1\n"),
            ("sys/class/power_supply/BAT1/type", "Battery\n"),
            ("sys/class/power_supply/BAT1/status", "Discharging\n"),
            ("sys/class/power_supply/BAT1/power_now", "NaN\n"),
            ("sys/class/power_supply/BAT2/type", "Battery\n"),
        ],
    ));
    assert!(
        sources.is_empty(),
        "{:?}",
        sources.scopes().collect::<Vec<_>>()
    );
    let unreadable = sources.unreadable();
    assert_eq!(unreadable.len(), 5, "{unreadable:?}");
    for each in unreadable {
        assert!(!each.why.reason.is_empty() && !each.why.remedy.is_empty());
        assert!(!each.why.to_string().contains('\u{1b}'), "{each:?}");
        assert!(!each.scope.contains('\u{1b}'), "{each:?}");
    }
}

#[test]
fn a_machine_without_counters_says_why() {
    let nothing = root("nothing", &[]);
    let sources = Sources::open_under(&nothing);
    assert!(sources.is_empty());
    assert!(sources.between(&sources.read(), &sources.read()).is_empty());
    let [packages] = sources.unreadable() else {
        panic!("expected one reason, got {:?}", sources.unreadable());
    };
    assert!(packages.why.remedy.contains("modprobe"));
    for (hypervisor, reason, remedy) in [
        ("KVM", "virtual machine (KVM)", "on the host"),
        ("", "no package", "modprobe"),
    ] {
        let mut found = Found::default();
        powercap::find(&Files::under(&nothing), Some(hypervisor), &mut found);
        let why = &found.unreadable[0].why;
        assert!(
            why.reason.contains(reason) && why.remedy.contains(remedy),
            "{why}"
        );
    }
    // Whatever this machine is, its processor's counters are in one of the two lists.
    let here = Sources::open();
    assert!(!here.is_empty() || !here.unreadable().is_empty());
}

#[test]
fn idle_power_is_taken_off() {
    let scope = |name: &str| Scope {
        name: name.to_owned(),
        covers: Covers::Package,
        how: How::Counter,
    };
    let used = |name: &str, elapsed_s, energy_j| Used {
        scope: scope(name),
        elapsed_s,
        energy_j,
    };
    let idle = Idle::of(&[
        used("a", 2.0, Fact::known(20.0, "a test")),
        used("b", 2.0, Fact::unknown("asleep")),
        used("c", 0.0, Fact::known(0.0, "a test")),
    ]);
    assert_eq!(idle.powers[0].power_w.value(), Some(&10.0));
    let busy = |name| used(name, 3.0, Fact::known(100.0, "a test"));
    assert_eq!(idle.net_j(&busy("a")).value(), Some(&70.0));
    assert_eq!(idle.net_j(&busy("b")).why(), "asleep");
    assert!(idle.net_j(&busy("c")).why().contains("no time passed"));
    assert!(idle.net_j(&busy("d")).why().contains("not measured"));
    let unknown = used("a", 3.0, Fact::unknown("gone"));
    assert_eq!(idle.net_j(&unknown).why(), "gone");
    let text = serde_json::to_string(&idle).unwrap();
    assert_eq!(serde_json::from_str::<Idle>(&text).unwrap(), idle);
}

#[test]
fn a_tally_adds_up_and_stays_unknown_after_a_gap() {
    let root = root("tally", LAPTOP);
    let sources = Sources::open_under(&root);
    let mut tally = Tally::start(&sources);
    // Two wraps, which one difference could not tell from none.
    for counter in ["4000000", "9000000", "4000000", "9000000"] {
        put(&root, PACKAGE, counter);
        tally.tick(&sources);
    }
    let joules = |tally: &Tally, name: &str| used(tally.used(), name).energy_j.value().copied();
    assert_eq!(joules(&tally, "package-0"), Some(20.0));
    put(&root, PACKAGE, "x");
    tally.tick(&sources);
    put(&root, PACKAGE, "9000000");
    tally.tick(&sources);
    tally.tick(&sources);
    assert_eq!(joules(&tally, "package-0"), None);
    assert!(joules(&tally, "battery BAT0").is_some());
}

#[test]
fn an_idle_machine_is_measured_for_as_long_as_asked() {
    let root = root("idle", LAPTOP);
    let sources = Sources::open_under(&root);
    let idle = Idle::measure(&sources, Duration::from_millis(30));
    assert!(idle.elapsed_s >= 0.03, "{idle:?}");
    let battery = idle.powers.last().expect("the battery is last");
    let power_w = *battery.power_w.value().expect("it discharges");
    assert!((power_w - 24.0).abs() < 1e-6, "{power_w}");
}
