//! The two output streams: which of them are terminals, whether they get colour, and what may be written to them.
//!
//! Colour is for terminals only, and not when `NO_COLOR` is set (to anything but nothing) or `TERM` is `dumb`. What a model
//! writes is foreign: on a terminal its control characters are shown as U+FFFD, so that it cannot move the cursor, set the
//! window's title or answer for the user. Into a pipe it goes as it is.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use crate::failure::Failure;

/// What the streams are.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Standard input is a person.
    pub input: bool,
    /// Standard output is a terminal.
    pub output: bool,
    /// Standard error is a terminal.
    pub errors: bool,
    colour: bool,
}

/// What a piece of text is; its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Error,
    Hint,
    Heading,
    Faint,
    Prompt,
}

/// Colours text, or leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Terminal {
    /// Asks the system and the environment.
    pub fn detect() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            input: io::stdin().is_terminal(),
            output: io::stdout().is_terminal(),
            errors: io::stderr().is_terminal(),
            colour: !no_color && !dumb,
        }
    }

    /// Colours for standard output.
    pub fn data(&self) -> Paint {
        Paint(self.colour && self.output)
    }

    /// Colours for standard error.
    pub fn talk(&self) -> Paint {
        Paint(self.colour && self.errors)
    }

    /// A model's text, fit for standard output.
    pub fn foreign<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.output {
            harmless(text)
        } else {
            Cow::Borrowed(text)
        }
    }
}

impl Paint {
    /// Whether there is colour at all.
    pub fn is_on(self) -> bool {
        self.0
    }

    /// `text` in the colour of `style`.
    pub fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Error => "1;31",
            Style::Hint => "1;36",
            Style::Heading => "1",
            Style::Faint => "2",
            Style::Prompt => "1;32",
        };
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `text` without control characters other than line feed and tab.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(harmful) {
        Cow::Owned(text.replace(harmful, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Writes to standard output at once.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}

/// Writes a line to standard error.
pub fn complain(line: &str) {
    // Where standard error is closed, nobody is left to tell.
    let _closed = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests;
