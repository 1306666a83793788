//! Whole tracks, from the first reading to a merge: scores, timing, cases, builds, constraints, a second judge.

use crate::world::{JUDGE, World, count, last, score_track, words};
use ratchet::{Void, history::Worth, proposer::Standing, trial::Loss};

#[test]
fn a_planted_improvement_is_merged_and_a_change_that_does_nothing_is_not() {
    let world = World::score("");
    let before = (
        world.git(&["rev-parse", "HEAD"]),
        world.git(&["status", "--porcelain"]),
    );
    for (n, changes) in [
        ("notes/a", "1"),
        ("value", "25\n"),
        ("notes/b", "2"),
        ("notes/c", "3"),
    ]
    .iter()
    .enumerate()
    {
        let text = changes.1;
        world
            .propose(&[(changes.0, Some(text))], &format!("change {n}"))
            .unwrap();
    }
    let history = world.run(4);
    let merged: Vec<u64> = history
        .experiments
        .values()
        .filter(|e| e.standing == Standing::Merged)
        .map(|e| e.number)
        .collect();
    assert_eq!(merged, [2], "{:#?}", history.experiments);
    let place = world.place();
    let champion = history.champion.clone().unwrap();
    assert_eq!(world.git(&["show", &format!("{champion}:value")]), "25");
    assert_eq!(
        world.git(&["rev-parse", &place.champion()]),
        champion.as_str()
    );
    for number in 1..=4 {
        world.git(&["rev-parse", "--verify", &place.candidate(number)]);
    }
    assert_eq!(
        (
            world.git(&["rev-parse", "HEAD"]),
            world.git(&["status", "--porcelain"])
        ),
        before
    );
    assert_eq!(
        world.git(&["branch", "--format=%(refname)"]),
        "refs/heads/main"
    );
    // The champion's gain is told from its fresh runs.
    assert!(history.races.values().any(|race| race.end.is_some()));
}

#[test]
fn timing_by_the_engines_clock_finds_a_sleep_that_gets_shorter() {
    let track = r#"
name = "t"
[artefact]
mutable = ["work.sh"]
[run]
command = ["sh", "work.sh"]
output = ["out"]
[judge]
metric = "time"
better = "lower"
kind = "timing"
[gate]
same_blocks = 4
"#;
    let work = "sleep 0.04\necho done > out\n";
    let world = World::new(&[("track.toml", track), ("work.sh", work)]);
    world
        .propose(
            &[("work.sh", Some("# nothing\nsleep 0.04\necho done > out\n"))],
            "nothing",
        )
        .unwrap();
    world
        .propose(
            &[("work.sh", Some("sleep 0.01\necho done > out\n"))],
            "shorter",
        )
        .unwrap();
    let history = world.run(2);
    assert_eq!(
        history.experiments[&2].standing,
        Standing::Merged,
        "{}",
        words(&history.experiments[&2])
    );
    assert_ne!(
        history.experiments[&1].standing,
        Standing::Merged,
        "{}",
        words(&history.experiments[&1])
    );
    let gain = history.races.values().find_map(|race| race.gain.clone());
    assert!(gain.is_some(), "no gain was told");
}

#[test]
fn a_champion_that_breaks_within_a_candidates_block_is_the_champions_loss() {
    let track = r#"
name = "t"
[artefact]
mutable = ["work.sh"]
[run]
command = ["sh", "work.sh"]
output = ["out"]
[judge]
metric = "time"
better = "lower"
kind = "timing"
[gate]
same_blocks = 4
[sandbox]
reads = ["SHARED"]
"#;
    // The champion breaks as soon as a file outside is there.
    let shared = tempfile::tempdir().unwrap();
    let track = track.replace("SHARED", shared.path().to_str().unwrap());
    let work = format!(
        "test -e {}/broken && exit 3\necho done > out\n",
        shared.path().display()
    );
    let world = World::new(&[("track.toml", &track), ("work.sh", &work)]);
    world.run(0);
    let place = world.place();
    world
        .propose(&[("work.sh", Some("echo done > out\n"))], "never breaks")
        .unwrap();
    std::fs::write(shared.path().join("broken"), "").unwrap();
    let error = world.try_run(1).unwrap_err().to_string();
    assert!(
        error.contains("the champion itself cannot be measured"),
        "{error}"
    );
    assert!(
        place
            .history()
            .unwrap()
            .experiments
            .values()
            .all(|e| e.screen.is_none())
    );
    std::fs::remove_file(shared.path().join("broken")).unwrap();
    assert!(last(&world.run(1)).screen.is_some());
}

