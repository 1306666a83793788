//! Text for a track's candidate: windows that a sealed server hands out and an engine counts.
//!
//! The candidate asks on its standard output, `windows COUNT BYTES`, and is answered on its standard input: a line `UNITS BYTES LEFT`, and
//! then so many bytes, windows one behind the other, each from a place of the text that the server drew. A unit is a raw byte, repeats
//! included. Where fewer are left than were asked for there are fewer windows, and none in the end. Byte 0 stands before each document.
//! Whatever a candidate says to people belongs on standard error.

use std::io::{self, BufRead, BufReader, Read, Write};

use corpus::Random;

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

/// The server's side: answers questions with windows of `text` until there are no more, each from a place drawn from `seed`.
///
/// An engine puts what is left of the budget before each question: `LEFT windows COUNT BYTES`. The answer is `UNITS BYTES` and the bytes. When
/// less is left than one window, all of it is given, so that a budget ends.
///
/// # Errors
/// A question is none, a window is longer than the text, or an end is closed.
pub fn serve(
    text: &[u8],
    seed: u64,
    questions: &mut impl BufRead,
    answers: &mut impl Write,
) -> io::Result<()> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut random = Random::of(seed ^ 0x5741_4e44_4f57_5321, 0);
    let mut line = String::new();
    loop {
        line.clear();
        if questions.take(256).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let numbers = match words[..] {
            [left, "windows", count, bytes] => [left, count, bytes].map(str::parse::<usize>),
            _ => {
                return Err(wrong(format!(
                    "expected `LEFT windows COUNT BYTES`, came {line:?}"
                )));
            }
        };
        let [Ok(left), Ok(count), Ok(bytes)] = numbers else {
            return Err(wrong(format!("expected three whole numbers in {line:?}")));
        };
        if count == 0 || bytes == 0 || count.saturating_mul(bytes) > MOST_BYTES {
            let why = format!("{count} windows of {bytes} bytes: 1 to {MOST_BYTES} in all");
            return Err(wrong(why));
        }
        let (count, bytes) = match left / bytes {
            0 => (1, left),
            fit => (count.min(fit), bytes),
        };
        let Some(places) = (text.len() + 1)
            .checked_sub(bytes)
            .filter(|places| *places > 0)
        else {
            let why = format!("a window of {bytes} bytes of a text of {}", text.len());
            return Err(wrong(why));
        };
        writeln!(answers, "{} {}", count * bytes, count * bytes)?;
        for _ in 0..count {
            let start = random.below(places as u64) as usize;
            answers.write_all(&text[start..start + bytes])?;
        }
        answers.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Feed, serve};

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
    fn a_server_gives_windows_of_its_text_and_never_more_than_is_left() {
        let text: Vec<u8> = (0..200).collect();
        let ask = |questions: &[u8]| {
            let mut answers = Vec::new();
            serve(&text, 3, &mut &questions[..], &mut answers).map(|()| answers)
        };
        let answers = ask(b"100 windows 2 10\n25 windows 4 10\n5 windows 4 10\n").unwrap();
        let mut rest = &answers[..];
        for (count, bytes) in [(2, 10), (2, 10), (1, 5)] {
            let head = format!("{0} {0}\n", count * bytes);
            rest = rest.strip_prefix(head.as_bytes()).unwrap();
            let (given, after) = rest.split_at(count * bytes);
            for window in given.chunks(bytes) {
                assert!(window.windows(2).all(|two| two[1] == two[0] + 1));
            }
            rest = after;
        }
        assert!(rest.is_empty());
        assert_eq!(
            ask(b"9 windows 1 3\n").unwrap(),
            ask(b"9 windows 1 3\n").unwrap()
        );
        // The whole text is one window, and none is longer.
        assert_eq!(ask(b"999 windows 1 200\n").unwrap()[8..], text);
        for question in [
            &b"999 windows 1 201\n"[..],
            b"9 lines 1 3\n",
            b"9 windows -1 3\n",
            b"9 windows 0 3\n",
            b"99999999999 windows 9999999 9999999\n",
            b"9 windows 1",
        ] {
            assert!(ask(question).is_err(), "{question:?}");
        }
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
