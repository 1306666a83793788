//! Who proposes: people whose changes wait and are merged, and programs that edit files and may do worse.

use std::{fs, os::unix::fs::symlink};

use crate::world::{JUDGE, World, last, score_track, words};
use ratchet::{
    Ended, Void,
    proposer::{Standing, human},
};

#[test]
fn a_persons_change_is_merged_with_what_the_champion_has_become() {
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n";
    let world = World::new(&[
        ("track.toml", &score_track("")),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
        ("notes/n", lines),
    ]);
    // Two people change the same file, far apart; the first one's change wins its race with the value.
    world
        .propose(
            &[
                ("value", Some("40\n")),
                ("notes/n", Some(&lines.replace('1', "one"))),
            ],
            "first",
        )
        .unwrap();
    world
        .propose(&[("notes/n", Some(&lines.replace('8', "eight")))], "second")
        .unwrap();
    world
        .propose(&[("notes/n", Some(&lines.replace('1', "uno")))], "third")
        .unwrap();
    let history = world.run(3);
    assert_eq!(history.experiments[&1].standing, Standing::Merged);
    let commit = &history.experiments[&2].proposal.commit;
    assert_eq!(
        world.git(&["show", &format!("{commit}:notes/n")]),
        lines.replace('1', "one").replace('8', "eight").trim()
    );
    assert_eq!(world.git(&["show", &format!("{commit}:value")]), "40");
    let Some(Void::Proposer { said }) = &history.experiments[&3].void else {
        panic!("{:?}", history.experiments[&3]);
    };
    assert!(said.contains("notes/n"), "{said}");
    assert_eq!(
        world.git(&["for-each-ref", "refs/sprag/t/inbox/"]),
        "",
        "all were taken"
    );
}

#[test]
fn a_person_proposes_only_mutable_files_that_git_knows() {
    let world = World::score("");
    let place = world.place();
    let head = place.repository.head().unwrap();
    let put = || human::put(&place.repository, &place.track, &head, &world.root, "t").unwrap();
    assert_eq!(put(), Err(Void::NoChange));
    world.write("notes/.gitignore", "*.log\n");
    world.write("notes/big.log", &"x".repeat(3 << 20));
    assert_eq!(
        put(),
        Err(Void::NoChange),
        "what git ignores, and git's own settings, are no part of it"
    );
    symlink("/etc/passwd", world.root.join("notes/link")).unwrap();
    assert_eq!(
        put(),
        Err(Void::NotAFile {
            path: "notes/link".into()
        })
    );
    fs::remove_file(world.root.join("notes/link")).unwrap();
    world.write("notes/big", &"x".repeat(3 << 20));
    assert!(matches!(put(), Err(Void::TooLarge { .. })));
    fs::remove_file(world.root.join("notes/big")).unwrap();
    world.write("value", "11\n");
    assert!(put().is_ok());
    assert_eq!(world.git(&["status", "--porcelain"]), "M value\n?? notes/");
}

/// A track whose only proposer runs this script.
fn proposed_by(script: &str, mutable: &str) -> World {
    let track = score_track("[sandbox]\noutput = \"64 KiB\"\nprocesses = 32\ndisk = \"16 MiB\"\n[[proposer]]\nkind = \"command\"\ncommand = [\"sh\", \"propose.sh\"]\ntime = \"2s\"\n")
        .replace("[\"value\", \"notes/**\"]", mutable);
    World::new(&[
        ("track.toml", &track),
        ("judge.sh", JUDGE),
        ("value", "10\n"),
        ("propose.sh", script),
        ("lib/inner", "x"),
    ])
}

#[test]
fn a_program_edits_files_and_is_told_what_was_tried() {
    let script = "test -e judge.sh || exit 4\ncp .sprag/HISTORY.md notes-\necho $((10 + SPRAG_EXPERIMENT)) > value\nmkdir -p notes; cp .sprag/HISTORY.md notes/told\necho '# one more' > .sprag/PROPOSAL.md\n";
    let world = proposed_by(script, "[\"value\", \"notes/**\"]");
    let history = world.run(2);
    let second = &history.experiments[&2];
    assert_eq!(second.proposal.title, "one more");
    assert!(second.screen.is_some(), "{second:?}");
    let told = world.git(&["show", &format!("{}:notes/told", second.proposal.commit)]);
    assert!(
        told.contains("- 1 (") && told.contains("one more"),
        "{told}"
    );
    assert!(!told.contains("sigma") && !told.contains("odds"), "{told}");
    assert_eq!(
        world.git(&[
            "diff",
            "--name-only",
            second.proposal.base.as_str(),
            second.proposal.commit.as_str()
        ]),
        "notes/told\nvalue"
    );
}

