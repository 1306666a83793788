//! The default text: the State of the Union addresses, which come with the program; and their parts on the track `train`.
//!
//! A candidate learns from those up to 2013. Of the last eight, four are public validation and four hidden, each cut to 128 KiB.

use std::path::Path;

use corpus::{Document, Documents};

use crate::failure::Failure;

/// `data/sotu`; 2.5 MB, public domain.
const COMPRESSED: &[u8] = include_bytes!("../../../data/sotu/sotu.jsonl.zst");

/// All of them, in the order of years.
pub fn addresses() -> Result<Vec<Document>, Failure> {
    let documents = Documents::of_bytes(COMPRESSED, Path::new("sotu.jsonl.zst"), corpus::FIELD)?;
    Ok(documents.collect::<Result<_, _>>()?)
}

/// A part of the addresses on the track `train`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Train,
    /// Four whose score proposers may see, rounded.
    Public,
    /// The last four.
    Hidden,
}

/// Of the public and of the hidden part.
pub const SPLIT_BYTES: usize = 128 << 10;
/// Addresses of each of these.
const HELD_OUT: usize = 4;

/// The part's text, byte 0 before each address.
pub fn part(part: Part) -> Result<Vec<u8>, Failure> {
    let all = addresses()?;
    let (train, held_out) = all.split_at(all.len() - 2 * HELD_OUT);
    let (public, hidden) = held_out.split_at(HELD_OUT);
    let chosen = match part {
        Part::Train => train,
        Part::Public => public,
        Part::Hidden => hidden,
    };
    let mut text = String::new();
    for one in chosen {
        text.push('\0');
        text.push_str(&one.text);
    }
    if part != Part::Train {
        let most = text.floor_char_boundary(SPLIT_BYTES);
        text.truncate(most);
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Part, SPLIT_BYTES, addresses, part};

    #[test]
    fn parts_are_apart_and_of_the_size_that_is_told() {
        let [train, public, hidden] =
            [Part::Train, Part::Public, Part::Hidden].map(|one| part(one).expect("the corpus"));
        for split in [&public, &hidden] {
            assert!((SPLIT_BYTES - 3..=SPLIT_BYTES).contains(&split.len()));
            assert_eq!(split[0], 0);
            // No stretch of it is in what is learned from.
            let stretch = &split[60_000..60_100];
            assert!(!train.windows(100).any(|window| window == stretch));
        }
        assert_ne!(public, hidden);
        assert_eq!(train.iter().filter(|&&byte| byte == 0).count(), 225);
    }

    #[test]
    fn there_are_233_addresses_of_10_7_million_bytes() {
        let all = addresses().expect("the corpus");
        assert_eq!(all.len(), 233);
        let bytes: usize = all.iter().map(|one| one.text.len()).sum();
        assert_eq!(bytes / 1000, 10_761);
        let held_out: usize = all[229..].iter().map(|one| one.text.len()).sum();
        assert!(held_out >= 128 << 10, "{held_out}");
        assert!(all[0].text.starts_with("Fellow-Citizens of the Senate"));
    }
}
