//! What ends a candidate before it has cost its whole run: a smoke check, and a curve that is hopeless beside the champion's; and a second
//! judge that repeats a figure of the first.

use crate::world::{World, words};
use ratchet::{Place, proposer::Standing, trial::Loss};

const TRACK: &str = r#"
name = "t"
[artefact]
mutable = ["learn.sh"]
sealed = ["judge.sh", "second.sh"]
[smoke]
command = ["sh", "learn.sh", "smoke"]
time = "5s"
[run]
command = ["sh", "learn.sh"]
time = "20s"
output = ["got"]
[run.curve]
file = "curve.jsonl"
from = 0.3
worse = 0.5
[judge]
command = ["sh", "judge.sh"]
metric = "m"
better = "higher"
kind = "score"
[judge.second]
command = ["sh", "second.sh"]
metric = "part"
within = 0.001
[gate]
unit = 1
"#;

/// Reaches LEVEL, by way of its half, and leaves how many seconds it has.
const LEARN: &str = r#"
LEVEL=10
test "$1" = smoke && exit 0
test "$SPRAG_SECONDS" = 20 || exit 9
echo "{\"done\": 0.25, \"value\": $(( LEVEL / 2 ))}" >> curve.jsonl
echo "{\"done\": 0.5, \"value\": $LEVEL}" >> curve.jsonl
test $LEVEL -ge 10 || sleep 15
echo "{\"done\": 1, \"value\": $LEVEL}" >> curve.jsonl
echo $LEVEL > got
"#;

const JUDGE: &str = r#"
value=$(cat "$SPRAG_ARTEFACT/got")
last=${SPRAG_SEED#"${SPRAG_SEED%????}"}
echo "{\"value\": $(( value * 3000 + 1$last - 10000 )), \"part\": $value}" > "$SPRAG_RESULT"
"#;

const SECOND: &str = r#"
value=$(cat "$SPRAG_ARTEFACT/got")
test "$value" = 33 && value=34
echo "{\"value\": $value}" > "$SPRAG_RESULT"
"#;

fn world() -> World {
    World::new(&[
        ("track.toml", TRACK),
        ("judge.sh", JUDGE),
        ("second.sh", SECOND),
        ("learn.sh", LEARN),
    ])
}

fn learn(level: u32) -> String {
    LEARN.replace("LEVEL=10", &format!("LEVEL={level}"))
}

#[test]
fn a_hopeless_run_is_ended_early_and_its_curve_is_kept() {
    let world = world();
    let found = world.experiment(&[("learn.sh", Some(&learn(4)))]);
    assert_eq!(found.standing, Standing::Refused, "{}", words(&found));
    let screen = found.screen.unwrap();
    let run = &screen.figures.runs[0];
    // Half of its 20 seconds and more would have been slept away.
    assert!(run.seconds < 10.0, "{}", run.seconds);
    assert_eq!(run.curve, [(0.25, 2.0), (0.5, 4.0)]);
    let loss = screen.figures.loss.unwrap();
    assert_eq!(
        loss,
        Loss::Hopeless {
            done: 0.5,
            value: 4.0,
            champion: 10.0
        }
    );
    assert!(loss.to_string().contains("at 50% of its budget"), "{loss}");
    // What is worse by less than the half that is allowed goes on.
    let better = world.experiment(&[("learn.sh", Some(&learn(20)))]);
    assert_eq!(better.standing, Standing::Merged, "{}", words(&better));
    let curve = &better.screen.unwrap().figures.runs[0].curve;
    assert_eq!(curve.len(), 3);
}

#[test]
fn what_fails_its_smoke_check_never_runs() {
    let world = world();
    let broken = LEARN.replace(
        "= smoke && exit 0",
        "= smoke && echo 'no such layer' >&2 && exit 3",
    );
    let found = world.experiment(&[("learn.sh", Some(&broken))]);
    let figures = found.screen.unwrap().figures;
    assert!(figures.runs.is_empty());
    let loss = figures.loss.unwrap().to_string();
    assert!(
        loss.contains("its smoke") && loss.contains("no such layer"),
        "{loss}"
    );
}

#[test]
fn a_second_judge_may_repeat_a_figure_beside_the_metric() {
    let world = world();
    let found = world.experiment(&[("learn.sh", Some(&learn(33)))]);
    let loss = found.screen.unwrap().figures.loss;
    assert_eq!(
        loss,
        Some(Loss::Disagree {
            judge: 33.0,
            second: 34.0,
            within: 0.001
        })
    );
}

#[test]
fn curves_that_make_no_sense_are_refused_by_their_field() {
    for (from, to, name) in [
        ("\"curve.jsonl\"", "\"../curve.jsonl\"", "run.curve.file"),
        ("from = 0.3", "from = 1.5", "run.curve.from"),
        ("worse = 0.5", "worse = 0", "run.curve.worse"),
    ] {
        let world = World::new(&[
            ("track.toml", &TRACK.replace(from, to)),
            ("judge.sh", JUDGE),
            ("second.sh", SECOND),
            ("learn.sh", LEARN),
        ]);
        let error = Place::open(&world.root).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}
