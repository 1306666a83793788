//! Where turns come from: a line editor at a terminal, plain lines from a pipe.
//!
//! The editor is rustyline, without its optional parts: it edits wide and combined characters properly, which a cooked
//! terminal does not, and it is a crate of few dependencies. History lives in memory only: what was said stays private.

use std::{io, path::Path};

use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{
    failure::Failure,
    terminal::{Style, Terminal},
};

/// What came.
pub enum Line {
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    End,
}

/// The source.
pub enum Lines {
    Person {
        editor: Box<DefaultEditor>,
        prompt: String,
    },
    Pipe,
}

impl Lines {
    /// Chooses by what the streams are.
    ///
    /// # Errors
    /// The terminal can't be used.
    pub fn open(terminal: &Terminal) -> Result<Self, Failure> {
        if !(terminal.input && terminal.output) {
            return Ok(Self::Pipe);
        }
        let editor = DefaultEditor::new().map_err(refused)?;
        Ok(Self::Person {
            editor: Box::new(editor),
            prompt: terminal.data().paint(Style::Prompt, "> "),
        })
    }

    /// Whether a person types.
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// The next line, with those that it goes on in.
    ///
    /// # Errors
    /// The stream can't be read, or holds something else than UTF-8.
    pub fn next(&mut self) -> Result<Line, Failure> {
        let mut whole = String::new();
        loop {
            let line = match self.one(whole.is_empty())? {
                Line::Text(line) => line,
                Line::End if !whole.is_empty() => return Ok(Line::Text(whole)),
                other => return Ok(other),
            };
            match line.strip_suffix('\\') {
                Some(begun) => {
                    whole.push_str(begun);
                    whole.push('\n');
                }
                None => {
                    whole.push_str(&line);
                    return Ok(Line::Text(whole));
                }
            }
        }
    }

    fn one(&mut self, first: bool) -> Result<Line, Failure> {
        match self {
            Self::Pipe => piped(),
            Self::Person { editor, prompt } => {
                match editor.readline(if first { prompt.as_str() } else { ". " }) {
                    Ok(line) => {
                        // A full history is no reason to stop.
                        let _kept = editor.add_history_entry(&line);
                        Ok(Line::Text(line))
                    }
                    Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(error) => Err(refused(error)),
                }
            }
        }
    }
}

fn piped() -> Result<Line, Failure> {
    let mut bytes = Vec::new();
    let input = Path::new("standard input");
    let read = io::BufRead::read_until(&mut io::stdin().lock(), b'\n', &mut bytes);
    read.map_err(|source| Failure::Read {
        path: input.to_owned(),
        source,
    })?;
    if bytes.is_empty() {
        return Ok(Line::End);
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::Content {
        path: input.to_owned(),
        why: "a line is not UTF-8 text; convert it first".to_owned(),
    })?;
    Ok(Line::Text(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn refused(error: ReadlineError) -> Failure {
    Failure::Read {
        path: "the terminal".into(),
        source: io::Error::other(error),
    }
}
