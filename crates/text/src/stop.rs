//! Stop strings in a stream of text.
//!
//! Text is shown as it is generated, but a stop string must not be shown, not even its beginning. So the longest end of the
//! text so far that some stop string begins with is held back until the next text decides.
//!
//! The stop string that is *complete first* wins, and of two complete at the same character the longer: the answer is the
//! same however the text is cut into tokens. At most the longest stop string less one byte is held back.

/// Watches a stream of text for the first of several strings.
#[derive(Clone, Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

/// What a piece of text led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Text that may be shown now.
    pub text: String,
    /// The stop string that ended the stream (an index into the list given to [`StopMatcher::new`]). Text behind it is gone.
    pub stop: Option<usize>,
}

impl StopMatcher {
    /// Watches for `stops`. Empty strings never match.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            stops: stops.into_iter().map(Into::into).collect(),
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes the next text. After a stop string was found, everything is swallowed.
    pub fn push(&mut self, text: &str) -> Checked {
        if self.stopped {
            return Checked {
                text: String::new(),
                stop: None,
            };
        }
        self.held.push_str(text);
        let found = self
            .stops
            .iter()
            .enumerate()
            .filter(|(_, stop)| !stop.is_empty())
            .filter_map(|(which, stop)| {
                self.held
                    .find(stop.as_str())
                    .map(|start| (start + stop.len(), start, which))
            });
        if let Some((_, start, which)) = found.min() {
            self.stopped = true;
            self.held.truncate(start);
            return Checked {
                text: std::mem::take(&mut self.held),
                stop: Some(which),
            };
        }
        let undecided = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let held = self.held.split_off(self.held.len() - undecided);
        Checked {
            text: std::mem::replace(&mut self.held, held),
            stop: None,
        }
    }

    /// Ends the stream and returns the text that was held back for nothing.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The longest proper beginning of `stop` that `text` ends with, in bytes.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).rev();
    starts
        .into_iter()
        .find(|&length| text.ends_with(&stop[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
