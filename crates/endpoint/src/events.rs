//! Server-sent events, as the HTML standard defines them, of which only `data` matters here.
//!
//! - A line ends with LF, CR LF or CR. `data:` lines of an event are joined by LF; an empty line ends it.
//! - A line that begins with a colon is a comment; other fields are skipped.
//! - What stands unfinished when the stream ends is no event, but many servers forget the last empty line, so it is taken as one.
//!
//! Strangers write these streams: a line or an event beyond [`MAX_BYTES`] ends the reading, and bytes that are not UTF-8 are replaced.

use std::io::{self, BufRead};

/// The largest event that is read; real ones have some hundred bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An event without end.
    #[error("an event of more than {MAX_BYTES} bytes")]
    TooLong,
}

/// The data of each event of a stream.
pub struct Events<R> {
    reader: R,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_return: bool,
    ended: bool,
}

impl<R: BufRead> Events<R> {
    /// Of bytes that come as they come.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            after_return: false,
            ended: false,
        }
    }

    fn event(&mut self) -> Result<Option<String>, StreamError> {
        let mut data: Option<String> = None;
        let mut line = Vec::new();
        while !self.ended {
            let is_whole = self.line(&mut line)?;
            let is_end_of_event = line.is_empty();
            if let Some(value) = field(&line) {
                let data = data.get_or_insert_default();
                if data.len() + value.len() > MAX_BYTES {
                    return Err(StreamError::TooLong);
                }
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(&value);
            }
            self.ended = !is_whole;
            if is_end_of_event && data.is_some() {
                break;
            }
        }
        Ok(data)
    }

    /// The next line without its end; `false` if the stream ended in it.
    fn line(&mut self, line: &mut Vec<u8>) -> Result<bool, StreamError> {
        line.clear();
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            if bytes.is_empty() {
                return Ok(false);
            }
            if self.after_return {
                self.after_return = false;
                if bytes[0] == b'\n' {
                    self.reader.consume(1);
                    continue;
                }
            }
            let end = bytes.iter().position(|&b| b == b'\n' || b == b'\r');
            let upto = end.unwrap_or(bytes.len());
            if line.len() + upto > MAX_BYTES {
                return Err(StreamError::TooLong);
            }
            line.extend_from_slice(&bytes[..upto]);
            if let Some(end) = end {
                self.after_return = bytes[end] == b'\r';
                self.reader.consume(end + 1);
                return Ok(true);
            }
            self.reader.consume(upto);
        }
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = Result<String, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.event().transpose()
    }
}

/// The value of a `data` line.
fn field(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"data")?;
    let value = match rest {
        [] => rest,
        [b':', b' ', value @ ..] | [b':', value @ ..] => value,
        _ => return None,
    };
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests;
