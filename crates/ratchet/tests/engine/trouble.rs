//! What goes wrong around a track: flaky judges, changed seals, two engines, other repositories. A clear error or verdict, nothing lost.

use std::{fs, process::Command};

use crate::world::{JUDGE, Quiet, World, last, program, said, score_track, start, words};
use ledger::LedgerError;
use ratchet::{
    Ended, Engine, EngineError, PlaceError, engine, proposer::Standing, seal::SealError,
    trial::WorkshopError,
};

#[test]
fn a_judge_that_fails_on_the_champion_is_an_error_that_loses_nothing() {
    let shared = tempfile::tempdir().unwrap();
    let flaky = format!(
        "test -e {}/broken && {{ echo 'no network' >&2; exit 7; }}\n{JUDGE}",
        shared.path().display()
    );
    let track = score_track(&format!("[sandbox]\nreads = [{:?}]\n", shared.path()));
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", &flaky),
        ("value", "10\n"),
    ]);
    fs::write(shared.path().join("broken"), "").unwrap();
    let error = world.try_run(1).unwrap_err();
    assert!(
        matches!(error, EngineError::Workshop(WorkshopError::Champion(_))),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("sh exited with code 7: \"no network\""),
        "{error}"
    );
    fs::remove_file(shared.path().join("broken")).unwrap();
    world.run(0);
    let before = world.place().history().unwrap().champion_runs;
    world.propose(&[("value", Some("11\n"))], "x").unwrap();
    fs::write(shared.path().join("broken"), "").unwrap();
    // About a candidate it is the candidate's loss.
    let found = last(&world.run(1));
    assert_eq!(found.standing, Standing::Refused);
    assert!(
        words(&found).contains("could not judge it"),
        "{}",
        words(&found)
    );
    assert_eq!(world.place().history().unwrap().champion_runs, before);
}

#[test]
fn a_draw_that_the_judge_cannot_bear_is_drawn_again_and_stops_no_track_for_good() {
    // The third run of the champion fails with its own seed, and with the next five.
    let judge = format!(
        "case \"$SPRAG_MEASUREMENT\" in champion/2|champion/2/again/[1-4]) echo 'no such case' >&2; exit 9;; champion/3) exit 9;; esac\n{JUDGE}"
    );
    let world = World::new(&[
        ("track.toml", &score_track("")),
        ("judge.sh", &judge),
        ("value", "10\n"),
    ]);
    world.propose(&[("value", Some("9\n"))], "x").unwrap();
    let error = world.try_run(1).unwrap_err().to_string();
    assert!(error.contains("no such case"), "{error}");
    let stopped = world.place().history().unwrap();
    assert_eq!(stopped.champion_runs.len(), 2);
    assert_eq!(stopped.failed, Some(("champion/2".to_owned(), 3)));
    // A second start goes on with other seeds.
    let history = world.run(1);
    assert_eq!(history.failed, None);
    assert!(history.champion_runs.len() > 3);
    assert!(last(&history).screen.is_some());
    let failed = world
        .place()
        .reader()
        .unwrap()
        .entries(&ledger::Selection::all())
        .unwrap()
        .iter()
        .filter(|entry| entry.kind == "failed")
        .count();
    assert_eq!(failed, 6);
}

#[test]
fn a_metric_that_is_no_number_is_a_loss_and_on_the_champion_an_error() {
    let judge = "value=$(cat \"$SPRAG_ARTEFACT/value\")\ntest \"$value\" = 10 || value=NaN\necho \"{\\\"value\\\": $value}\" > \"$SPRAG_RESULT\"\n";
    let world = World::new(&[
        ("track.toml", &score_track("rounding = 1.0\n")),
        ("judge.sh", judge),
        ("value", "10\n"),
    ]);
    let found = world.experiment(&[("value", Some("11\n"))]);
    assert!(
        words(&found).contains("no finite number: NaN"),
        "{}",
        words(&found)
    );
    let world = World::new(&[
        ("track.toml", &score_track("")),
        ("judge.sh", judge),
        ("value", "9\n"),
    ]);
    let error = world.try_run(1).unwrap_err().to_string();
    assert!(
        error.contains("champion itself") && error.contains("NaN"),
        "{error}"
    );
}

