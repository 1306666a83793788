//! The default text: the State of the Union addresses, which come with the program.

use std::{io::Read as _, path::Path};

use ruzstd::decoding::StreamingDecoder;
use train::data::{self, Document};

use crate::failure::Failure;

/// `data/sotu`; 2.5 MB, public domain.
const COMPRESSED: &[u8] = include_bytes!("../../../../../data/sotu/sotu.jsonl.zst");

/// All of them, in the order of years.
pub fn addresses() -> Result<Vec<Document>, Failure> {
    let broken =
        |reason: String| Failure::Broken(format!("the corpus that comes with sprag: {reason}"));
    let mut text = String::new();
    StreamingDecoder::new(COMPRESSED)
        .map_err(|error| broken(error.to_string()))?
        .read_to_string(&mut text)
        .map_err(|error| broken(error.to_string()))?;
    Ok(data::lines(Path::new("sotu.jsonl"), &text)?)
}

#[cfg(test)]
mod tests {
    use super::addresses;

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
