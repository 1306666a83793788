//! Plans: what is compared, and that no seed brings a plan beyond its window.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn each_window_is_compared_once_at_most_and_within_itself(
        seed: u64,
        lengths in proptest::collection::vec(8_usize..80, 3..40),
        blind in 8_usize..400,
    ) {
        let windows: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let windows: Vec<&[u8]> = windows.iter().map(Vec::as_slice).collect();
        let plan = Plan::draw(&windows, blind, &mut Random::new(seed, "test"));
        let mut seen: Vec<usize> = plan.tests.iter().map(|(window, _)| *window).collect();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), plan.tests.len());
        let mut kinds = [0, 0, 0];
        for (window, test) in plan.tests {
            // The row behind the last byte that is sent is the window's last.
            let last = windows[window].len() - 1;
            match test {
                Test::Repeat => kinds[0] += 1,
                Test::Change { from } => {
                    kinds[1] += 1;
                    prop_assert!((1..last).contains(&from));
                }
                Test::Blind { from, count } => {
                    kinds[2] += count;
                    prop_assert!(count > 0 && from + count <= last);
                }
            }
        }
        prop_assert!(kinds.iter().all(|&kind| kind > 0));
        prop_assert!(kinds[2] <= blind);
    }
}

#[test]
fn a_changed_window_differs_from_its_place_on() {
    let window: Vec<u8> = (0..40).collect();
    for seed in 0..200 {
        let other = changed(&window, 7, &mut Random::new(seed, "test"));
        assert_eq!(other.len(), 39);
        assert_eq!(other[..7], window[..7]);
        assert_ne!(other[7], window[7]);
    }
}