#[test]
fn a_program_that_does_worse_is_refused_with_its_reason() {
    let everything = "[\"**\"]";
    let foreign = |found: &Void, path: &str| matches!(found, Void::Foreign { paths } if paths.iter().any(|p| p.to_str() == Some(path)));
    let said =
        |found: &Void, text: &str| matches!(found, Void::Proposer { said } if said.contains(text));
    let is_file = |found: &Void| matches!(found, Void::NotAFile { .. });
    type Expected<'e> = Box<dyn Fn(&Void) -> bool + 'e>;
    let rows: Vec<(&str, &str, Expected<'_>)> = vec![
        (
            "echo 'echo 1' > judge.sh; echo 50 > value",
            everything,
            Box::new(|v| foreign(v, "judge.sh")),
        ),
        (
            "rm judge.sh; mkfifo judge.sh; echo 50 > value",
            everything,
            Box::new(|v| foreign(v, "judge.sh")),
        ),
        (
            "ln -sf /dev/zero judge.sh; echo 50 > value",
            everything,
            Box::new(|v| foreign(v, "judge.sh")),
        ),
        (
            "echo 50 > value; rm -r lib; echo y > lib",
            "[\"value\", \"lib\"]",
            Box::new(|v| foreign(v, "lib/inner") || foreign(v, "lib")),
        ),
        ("ln -sf /etc/passwd value", everything, Box::new(is_file)),
        ("rm value; mkfifo value", everything, Box::new(is_file)),
        (
            "printf x > \"$(printf 'bad\\377')\"",
            everything,
            Box::new(is_file),
        ),
        (
            "head -c 3000000 /dev/zero > value",
            everything,
            Box::new(|v| matches!(v, Void::TooLarge { .. })),
        ),
        (
            "head -c 600000 /dev/urandom > value",
            everything,
            Box::new(|v| matches!(v, Void::TooDense { .. })),
        ),
        ("true", everything, Box::new(|v| *v == Void::NoChange)),
        (
            "echo boom >&2; exit 3",
            everything,
            Box::new(|v| said(v, "exited with code 3: \"boom\"")),
        ),
        ("kill -9 $$", everything, Box::new(|v| said(v, "signal"))),
        (
            "sleep 60",
            everything,
            Box::new(|v| said(v, "ran longer than it may")),
        ),
        (
            "yes",
            everything,
            Box::new(|v| said(v, "printed more than it may")),
        ),
        (
            "i=0; while [ $i -lt 99 ]; do sleep 60 & i=$((i+1)); done; wait",
            everything,
            Box::new(|v| said(v, "processes") || said(v, "longer")),
        ),
        (
            "head -c 60000000 /dev/zero > notes; sleep 1",
            everything,
            Box::new(|v| {
                said(v, "disk") || said(v, "exited") || matches!(v, Void::TooLarge { .. })
            }),
        ),
    ];
    for (script, mutable, expected) in rows {
        let world = proposed_by(script, mutable);
        let found = last(&world.run(1));
        let void = found
            .void
            .clone()
            .unwrap_or_else(|| panic!("{script}: it was measured"));
        assert!(expected(&void), "{script}: {void:?}");
        // The champion's files are what they were.
        assert_eq!(
            world.git(&["show", "refs/sprag/t/champion:lib/inner"]),
            "x",
            "{script}"
        );
    }
}

#[test]
fn a_program_that_fails_for_ever_does_not_keep_the_engine_for_ever() {
    let world = proposed_by("exit 3", "[\"**\"]");
    let (ended, history) = world.try_run(1000).unwrap();
    assert!(matches!(ended, Ended::NoProposals { .. }), "{ended:?}");
    assert_eq!(history.experiments.len(), 50);
    assert!(words(&last(&history)).contains("exited with code 3"));
}

#[test]
fn who_fell_with_others_may_be_judged_again_and_who_was_refused_alone_may_not() {
    let all = score_track("screen_sigma = -1000.0\n").replace("unit = 1", "unit = 2");
    let world = World::new(&[("track.toml", &all), ("judge.sh", JUDGE), ("value", "10\n")]);
    world.propose(&[("value", Some("8\n"))], "x").unwrap();
    world.propose(&[("notes/n", Some("n"))], "y").unwrap();
    let history = world.run(2);
    assert!(
        history
            .experiments
            .values()
            .all(|e| e.standing == Standing::Dropped),
        "{:?}",
        history.races
    );
    // The first one's files are those of its own change.
    let again = world.experiment(&[("value", Some("8\n"))]);
    assert_eq!(again.standing, Standing::Kept);
    world
        .propose(&[("value", Some("8\n"))], "once more")
        .unwrap();
    assert!(last(&world.run(1)).void.is_some());
}
