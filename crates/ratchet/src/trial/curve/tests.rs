//! What counts as a point, and what is hopeless.

use gate::Better;

use super::{at, hopeless, is_honest, points, read};
use crate::track::file::Curve;

fn rules(from: f64, worse: f64) -> Curve {
    Curve {
        file: "curve.jsonl".to_owned(),
        from,
        worse,
    }
}

#[test]
fn points_are_whole_lines_that_go_forward() {
    let text = "{\"done\": 0, \"value\": 8}\nnonsense\n{\"done\": 0.5, \"value\": 3}\n{\"done\": 0.4, \"value\": 9}\n\
                {\"done\": 0.6, \"value\": 1e999}\n{\"done\": 2, \"value\": 1}\n{\"done\": 0.7, \"value\": 2.5}\n{\"done\": 0.8, \"val";
    assert_eq!(points(text), [(0.0, 8.0), (0.5, 3.0), (0.7, 2.5)]);
    let many: String = (0..1000)
        .map(|i| format!("{{\"done\": {}, \"value\": 1}}\n", f64::from(i) / 1000.0))
        .collect();
    let kept = points(&many);
    assert!((50..=64).contains(&kept.len()), "{}", kept.len());
    assert!(kept.last().unwrap().0 > 0.95);
}

#[test]
fn a_curve_that_promises_too_much_is_no_pace() {
    let rules = rules(0.3, 0.1);
    let ends_at = |value: f64| vec![(0.5, 9.0), (1.0, value)];
    assert!(is_honest(&ends_at(2.0), 2.1, &rules, Better::Lower));
    assert!(!is_honest(&ends_at(0.001), 2.1, &rules, Better::Lower));
    assert!(is_honest(&ends_at(2.2), 2.1, &rules, Better::Higher));
    assert!(!is_honest(&ends_at(9.0), 2.1, &rules, Better::Higher));
    assert!(!is_honest(&vec![], 2.1, &rules, Better::Lower));
}

#[test]
fn between_points_is_a_line_and_outside_is_nothing() {
    let curve = vec![(0.2, 4.0), (0.4, 2.0)];
    assert_eq!(at(&curve, 0.1), None);
    assert_eq!(at(&curve, 0.2), Some(4.0));
    assert!((at(&curve, 0.3).unwrap() - 3.0).abs() < 1e-12);
    assert_eq!(at(&curve, 0.5), None);
}

#[test]
fn hopeless_is_worse_than_the_worst_of_the_champions_runs() {
    let champion = [
        vec![(0.0, 8.0), (0.5, 3.0), (1.0, 2.0)],
        vec![(0.0, 8.0), (0.5, 3.2), (1.0, 2.1)],
    ];
    let run = |value: f64| vec![(0.1, 20.0), (0.5, value)];
    // The first point does not count yet.
    let found = |value| hopeless(&run(value), &champion, &rules(0.3, 0.1), Better::Lower);
    assert_eq!(found(3.5), None);
    let hit = found(3.6).unwrap();
    assert_eq!((hit.done, hit.value, hit.champion), (0.5, 3.6, 3.2));
    let found = |value| hopeless(&run(value), &champion, &rules(0.3, 0.1), Better::Higher);
    assert_eq!(found(2.8), None);
    assert!(found(2.6).is_some());
    // Without a champion's curve nothing is.
    assert_eq!(
        hopeless(&run(99.0), &[], &rules(0.0, 0.1), Better::Lower),
        None
    );
}

#[cfg(unix)]
#[test]
fn pipes_and_links_are_no_curves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curve.jsonl");
    assert!(read(folder.path(), &rules(0.0, 0.1)).is_empty());
    let fifo = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(fifo.unwrap().success());
    assert!(read(folder.path(), &rules(0.0, 0.1)).is_empty());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(folder.path().join("real"), "{\"done\": 0, \"value\": 1}\n").unwrap();
    std::os::unix::fs::symlink("real", &path).unwrap();
    assert!(read(folder.path(), &rules(0.0, 0.1)).is_empty());
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(folder.path().join("real"), &path).unwrap();
    assert_eq!(read(folder.path(), &rules(0.0, 0.1)), [(0.0, 1.0)]);
}
