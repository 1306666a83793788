//! Bytes in, whole characters out.
//!
//! A token may hold half a character, so what a model has produced so far need not be UTF-8. This holds back at most three
//! bytes: the beginning of a character that the next token may finish. Bytes that no continuation can repair become U+FFFD
//! at once (one per maximal invalid sequence, as the Unicode standard recommends), and so does what is left at the end.

/// Turns a stream of bytes into a stream of text.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    held: Vec<u8>,
    ready: String,
}

impl Utf8Stream {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and returns the text that is complete now; often empty.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        self.ready.clear();
        self.held.extend(bytes);
        let mut start = 0;
        loop {
            match std::str::from_utf8(&self.held[start..]) {
                Ok(text) => {
                    self.ready.push_str(text);
                    self.held.clear();
                    break;
                }
                Err(error) => {
                    let valid = start + error.valid_up_to();
                    self.ready
                        .push_str(&String::from_utf8_lossy(&self.held[start..valid]));
                    start = valid;
                    let Some(invalid) = error.error_len() else {
                        self.held.drain(..start);
                        break;
                    };
                    self.ready.push(char::REPLACEMENT_CHARACTER);
                    start += invalid;
                }
            }
        }
        &self.ready
    }

    /// Ends the stream: an unfinished character becomes U+FFFD. The stream can be used again.
    pub fn finish(&mut self) -> &str {
        self.ready.clear();
        if !self.held.is_empty() {
            self.held.clear();
            self.ready.push(char::REPLACEMENT_CHARACTER);
        }
        &self.ready
    }
}

#[cfg(test)]
mod tests;
