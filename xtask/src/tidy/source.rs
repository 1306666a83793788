//! Splits a Rust file into its code and its comments.
//!
//! Both halves are as long as the file and keep its line breaks; whatever belongs to the other half, and the inside of every
//! string and character literal, is blanked. A byte offset therefore means the same place in all three texts, and a rule such
//! as "no `unsafe` here" sees neither prose nor strings.
//!
//! This is a lexer for five things only (line and nested block comments, plain and raw strings, characters as opposed to
//! lifetimes); it does not understand macros. Source: the Rust reference, chapters "Comments" and "Tokens".

/// A Rust file taken apart.
#[derive(Debug)]
pub struct Source {
    /// The file with comments and the insides of literals blanked.
    pub code: String,
    /// The file with everything but comments blanked.
    pub comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Source {
    /// Takes `text` apart. Any text is accepted: a literal that never closes runs to the end.
    pub fn split(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut code, mut comments) = (blank(bytes), blank(bytes));
        let mut at = 0;
        while at < bytes.len() {
            let (part, length) = next(bytes, at);
            let end = (at + length).min(bytes.len());
            match part {
                Part::Code => code[at..end].copy_from_slice(&bytes[at..end]),
                Part::Comment => comments[at..end].copy_from_slice(&bytes[at..end]),
                Part::Literal => {}
            }
            at = end;
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            code: text(code),
            comments: text(comments),
        }
    }
}

/// Line numbers, counted from 1, of every place where `word` stands on its own (`_`, letters and digits join a word).
pub fn lines_with_word<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    words(text, word).map(|(line, _)| line)
}

/// Line numbers of every call of the macro `name`.
pub fn lines_with_macro<'t>(code: &'t str, name: &'t str) -> impl Iterator<Item = usize> + 't {
    // `name != x` is a comparison, not a call.
    words(code, name)
        .filter(|(_, rest)| rest.starts_with('!') && !rest.starts_with("!="))
        .map(|(line, _)| line)
}

/// Each place where `word` stands on its own: its line, and the text behind it.
pub fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = (usize, &'t str)> + 't {
    text.lines().enumerate().flat_map(move |(index, line)| {
        line.match_indices(word).filter_map(move |(at, _)| {
            let rest = &line[at + word.len()..];
            let joined = line[..at].ends_with(joins_word) || rest.starts_with(joins_word);
            (!joined).then_some((index + 1, rest))
        })
    })
}

fn joins_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .map(|&byte| if byte == b'\n' { b'\n' } else { b' ' })
        .collect()
}

/// What starts at `at`, and how many bytes it takes (at least one).
fn next(bytes: &[u8], at: usize) -> (Part, usize) {
    let rest = &bytes[at..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => (Part::Comment, line_length(rest)),
        b'/' if rest.starts_with(b"/*") => (Part::Comment, block_length(rest)),
        b'"' => (Part::Literal, string_length(rest)),
        b'\'' => character_length(rest).map_or((Part::Code, 1), |length| (Part::Literal, length)),
        b'r' | b'b' | b'c' if at == 0 || !is_word_byte(bytes[at - 1]) => {
            raw_string_length(rest).map_or((Part::Code, 1), |length| (Part::Literal, length))
        }
        _ => (Part::Code, 1),
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(rest.len())
}

fn block_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` if the quote opens a lifetime or a label.
fn character_length(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    if first == b'\\' {
        // The escaped byte itself may be a quote.
        let close = rest.get(3..)?.iter().position(|&byte| byte == b'\'')?;
        return Some(close + 4);
    }
    let width = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; `None` for anything else, such as a name that starts with `r`.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let prefix = if rest[0] == b'r' { 1 } else { 2 };
    if rest.get(prefix - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &rest[open + 1..];
    let length = body
        .windows(close.len())
        .position(|window| window == close)
        .map(|at| at + close.len());
    Some(open + 1 + length.unwrap_or(body.len()))
}

#[cfg(test)]
mod tests;