#[test]
fn a_judge_may_answer_more_than_a_record_holds() {
    let judge = "import json, os\nvalue = int(open(os.environ['SPRAG_ARTEFACT'] + '/value').read())\ndeep = 1\nfor _ in range(80 if value % 2 else 0): deep = [deep]\njson.dump({'value': value + int(os.environ['SPRAG_SEED']) % 7, 'log': 'x' * (900000 if value in (12, 13) else 9), 'deep': deep}, open(os.environ['SPRAG_RESULT'], 'w'))\n";
    let track = score_track("")
        .replace("judge.sh", "judge.py")
        .replace("\"sh\"", "\"python3\"");
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.py", judge),
        // Beyond the noise: a change that won by luck would move the champion, and the next would be refused as made from another.
        ("value", "100\n"),
    ]);
    for value in ["11\n", "12\n", "13\n"] {
        let found = world.experiment(&[("value", Some(value))]);
        let screen = found
            .screen
            .as_ref()
            .unwrap_or_else(|| panic!("{}", words(&found)));
        assert_eq!(screen.figures.loss, None);
    }
}

#[test]
fn what_was_sealed_may_not_change_until_a_new_epoch_begins() {
    let world = World::score("");
    world.propose(&[("value", Some("40\n"))], "better").unwrap();
    let before = world.run(1);
    assert_eq!(before.races.len(), 1);
    world.write("judge.sh", &format!("# another\n{JUDGE}"));
    let error = world.try_run(1).unwrap_err();
    assert!(
        matches!(&error, EngineError::Seal(SealError::Changed(list)) if list[0].contains("judge.sh")),
        "{error}"
    );
    let place = world.place();
    let seal = engine::reseal(&place, &start(), "a better judge", &mut Quiet).unwrap();
    assert_eq!(seal.epoch, 2);
    let after = world.run(0);
    // Scores begin anew; the champion and what was spent of the error stay.
    assert_eq!(after.champion, before.champion);
    let (old, new) = (
        before.gate.unwrap().spent(),
        after.gate.clone().unwrap().spent(),
    );
    assert_eq!((old.races, old.alpha), (new.races, new.alpha));
    assert!(
        after
            .past(gate::Better::Higher)
            .iter()
            .all(|past| !past.comparable && past.cost.is_none())
    );
    // The same files may be judged by the other judge.
    world
        .propose(&[("notes/new", Some("for the other judge"))], "again")
        .unwrap();
    assert!(last(&world.run(1)).screen.is_some());
    // A seal whose copy was tampered with does not hold either.
    fs::write(place.epoch(2).join("files/judge.sh"), "echo").unwrap();
    assert!(matches!(
        world.try_run(1),
        Err(EngineError::Seal(SealError::Changed(_)))
    ));
}

#[test]
fn a_track_that_is_being_set_up_needs_no_new_epoch_by_hand() {
    let world = World::new(&[
        ("track.toml", &score_track("")),
        ("judge.sh", "exit 1\n"),
        ("value", "10\n"),
    ]);
    world.propose(&[("value", Some("9\n"))], "x").unwrap();
    assert!(world.try_run(1).is_err());
    world.write("judge.sh", JUDGE);
    let history = world.run(1);
    assert_eq!(history.seal.unwrap().epoch, 2);
    assert_eq!(history.experiments.len(), 1);
    // From here on something rests on it.
    world.write("judge.sh", "exit 1\n");
    assert!(matches!(
        world.try_run(1),
        Err(EngineError::Seal(SealError::Changed(_)))
    ));
}

