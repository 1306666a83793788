//! "The smallest effect that a race would find": of races of exactly that effect about 80% are won, of half of it far fewer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use gate::{Better, Decision, Event, Gate, Kind, Reading, Settings, Want};

/// Park and Miller's generator and the sum of twelve uniforms: a test's own noise, not the crate's.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        self.0 as f64 / 2_147_483_647.0
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// A run of something better by `effect`.
    fn reading(&mut self, kind: Kind, effect: f64) -> Reading {
        match kind {
            Kind::Score => Reading::Score {
                public: 50.0 + effect + 0.2 * self.normal(),
                hidden: Some(50.0 + effect + 0.2 * self.normal()),
            },
            Kind::Timing => Reading::Block {
                log_ratio: effect + 0.03 * self.normal(),
            },
            Kind::Cases => {
                let mut cases = || {
                    (0..300)
                        .map(|case| f64::from(case % 5) + effect + self.normal())
                        .collect()
                };
                Reading::Cases {
                    public: cases(),
                    hidden: cases(),
                }
            }
        }
    }
}

/// Whether one race of `share` of the resolvable effect is won.
fn won(kind: Kind, share: f64, seed: u64) -> bool {
    let mut noise = Noise(seed * 7919 + 17);
    let settings = Settings {
        screen_sigma: -1000.0,
        ..Settings::with_unit(kind, Better::Higher, 1)
    };
    let mut gate = Gate::new(settings).unwrap();
    let mut effect = 0.0;
    let mut candidate = 0;
    loop {
        let event = match gate.next() {
            Want::Champion { .. } => Event::Champion(noise.reading(kind, 0.0)),
            Want::Same => Event::Same(noise.reading(kind, 0.0)),
            Want::Race { race, index } => Event::Race {
                race,
                index,
                reading: Some(noise.reading(kind, effect)),
            },
            Want::Proposal | Want::End => {
                // The noise of cases is known from the first comparison on.
                effect = gate.resolvable().map_or(0.0, |least| least * share);
                candidate += 1;
                Event::Screen {
                    candidate,
                    reading: Some(noise.reading(kind, effect)),
                }
            }
        };
        let known = effect > 0.0;
        for decision in gate.apply(event).unwrap() {
            match decision {
                Decision::RaceWon { .. } if known => return true,
                Decision::RaceLost { .. } if known => return false,
                _ => {}
            }
        }
    }
}

#[test]
fn the_resolvable_effect_is_found_in_four_of_five_races() {
    for kind in [Kind::Score, Kind::Timing, Kind::Cases] {
        let power = |share| (0..400).filter(|seed| won(kind, share, *seed)).count() as f64 / 400.0;
        let (whole, half) = (power(1.0), power(0.5));
        println!("{kind:?}: {whole} at the resolvable effect, {half} at half of it");
        assert!((0.7..=0.92).contains(&whole), "{kind:?}: {whole}");
        assert!(half <= 0.45, "{kind:?}: {half}");
    }
}
