//! The track's limits reach the cell, and a word that is none is an error.

use super::Cell;

#[test]
fn the_tracks_limits_hold_where_an_engine_tells_them() {
    let by_hand = Cell::of(["./model"]);
    assert_eq!(by_hand.clone().within_track(|_| None).unwrap(), by_hand);
    let rules = r#"{"memory_bytes": 1024, "processes": 3, "written_bytes": 7, "gpu": true, "reads": ["/opt/x"], "environment": {"A": "b"}}"#;
    let told = by_hand
        .clone()
        .within_track(|name| (name == "SPRAG_SANDBOX").then(|| rules.into()))
        .unwrap();
    assert_eq!(
        (told.memory_bytes, told.processes, told.written_bytes),
        (1024, 3, 7)
    );
    assert_eq!(
        (told.command.clone(), told.gpu),
        (by_hand.command.clone(), true)
    );
    let job = told.job("/artefact".as_ref());
    assert!(
        job.read_only
            .iter()
            .any(|mount| mount.host == std::path::Path::new("/opt/x"))
    );
    assert_eq!(job.environment["A"], "b");
    for wrong in ["", "{}", r#"{"memory_bytes": -1}"#] {
        let error = by_hand.clone().within_track(|_| Some(wrong.into()));
        assert!(error.unwrap_err().to_string().contains("SPRAG_SANDBOX"));
    }
}
