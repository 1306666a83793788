//! Budgets in units: a sealed server hands them out, the engine counts, and whoever takes more has nothing of it.

use crate::world::{Quiet, World, words};
use ratchet::{Engine, EngineError, Place, proposer::Standing, trial::Loss};

/// What is learned is how much was given; the judge's noise is drawn by the seed.
const TRACK: &str = r#"
name = "t"
[artefact]
mutable = ["learn.sh"]
sealed = ["judge.sh"]
hidden = ["hidden/**"]
[run]
command = ["sh", "learn.sh"]
time = "20s"
output = ["got"]
[run.budget]
unit = "letters"
most = 20
server = ["sh", "hidden/serve.sh"]
finish = "1s"
expires = "2s"
[judge]
command = ["sh", "judge.sh"]
metric = "m"
better = "higher"
kind = "score"
[gate]
unit = 1
"#;

/// Gives letters of what only it can see, as many as are asked for and left; ends when it is told to.
const SERVER: &str = r#"
while read -r left count; do
    test "$count" = end && echo "no such question" >&2 && exit 3
    test "$count" -gt "$left" && count=$left
    printf '%s %s\n' "$count" "$count"
    head -c "$count" hidden/letters
done
"#;

/// Asks once for 10.
const LEARN: &str = r#"
test -e hidden && exit 9
take() {
    echo "$1"
    read -r units bytes left
    test "$bytes" -eq 0 || dd bs=1 count="$bytes" status=none >> got
}
take 10
"#;

const JUDGE: &str = r#"
value=$(wc -c < "$SPRAG_ARTEFACT/got")
last=${SPRAG_SEED#"${SPRAG_SEED%????}"}
echo "{\"value\": $(( value * 3000 + 1$last - 10000 ))}" > "$SPRAG_RESULT"
"#;

fn world(track: &str) -> World {
    World::new(&[
        ("track.toml", track),
        ("judge.sh", JUDGE),
        ("hidden/serve.sh", SERVER),
        ("hidden/letters", "abcdefghijklmnopqrstuvwxyz"),
        ("learn.sh", LEARN),
    ])
}

/// [`LEARN`], and then this.
fn then(more: &str) -> String {
    format!("{LEARN}{more}\n")
}

#[test]
fn who_asks_for_more_than_the_budget_gets_what_is_left_and_no_more() {
    let world = world(TRACK);
    let greedy = then("take 10\ntake 10\ntake 10");
    let found = world.experiment(&[("learn.sh", Some(&greedy))]);
    assert_eq!(found.standing, Standing::Merged, "{}", words(&found));
    let run = &found.screen.unwrap().figures.runs[0];
    assert_eq!(run.units, Some(20));
    // The champion's own runs are counted as they are.
    let history = world.place().history().unwrap();
    let (_, _, first) = &history.champion_runs[0];
    assert_eq!(first.runs[0].units, Some(10));
}

#[test]
fn a_budget_that_is_broken_is_a_loss_with_its_reason() {
    let world = world(TRACK);
    for (learn, why) in [
        (
            then("take 10\nsleep 30"),
            "its run had got all 20 letters and did not end within 1s after that",
        ),
        (
            then("yes | tr -d '\\n' || true"),
            "its run asked the server with a line of more than 65536 bytes",
        ),
        (
            then("take end"),
            "the server of its budget failed: it ended instead of an answer: \"no such question\"",
        ),
        // A cheat: what it got once it goes through again and again, and no meter counts that.
        (
            then("sleep 30"),
            "its run neither asked for more nor ended within 2s after it had got 10 of 20 letters, which expire then",
        ),
        // What is asked for and not read is given all the same, and who asks no more goes on.
        (
            then("echo 5\nexec >&2\nexit 4"),
            "its run exited with code 4",
        ),
    ] {
        let found = world.experiment(&[("learn.sh", Some(&learn))]);
        let loss = found.screen.clone().unwrap().figures.loss;
        assert!(
            matches!(loss, Some(Loss::Ended { .. } | Loss::Server { .. })),
            "{loss:?}"
        );
        assert!(words(&found).contains(why), "{learn}: {}", words(&found));
    }
}

#[test]
fn joules_need_a_counter() {
    let counted = silicon::energy::Sources::open()
        .scopes()
        .any(|scope| scope.how == silicon::energy::How::Counter);
    let world = world(&TRACK.replace("time = \"20s\"", "time = \"20s\"\njoules = 1e9"));
    let place = Place::open(&world.root).unwrap();
    let never = || false;
    let started = Engine::start(
        &place,
        &crate::world::start(),
        &never,
        &mut crate::world::Quiet,
    );
    match started {
        Ok(_) => assert!(counted, "no counter, and a track that limits joules began"),
        Err(EngineError::NoCounter(why)) => assert!(!counted && !why.is_empty(), "{why}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_the_champion_leaves_is_made_once_more_and_kept() {
    let world = world(TRACK);
    let broken = world.experiment(&[("learn.sh", Some("exit 4\n"))]).number;
    let greedy = then("take 10");
    world.experiment(&[("learn.sh", Some(&greedy))]);
    let place = world.place();
    let entries = || place.reader().unwrap().verify().unwrap().entries;
    let never = || false;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("made");
    let mut engine = Engine::start(&place, &crate::world::start(), &never, &mut Quiet).unwrap();
    let before = entries();
    let made = engine.make(None, &to).unwrap();
    assert_eq!(made.commit, *engine.history().champion.as_ref().unwrap());
    assert_eq!(std::fs::read_to_string(to.join("got")).unwrap().len(), 20);
    assert_eq!(made.figures.runs[0].units, Some(20));
    let again = engine.make(None, &folder.path().join("again")).unwrap();
    assert_eq!(made.reading, again.reading, "its seed is its own");
    assert_eq!(entries(), before, "nothing is recorded");
    // What is there is left as it is.
    let error = engine.make(None, &to).unwrap_err();
    assert!(matches!(error, EngineError::Io { .. }), "{error}");
    assert!(to.join("got").exists());
    let nothing = folder.path().join("nothing");
    let lost = engine.make(Some(broken), &nothing).unwrap();
    assert!(matches!(lost.reading, Err(Loss::Ended { .. })), "{lost:?}");
    assert!(!nothing.exists());
    let error = engine.make(Some(99), &nothing).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no experiment 99 with a change of its own; the latest is 2"
    );
}
