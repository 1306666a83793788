//! Windows: side by side, everywhere, of every length.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_byte_is_in_two_windows(seed: u64, spare in 0_usize..300, count in 1_usize..12, a in 1_usize..20, b in 1_usize..20) {
        let needed: usize = [a, b].iter().cycle().take(count).sum();
        // Every place has its own number, as two bytes.
        let text: Vec<u8> = (0..needed + spare).map(|i| i as u8).collect();
        let found = windows(&text, count, &[a, b], &mut Random::new(seed, "test")).unwrap();
        let mut places: Vec<usize> = found
            .iter()
            .flat_map(|window| {
                let from = window.as_ptr() as usize - text.as_ptr() as usize;
                from..from + window.len()
            })
            .collect();
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(all, needed);
        prop_assert_eq!(places.len(), needed);
    }
}

#[test]
fn a_text_that_is_too_short_is_an_error() {
    let error = windows(&[0; 99], 10, &[10], &mut Random::new(1, "test")).unwrap_err();
    assert!(matches!(
        error,
        JudgeError::Text {
            windows: 10,
            window_bytes: 10,
            bytes: 99
        }
    ));
}

#[test]
fn every_place_is_reached() {
    let text: Vec<u8> = (0..50).collect();
    let mut first: Vec<u8> = (0..500)
        .map(|seed| windows(&text, 1, &[10], &mut Random::new(seed, "test")).unwrap()[0][0])
        .collect();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), 41);
}
