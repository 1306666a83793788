//! Which stretch of a text is scored, drawn from the seed.

use crate::random::Random;

/// A character of UTF-8 has at most three bytes behind its first.
const MOST_BEHIND: usize = 3;

/// A stretch of `bytes` bytes of a text, at a place that nobody knows who does not know the seed; all of a text that is shorter.
///
/// Its first byte is at a place drawn uniformly, moved forward to the next beginning of a character of UTF-8, and its end is moved back
/// likewise: no character is cut. Where no character begins within three bytes the text is none in UTF-8, and nothing is moved.
///
/// Both judges of a track draw with this function, so that both score the same bytes.
pub fn sample(text: &[u8], bytes: usize, seed: u64) -> &[u8] {
    let Some(free) = text.len().checked_sub(bytes) else {
        return text;
    };
    let start = Random::new(seed, "sample").below(free.saturating_add(1));
    let end = start + bytes;
    let begins = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
    let from = (start..=start + MOST_BEHIND).find(begins).unwrap_or(start);
    let to = (end.saturating_sub(MOST_BEHIND)..=end)
        .rev()
        .find(begins)
        .unwrap_or(end);
    text.get(from..to).unwrap_or_default()
}
