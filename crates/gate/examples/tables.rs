//! Tuning only.
use gate::simulate::{Plan, Shape};
use gate::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let kind = match args[1].as_str() {
        "score" => Kind::Score,
        "timing" => Kind::Timing,
        _ => Kind::Cases,
    };
    let runs: u32 = args[2].parse().unwrap();
    let w1 = args[3] == "w1";
    let shape = match args[4].as_str() {
        "n" => Shape::Normal,
        "t" => Shape::Student3,
        _ => Shape::Drift,
    };
    let sd: f64 = args.get(5).map_or(0.03, |a| a.parse().unwrap());
    for effect in [0.0, 1.0, 2.0, 4.0] {
        let mut plan = Plan::of(kind);
        plan.runs = runs;
        plan.effect_sigma = effect;
        plan.noise = shape;
        plan.block_spread = sd;
        if effect == 0.0 {
            plan.share_of_true = 0.0;
        }
        plan.settings.ends_with_first_epoch = w1;
        for kv in args.iter().skip(6) {
            let (k, v) = kv.split_once('=').unwrap();
            match k {
                "J" => {
                    let s = Settings::with_unit(kind, Better::Lower, v.parse().unwrap());
                    plan.settings = Settings {
                        ends_with_first_epoch: w1,
                        ..s
                    }
                }
                "screen" => plan.settings.screen_sigma = v.parse().unwrap(),
                "same" => plan.settings.same_blocks = v.parse().unwrap(),
                "race" => plan.settings.race_runs = v.parse().unwrap(),
                "strict" => plan.settings.strict = v == "1",
                "confirm" => plan.settings.confirm_runs = v.parse().unwrap(),
                "shared" => plan.shared = v.parse().unwrap(),
                "most" => plan.settings.pool_most = v.parse().unwrap(),
                "first" => plan.settings.pool_first = v.parse().unwrap(),
                "base" => plan.settings.baseline_runs = v.parse().unwrap(),
                "q" => plan.settings.q = v.parse().unwrap(),
                _ => panic!(),
            }
        }
        let table = plan.simulate().unwrap().to_string();
        for (i, l) in table.lines().enumerate() {
            if i == 3 || (i == 2 && args[4] == "n") || (i == 1 && effect == 0.0) {
                println!("{effect} {l}");
            }
        }
    }
}
