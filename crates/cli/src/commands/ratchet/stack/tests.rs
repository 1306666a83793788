//! The track's knobs and the first profile fit each other: a proposer that names a line which is not there could never propose.

use std::path::Path;

use kernels::RuntimeProfile;
use ratchet::track::{Domain, ProposerKind, Track};
use runtime::profile;

#[test]
fn every_value_of_every_knob_makes_a_profile() {
    let track = Track::parse(&super::track(Path::new("/a model.gguf"))).unwrap();
    let first = super::first_profile();
    assert_eq!(profile::read(&first).unwrap(), RuntimeProfile::default());
    for proposer in &track.proposers {
        let ProposerKind::Search { knobs, .. } = &proposer.kind else {
            continue;
        };
        for knob in knobs {
            let values = match &knob.domain {
                Domain::Values(values) => values.clone(),
                Domain::Whole { low, high, .. } => vec![low.to_string(), high.to_string()],
                Domain::Real { low, high, .. } => vec![low.to_string(), high.to_string()],
            };
            for value in values {
                let text = knob.place.replace(&first, &value).unwrap();
                let what = format!("{}: {} with {value}", proposer.name, knob.place.line());
                assert!(profile::read(&text).is_ok(), "{what}");
            }
        }
    }
}
