//! How a model file spells a token that is any bytes: as Python prints a bytes object, without its quotes.
//!
//! Printable ASCII stands for itself; `\t`, `\n`, `\r`, `\\`, `\'` and `\"` for what they are everywhere; `\xHH` for any byte. Bytes that
//! are not ASCII may also stand as they are. What begins like an escape and is none is an error: a guess would be a wrong id.

use crate::error::{TokenizerError, printable};

/// The bytes that token `id` stands for.
///
/// # Errors
/// [`TokenizerError::BadEscape`] at a backslash that begins none of the escapes above.
pub(crate) fn unescaped(id: u32, spelling: &[u8]) -> Result<Vec<u8>, TokenizerError> {
    let mut bytes = Vec::with_capacity(spelling.len());
    let mut rest = spelling;
    while let [first, tail @ ..] = rest {
        let (byte, after) = match first {
            b'\\' => escape(tail).ok_or_else(|| TokenizerError::BadEscape {
                id,
                offset: spelling.len() - rest.len(),
                text: printable(spelling),
            })?,
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

/// The byte that is escaped, and what follows; `text` begins behind the backslash.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some(match text {
        [b't', rest @ ..] => (b'\t', rest),
        [b'n', rest @ ..] => (b'\n', rest),
        [b'r', rest @ ..] => (b'\r', rest),
        [quoted @ (b'\\' | b'\'' | b'"'), rest @ ..] => (*quoted, rest),
        [b'x', high, low, rest @ ..] => ((digit(*high)? << 4 | digit(*low)?) as u8, rest),
        _ => return None,
    })
}
