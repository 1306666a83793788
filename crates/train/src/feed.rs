//! Text for a track's candidate: windows that a sealed server hands out and an engine counts.
//!
//! The candidate asks on its standard output, `windows COUNT BYTES`, and is answered on its standard input: a line `UNITS BYTES LEFT`, and
//! then so many bytes, windows one behind the other, each from a place of the text that the server drew. A unit is a raw byte, repeats
//! included. Where fewer are left than were asked for there are fewer windows, and none in the end. Byte 0 stands before each document.
//! Whatever a candidate says to people belongs on standard error.

use std::io::{self, BufRead, BufReader, Read, Write};

/// Both ends, as the candidate sees them.
#[derive(Debug)]
pub struct Feed<R, W> {
    answers: R,
    questions: W,
    left: u64,
}

/// The most bytes of one answer: what is asked for is never more.
pub const MOST_BYTES: usize = 16 << 20;

impl Feed<BufReader<io::Stdin>, io::Stdout> {
    /// Standard input and output of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(BufReader::new(io::stdin()), io::stdout())
    }
}

impl<R: BufRead, W: Write> Feed<R, W> {
    /// Over these two.
    pub const fn new(answers: R, questions: W) -> Self {
        Self {
            answers,
            questions,
            left: u64::MAX,
        }
    }

    /// Units that were left after the last answer.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Up to `count` windows of `bytes` bytes, one behind the other; nothing when the budget is spent.
    ///
    /// # Errors
    /// The server's end is closed, or its answer is none.
    pub fn windows(&mut self, count: usize, bytes: usize) -> io::Result<Vec<u8>> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let asked = count.saturating_mul(bytes);
        if asked == 0 || asked > MOST_BYTES {
            let why = format!("{count} windows of {bytes} bytes: 1 to {MOST_BYTES} in all");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        writeln!(self.questions, "windows {count} {bytes}")?;
        self.questions.flush()?;
        let mut line = String::new();
        (&mut self.answers).take(64).read_line(&mut line)?;
        let words: Vec<u64> = line
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [units, came, left] = words[..] else {
            return Err(wrong(format!("expected `UNITS BYTES LEFT`, came {line:?}")));
        };
        self.left = left;
        if units == 0 {
            return Ok(Vec::new());
        }
        let came = usize::try_from(came).unwrap_or(usize::MAX);
        if came > asked {
            return Err(wrong(format!("asked for {asked} bytes, came {came}")));
        }
        let mut text = vec![0; came];
        self.answers.read_exact(&mut text)?;
        // A shorter last one is of no use.
        text.truncate(came / bytes * bytes);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Feed;

    #[test]
    fn windows_are_what_the_answer_holds() {
        let answers = b"6 6 4\nabcdef4 4 0\nghij0 0 0\n";
        let mut questions = Vec::new();
        let mut feed = Feed::new(&answers[..], &mut questions);
        assert_eq!(feed.windows(2, 3).unwrap(), b"abcdef");
        assert_eq!(feed.left(), 4);
        assert_eq!(feed.windows(2, 3).unwrap(), b"ghi");
        assert_eq!(feed.windows(2, 3).unwrap(), b"");
        assert_eq!(questions, b"windows 2 3\nwindows 2 3\nwindows 2 3\n");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for answer in [&b""[..], b"1 2\n", b"9 9 1\nabcdefghi", b"3 3 1\nab"] {
            let mut feed = Feed::new(answer, Vec::new());
            assert!(feed.windows(1, 3).is_err(), "{answer:?}");
        }
        let mut feed = Feed::new(&b""[..], Vec::new());
        assert!(feed.windows(usize::MAX, 2).is_err());
    }
}