#[test]
fn cases_are_compared_case_by_case() {
    // Each case is right where its number times 7 plus the value is below a bound that the seed moves a little.
    let judge = r#"
import json, os, random
value = int(open(os.path.join(os.environ["SPRAG_ARTEFACT"], "value")).read())
draw = random.Random(int(os.environ["SPRAG_SEED"]))
cases = [int(draw.random() < 0.3 + value / 100) for _ in range(120)]
json.dump({"cases": cases}, open(os.environ["SPRAG_RESULT"], "w"))
"#;
    let track = score_track("")
        .replace("judge.sh", "judge.py")
        .replace("\"sh\"", "\"python3\"")
        .replace("\"score\"", "\"cases\"")
        .replace("metric = \"m\"", "metric = \"m\"\nsplits = true");
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.py", judge),
        ("value", "10\n"),
    ]);
    world
        .propose(&[("notes/a", Some("nothing"))], "nothing")
        .unwrap();
    world.propose(&[("value", Some("65\n"))], "better").unwrap();
    let history = world.run(2);
    assert_eq!(
        count(&history, Standing::Merged),
        1,
        "{:#?}",
        history.experiments
    );
    assert_eq!(history.experiments[&2].standing, Standing::Merged);
}

#[test]
fn a_second_judge_that_disagrees_is_a_loss() {
    let second = JUDGE.replace("value * 3000", "value * ( value > 20 ? 2000 : 3000 )");
    let track = score_track("")
        .replace("sealed = [", "sealed = [\"second.sh\", ")
        .replace(
            "[gate]",
            "[judge.second]\ncommand = [\"sh\", \"second.sh\"]\nwithin = 0.001\n[gate]",
        );
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("second.sh", &second),
        ("value", "10\n"),
    ]);
    let found = world.experiment(&[("value", Some("30\n"))]);
    assert!(matches!(
        found.screen.unwrap().figures.loss,
        Some(Loss::Disagree { .. })
    ));
    let found = world.experiment(&[("value", Some("11\n"))]);
    assert_eq!(found.screen.unwrap().figures.loss, None);
}

#[test]
fn a_constraint_that_does_not_hold_is_a_loss() {
    let judge = r#"
value=$(cat "$SPRAG_ARTEFACT/value")
last=${SPRAG_SEED#"${SPRAG_SEED%????}"}
echo "{\"value\": $(( value * 3000 + 1$last - 10000 )), \"kl\": $(( value / 20 ))}" > "$SPRAG_RESULT"
"#;
    let track = score_track("[[constraint]]\nmetric = \"kl\"\nat_most = 0.5\n");
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", judge),
        ("value", "10\n"),
    ]);
    let found = world.experiment(&[("value", Some("30\n"))]);
    let Some(Loss::Constraint { metric, value, .. }) =
        found.screen.as_ref().unwrap().figures.loss.clone()
    else {
        panic!("{found:#?}");
    };
    assert_eq!((metric.as_str(), value), ("kl", 1.0));
    assert_eq!(
        world
            .experiment(&[("value", Some("12\n"))])
            .screen
            .unwrap()
            .figures
            .loss,
        None
    );
}

