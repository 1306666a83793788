//! Names that lie about their fields, trees, and a real child.

use super::*;

#[test]
fn a_name_can_not_move_the_fields() {
    let fields = "S 7 1 1 0 -1 4194304 100 0 0 0 11 5 3 1 20 0 1 0 100";
    let process = Process {
        parent: 7,
        ticks: 20,
    };
    assert_eq!(process_in(&format!("42 (python3) {fields}")), Some(process));
    assert_eq!(
        process_in(&format!("42 (a) R 1 1 (b) {fields}")),
        Some(process)
    );
    for broken in [
        "",
        "42 (a",
        "42 (a) S",
        "42 (a) S x 1 1 0 -1 4 1 0 0 0 11 5 3 1",
    ] {
        assert_eq!(process_in(broken), None, "{broken:?}");
    }
}

#[test]
fn a_tree_is_what_descends() {
    let all: BTreeMap<u32, Process> = [(2, 1), (3, 2), (9, 3), (4, 1), (5, 4), (1, 0)]
        .into_iter()
        .map(|(pid, parent)| (pid, Process { parent, ticks: 1 }))
        .collect();
    let members: Vec<u32> = below(2, &all).into_keys().collect();
    assert_eq!(members, [3, 9]);
}

#[test]
fn paths_are_read_from_maps() {
    let maps = "7f00-7f01 r-xp 00000000 08:01 123    /usr/lib/libblas.so.3\n7f02-7f03 rw-p 0 00:00 0 [heap]\n\
                7f04-7f05 r--p 0 08:01 9 /a b/c (deleted)\n";
    assert_eq!(
        paths_in(maps).collect::<Vec<_>>(),
        ["/usr/lib/libblas.so.3", "/a b/c"]
    );
}
