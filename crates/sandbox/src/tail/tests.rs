//! Every cut of every length.

use super::*;

#[test]
fn the_last_bytes_stay_however_they_arrive() {
    let text: Vec<u8> = (0..100).collect();
    for keep in [0, 1, 7, 99, 100, 200] {
        for piece in [1, 3, 50, 100] {
            let mut ring = Ring::keeping(keep);
            text.chunks(piece).for_each(|chunk| ring.push(chunk));
            assert_eq!(ring.total(), 100);
            let tail = ring.into_tail();
            assert_eq!(tail.bytes, text[100 - keep.min(100)..], "{keep} {piece}");
        }
    }
}