/// A track whose build copies `value` to `made`, and whose run reads data.
fn built(build: &str, run: &str) -> World {
    let track = r#"
name = "t"
[artefact]
mutable = ["value", "build.sh", "run.sh"]
sealed = ["judge.sh"]
data = ["data/**"]
hidden = ["hidden.txt"]
[build]
command = ["sh", "build.sh"]
time = "5s"
[run]
command = ["sh", "run.sh"]
time = "5s"
output = ["value"]
[judge]
command = ["sh", "judge.sh"]
metric = "m"
better = "higher"
kind = "score"
[gate]
unit = 1
"#;
    let judge = format!("test \"$(cat hidden.txt)\" = secret || exit 9\n{JUDGE}");
    World::new(&[
        ("track.toml", track),
        ("judge.sh", &judge),
        ("value", "10\n"),
        ("build.sh", build),
        ("run.sh", run),
        ("data/points", "4\n"),
        ("hidden.txt", "secret"),
    ])
}

#[test]
fn a_build_sees_no_data_and_nobody_but_the_judge_sees_what_is_hidden() {
    let build = "test -e data && exit 4\ntest -e hidden.txt && exit 5\ntest -e judge.sh || exit 6\ncp value made\n";
    let run = "test -e hidden.txt && exit 7\ntest -e made || exit 8\ncat data/points > value\ncat made > value\n";
    let world = built(build, run);
    let found = world.experiment(&[("value", Some("30\n"))]);
    assert_eq!(found.standing, Standing::Merged, "{}", words(&found));
    // What looks for the hidden file anywhere finds nothing.
    let search = "grep -rl secret / 2>/dev/null --include=hidden.txt && exit 7\ncat made > value\n";
    let found = world.experiment(&[("run.sh", Some(search))]);
    assert_eq!(
        found.screen.unwrap().figures.loss,
        None,
        "{:?}",
        found.words
    );
}

#[test]
fn a_build_that_fails_is_a_loss_with_its_last_words() {
    let world = built("cp value made\n", "cat made > value\n");
    let found = world.experiment(&[("build.sh", Some("echo this is why >&2\nexit 3\n"))]);
    assert!(
        words(&found).contains("its build exited with code 3: \"this is why\""),
        "{}",
        words(&found)
    );
}

#[test]
fn the_same_files_have_the_same_verdict_and_a_seed_alone_is_refused() {
    let track = score_track("").replace(
        "sealed =",
        "seeds = [{ file = \"notes/seed\", line = \"SEED = {}\" }]\nsealed =",
    );
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
        ("notes/seed", "SEED = 1\n"),
    ]);
    let found = world.experiment(&[("notes/seed", Some("SEED = 2\n"))]);
    assert_eq!(found.void, Some(Void::SeedOnly { of: None }));
    let first = world.experiment(&[("value", Some("9\n"))]);
    assert!(first.screen.is_some());
    let again = world.experiment(&[("value", Some("9   \n\n"))]);
    assert_eq!(again.void, Some(Void::Repeated { of: first.number }));
    // A new draw of an earlier candidate is no new candidate.
    let drawn = world.experiment(&[("value", Some("9\n")), ("notes/seed", Some("SEED = 7\n"))]);
    assert_eq!(
        drawn.void,
        Some(Void::SeedOnly {
            of: Some(first.number)
        })
    );
}