#[test]
fn what_a_track_lacks_is_said_before_anything_is_measured() {
    let knob = |line: &str| {
        format!(
            "[[proposer]]\nkind = \"search\"\nmethod = \"random\"\n[[proposer.knob]]\nfile = \"value\"\nline = \"{line}\"\nrange = [1, 10]\n"
        )
    };
    let begin = |track: &str| {
        World::new(&[
            ("track.toml", track),
            ("judge.sh", JUDGE),
            ("value", "10\n"),
        ])
        .try_run(1)
        .unwrap_err()
        .to_string()
    };
    let error = begin(&score_track(&knob("depth = {}")));
    assert!(
        error.contains("depth = {}") && error.contains("\"search\""),
        "{error}"
    );
    let mutable = "mutable = [\"value\", \"notes/**\"]";
    let with = |more: &str| score_track("").replace(mutable, &format!("{mutable}\n{more}"));
    let error = begin(&with("program = \"nope.md\""));
    assert!(error.contains("nope.md"), "{error}");
    let error = begin(&with("most_bytes = \"2 B\""));
    assert!(
        error.contains("3 B") && error.contains("most_bytes"),
        "{error}"
    );
}

#[test]
fn a_seal_of_nothing_is_refused() {
    let track = score_track("").replace(
        "sealed = [\"judge.sh\"]",
        "sealed = [\"judge.sh\"]\nhidden = [\"hiden.csv\"]",
    );
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
        ("hidden.csv", "1"),
    ]);
    let error = world.try_run(1).unwrap_err().to_string();
    assert!(
        error.contains("artefact.hidden") && error.contains("hiden.csv"),
        "{error}"
    );
}

