//! Several measurements at one time: processors apart, the same verdicts as one after the other, and nothing lost on a tip that moved.

use std::{collections::BTreeSet, fs};

use ratchet::{EngineError, Void};

use crate::world::{JUDGE, World, score_track};

/// Whether this machine can have two workers.
fn two() -> bool {
    silicon::probe::own_cores().concat().len() >= 2
}

/// One key in every run of a test: the same draws.
fn draw_the_same(world: &World) {
    fs::create_dir_all(&world.place().folder).unwrap();
    fs::write(world.place().key(), [7; 32]).unwrap();
}

const TWO: &str = "[sandbox]\nworkers = 2\n";

/// Writes on which processors it may run beside what is judged.
const WHERE: &str =
    "cp value result; sed -n 's/Cpus_allowed_list:[[:space:]]*//p' /proc/self/status > where";

#[test]
fn workers_have_processors_of_their_own() {
    let judge = "value=$(cat \"$SPRAG_ARTEFACT/result\")\necho \"{\\\"value\\\": $value.$SPRAG_SEED, \\\"where\\\": \\\"$(cat \"$SPRAG_ARTEFACT/where\")\\\"}\" > \"$SPRAG_RESULT\"\n";
    let run = format!(
        "[run]\ncommand = [\"sh\", \"-c\", {WHERE:?}]\noutput = [\"result\", \"where\"]\n{TWO}"
    );
    let world = World::new(&[
        ("track.toml", &score_track(&run)),
        ("judge.sh", judge),
        ("value", "10\n"),
    ]);
    if !two() {
        assert!(matches!(
            world.try_run(0),
            Err(EngineError::Workers { workers: 2, .. })
        ));
        return;
    }
    draw_the_same(&world);
    for value in ["8\n", "9\n"] {
        world.propose(&[("value", Some(value))], "x").unwrap();
    }
    let history = world.run(2);
    let places: BTreeSet<String> = history
        .champion_runs
        .iter()
        .map(|(_, _, figures)| figures.judged[0].result["where"].to_string())
        .collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(history.experiments.values().all(|e| e.screen.is_some()));
}

#[test]
fn two_at_a_time_find_what_one_finds() {
    let knob = "[[proposer]]\nkind = \"search\"\nmethod = \"random\"\n[[proposer.knob]]\nfile = \"notes/k\"\nline = \"k = {}\"\nrange = [1, 10]\n";
    let world = |more: &str| {
        World::new(&[
            ("track.toml", &score_track(more)),
            ("judge.sh", JUDGE),
            ("value", "10\n"),
            ("notes/k", "k = 0\n"),
        ])
    };
    let (alone, both) = (world(knob), world(&format!("{TWO}{knob}")));
    if !two() {
        return;
    }
    draw_the_same(&alone);
    draw_the_same(&both);
    let (first, second) = (alone.run(7), both.run(7));
    let readings = |history: &ratchet::History| {
        let screens: Vec<_> = history
            .experiments
            .values()
            .map(|e| {
                (
                    e.proposal.tree.clone(),
                    e.screen.as_ref().map(|s| s.reading.clone()),
                    e.standing,
                )
            })
            .collect();
        let races: Vec<_> = history
            .races
            .values()
            .map(|race| {
                race.readings
                    .iter()
                    .map(|r| r.0.clone())
                    .collect::<Vec<_>>()
            })
            .collect();
        let runs: Vec<_> = history
            .champion_runs
            .iter()
            .map(|run| run.1.clone())
            .collect();
        (screens, races, runs)
    };
    assert_eq!(readings(&first), readings(&second));
}

#[test]
fn who_was_outrun_is_put_on_the_new_tip() {
    if !two() {
        return;
    }
    let judge = JUDGE.replace(
        "value=$(cat \"$SPRAG_ARTEFACT/value\")",
        "value=$(( $(cat \"$SPRAG_ARTEFACT/value\") + $(cat \"$SPRAG_ARTEFACT/notes/more\") ))",
    );
    let track = score_track(TWO).replace("unit = 1", "unit = 2");
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", &judge),
        ("value", "10\n"),
        ("notes/more", "0\n"),
    ]);
    draw_the_same(&world);
    world.propose(&[("value", Some("13\n"))], "one").unwrap();
    world
        .propose(&[("notes/more", Some("4\n"))], "other")
        .unwrap();
    let history = world.run(2);
    let experiments: Vec<_> = history.experiments.values().collect();
    assert_eq!(experiments.len(), 3);
    assert_eq!(experiments[1].beside, [1]);
    assert_eq!(experiments[1].void, Some(Void::Outrun));
    assert_eq!(experiments[1].screen, None);
    let renewed = experiments[2];
    assert_eq!(renewed.proposal.title, "other");
    assert_eq!(renewed.proposal.base, experiments[0].proposal.commit);
    assert!(renewed.screen.is_some(), "{:?}", renewed.words);
    let show = |path: &str| world.git(&["show", &format!("{}:{path}", renewed.proposal.commit)]);
    assert_eq!(
        (show("value").as_str(), show("notes/more").as_str()),
        ("13", "4")
    );
}