#[test]
fn of_a_group_that_was_merged_it_is_told_who_does_nothing() {
    let rules = "unit = 3\nscreen_sigma = -1000.0\nstrong_sigma = 100.0";
    let track = score_track("").replace("unit = 1", rules);
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
    ]);
    // One after the other: each stands on what was kept before it.
    for (path, text) in [
        ("value", "14\n"),
        ("notes/idle", "1\n"),
        ("notes/more", "2\n"),
    ] {
        world.propose(&[(path, Some(text))], path).unwrap();
    }
    let history = world.run(3);
    assert_eq!(count(&history, Standing::Merged), 3, "{:#?}", history.races);
    let place = world.place();
    let never = || false;
    let mut engine = ratchet::Engine::start(
        &place,
        &crate::world::start(),
        &never,
        &mut crate::world::Quiet,
    )
    .unwrap();
    let first = engine.prune(3, &mut crate::world::Quiet).unwrap();
    assert!(first.iter().all(|one| {
        let found = one.found.as_ref().unwrap();
        found.differences.len() == 3 && found.worth() == Worth::Unknown
    }));
    // What was measured before counts.
    let pruned = engine.prune(6, &mut crate::world::Quiet).unwrap();
    let worth: Vec<Worth> = pruned
        .iter()
        .map(|one| one.found.as_ref().unwrap().worth())
        .collect();
    assert!(
        matches!(worth[0], Worth::Needed(by) if by.low > 0.0),
        "{worth:?}"
    );
    // The judge's noise is drawn by the seed alone, and both have the same seeds.
    assert!(
        matches!(worth[1], Worth::Idle(by) if by.low == 0.0 && by.high == 0.0),
        "{worth:?}"
    );
    assert!(matches!(worth[2], Worth::Idle(_)), "{worth:?}");
    assert_eq!(engine.history().champion, history.champion);
    drop(engine);
    assert_eq!(
        place.history().unwrap().experiments[&1]
            .left_out
            .as_ref()
            .unwrap()
            .differences
            .len(),
        6
    );
    place.reader().unwrap().verify().unwrap();
}

#[test]
fn tools_are_there_while_building_and_not_in_a_run() {
    let track = score_track("[build]\ncommand = [\"sh\", \"build.sh\"]\noutput = [\"program\"]\n[run]\ncommand = [\"sh\", \"program\"]\noutput = [\"value\"]")
        .replace("\"value\", \"notes/**\"", "\"build.sh\"")
        .replace("sealed = [\"judge.sh\"]", "sealed = [\"judge.sh\"]\ntools = [\"lib/**\"]");
    // The run finds no library, and what a build does to its copy of one is nobody else's affair.
    let build =
        "{ echo test ! -e lib '||' exit 3; cat lib/part; } > program; echo worse > lib/part";
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("build.sh", build),
        ("lib/part", "echo 10 > value\n"),
    ]);
    assert!(world.run(0).champion_runs.len() >= 2);
    // They are sealed as every other sealed file is.
    std::fs::write(world.root.join("lib/part"), "echo 11 > value\n").unwrap();
    let changed = world.try_run(0).unwrap_err().to_string();
    assert!(changed.contains("lib/part has other contents"), "{changed}");
}

#[test]
fn a_screen_asks_for_the_hidden_split_of_what_is_better_alone() {
    let track = score_track("").replace("kind = \"score\"", "kind = \"score\"\nsplits = true");
    let world = World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
    ]);
    let splits = |history: &ratchet::History| {
        let screen = history.experiments.values().next_back().unwrap();
        let figures = &screen.screen.as_ref().unwrap().figures;
        let judged = figures.judged.iter();
        judged.map(|one| one.split.clone()).collect::<Vec<_>>()
    };
    // Worse by more than the judge's noise ever is.
    world.propose(&[("value", Some("5\n"))], "worse").unwrap();
    let history = world.run(1);
    assert_eq!(splits(&history), ["public"]);
    let (_, champion, figures) = &history.champion_runs[0];
    assert_eq!(figures.judged.len(), 2);
    assert!(matches!(
        champion,
        gate::Reading::Score {
            hidden: Some(_),
            ..
        }
    ));
    world.propose(&[("value", Some("25\n"))], "better").unwrap();
    let history = world.run(1);
    assert_eq!(splits(&history), ["public", "hidden"]);
    assert_eq!(count(&history, Standing::Merged), 1);
    let race = history.races.values().next().unwrap();
    let (_, figures) = &race.readings[0];
    assert_eq!(figures.judged.len(), 2);
}