#[test]
fn one_engine_at_a_time_and_a_stop_that_is_heard() {
    let slow = format!("sleep 0.3\n{JUDGE}");
    let world = World::new(&[
        ("track.toml", &score_track("")),
        ("judge.sh", &slow),
        ("value", "10\n"),
    ]);
    let place = world.place();
    let mut first = Command::new(program())
        .args(["run", world.root.to_str().unwrap(), "5"])
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    while place.running().unwrap().is_none() || !place.ledger().exists() {
        assert!(began.elapsed().as_secs() < 20, "it never began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let never = || false;
    match Engine::start(&place, &start(), &never, &mut Quiet) {
        Err(
            EngineError::Place(PlaceError::Ledger(LedgerError::Busy { .. }))
            | EngineError::Ledger(LedgerError::Busy { .. }),
        ) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two engines"),
    }
    // Its start removes an old request to stop, so it is asked until it hears.
    while first.try_wait().unwrap().is_none() {
        assert!(began.elapsed().as_secs() < 30, "it does not stop");
        fs::write(place.stop(), "").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(first.wait().unwrap().success());
    let asked = || true;
    let mut engine = Engine::start(&place, &start(), &asked, &mut Quiet).unwrap();
    assert_eq!(
        engine.run(ratchet::Until::default(), &mut Quiet).unwrap(),
        Ended::Asked
    );
}

#[test]
fn two_engines_that_begin_at_once_begin_one_track() {
    for _ in 0..4 {
        let world = World::score("");
        let begin = || {
            Command::new(program())
                .args(["run", world.root.to_str().unwrap(), "0"])
                .output()
                .unwrap()
        };
        let outputs = std::thread::scope(|scope| {
            let other = scope.spawn(begin);
            [begin(), other.join().unwrap()]
        });
        assert!(
            outputs.iter().any(|output| output.status.success()),
            "{}{}",
            said(&outputs[0]),
            said(&outputs[1])
        );
        for output in outputs.iter().filter(|output| !output.status.success()) {
            assert!(
                said(output).contains("in use") || said(output).contains("process"),
                "{}",
                said(output)
            );
        }
        world.run(0);
    }
}

#[test]
fn a_ledger_of_a_newer_version_is_left_as_it_is() {
    let world = World::score("");
    world.run(0);
    let place = world.place();
    let mut bytes = fs::read(place.ledger()).unwrap();
    // SQLite's `user_version`.
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(place.ledger(), &bytes).unwrap();
    let error = world.try_run(1).unwrap_err().to_string();
    assert!(error.contains("99"), "{error}");
    assert_eq!(fs::read(place.ledger()).unwrap(), bytes);
}

#[test]
fn another_key_or_none_is_an_error_and_no_new_key() {
    let world = World::score("");
    world.run(0);
    let key = world.place().key();
    let old = fs::read(&key).unwrap();
    fs::write(&key, [1; 32]).unwrap();
    assert!(matches!(world.try_run(0), Err(EngineError::OtherKey(_))));
    fs::remove_file(&key).unwrap();
    assert!(matches!(world.try_run(0), Err(EngineError::NoKey(_))));
    assert!(!key.exists());
    fs::write(&key, old).unwrap();
    world.run(0);
}

#[test]
fn repositories_in_other_states() {
    let world = World::score("");
    world.write("value", "11\n");
    assert!(
        matches!(world.try_run(0), Err(EngineError::Dirty(paths)) if paths == [std::path::PathBuf::from("value")])
    );
    world.commit("eleven");
    world.git(&["checkout", "-q", "--detach"]);
    let history = world.run(0);
    assert_eq!(
        history.champion.unwrap().as_str(),
        world.git(&["rev-parse", "HEAD"])
    );
    // Once it has begun, the work tree is the user's own.
    world.write("value", "12\n");
    world.run(0);

    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("track.toml"), score_track("")).unwrap();
    let open = || ratchet::Place::open(empty.path());
    assert!(matches!(
        open(),
        Err(PlaceError::Git(ratchet::git::GitError::NoRepository { .. }))
    ));
    Command::new("git")
        .arg("-C")
        .arg(empty.path())
        .args(["init", "-q"])
        .status()
        .unwrap();
    let place = open().unwrap();
    let never = || false;
    let error = Engine::start(&place, &start(), &never, &mut Quiet)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no commit"), "{error}");
}

#[test]
fn references_that_were_lost_come_back_and_commits_that_are_gone_are_named() {
    let world = World::score("");
    world.propose(&[("value", Some("40\n"))], "better").unwrap();
    let history = world.run(1);
    let champion = history.champion.unwrap();
    world.git(&["update-ref", "-d", "refs/sprag/t/champion"]);
    world.git(&["update-ref", "-d", "refs/sprag/t/candidates/1"]);
    world.git(&["update-ref", "refs/sprag/t/candidates/9", "HEAD"]);
    fs::write(world.root.join(".git/refs/sprag/t/champion.lock"), "").unwrap();
    world.run(0);
    assert_eq!(
        world.git(&[
            "for-each-ref",
            "--format=%(refname) %(objectname)",
            "refs/sprag/"
        ]),
        format!("refs/sprag/t/candidates/1 {champion}\nrefs/sprag/t/champion {champion}")
    );
    world.git(&["update-ref", "-d", "refs/sprag/t/champion"]);
    world.git(&["update-ref", "-d", "refs/sprag/t/candidates/1"]);
    world.git(&["prune", "--expire=now"]);
    assert!(matches!(world.try_run(0), Err(EngineError::Gone(commit)) if commit == champion));
}

#[test]
fn a_sealed_file_that_is_new_or_missing_is_named_and_words_are_not_sealed() {
    let track = score_track("").replace(
        "sealed = [\"judge.sh\"]",
        "sealed = [\"judge.sh\"]\nhidden = [\"hidden/**\"]",
    );
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
        ("hidden/a", "1"),
    ]);
    world.run(0);
    // Words and proposers may change at any time.
    world.write(
        "track.toml",
        &format!("about = \"other words\"\n{track}\n[[proposer]]\nkind = \"human\"\n"),
    );
    world.run(0);
    let named = |expected: &str| match world.try_run(0) {
        Err(EngineError::Seal(SealError::Changed(list))) => {
            assert!(list.iter().any(|line| line.contains(expected)), "{list:?}");
        }
        other => panic!("{expected}: {:?}", other.map(|_| ())),
    };
    world.write("hidden/b", "2");
    named("hidden/b");
    fs::remove_file(world.root.join("hidden/b")).unwrap();
    fs::remove_file(world.root.join("hidden/a")).unwrap();
    named("hidden/a");
    world.write("hidden/a", "1");
    world.write(
        "track.toml",
        &track.replace("time = \"10s\"", "time = \"11s\""),
    );
    named("track.toml");
    world.write("track.toml", &track);
    world.run(0);
}
