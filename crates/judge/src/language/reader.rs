//! The protocol from the judge's side: a candidate that is given a text piece by piece.

use std::path::Path;

use sandbox::Sandbox;

use super::row::{self, ROW_BYTES, Rows};
use crate::candidate::{Candidate, Cell};
use crate::error::Stop;

/// A model in its cell, in the middle of a window.
pub(super) struct Reader {
    candidate: Candidate,
    /// The window's number, for words.
    window: usize,
    /// How many rows of it have come.
    rows: usize,
    /// Spent on pieces of text, by the judge's clock.
    pub(super) seconds: f64,
}

impl Reader {
    pub(super) fn start(sandbox: &Sandbox, cell: &Cell, artefact: &Path) -> Result<Self, Stop> {
        Ok(Self {
            candidate: Candidate::start(sandbox, cell, artefact)?,
            window: 0,
            rows: 0,
            seconds: 0.0,
        })
    }

    /// A new text: the row of its first byte.
    pub(super) fn begin(&mut self, window: usize) -> Result<Rows, Stop> {
        (self.window, self.rows) = (window, 0);
        let reply = self.candidate.ask(&0_u32.to_le_bytes(), ROW_BYTES, None)?;
        self.rows = 1;
        Ok(row::read(&reply.bytes, window, 0)?)
    }

    /// The text goes on: a row for each of these bytes.
    pub(super) fn go_on(&mut self, bytes: &[u8]) -> Result<Rows, Stop> {
        if bytes.is_empty() {
            return Ok(Rows::new());
        }
        // Windows are at most 64 KiB.
        let count = bytes.len() as u32;
        let question = [&count.to_le_bytes(), bytes].concat();
        let reply = self
            .candidate
            .ask(&question, bytes.len() * ROW_BYTES, None)?;
        self.seconds += reply.seconds;
        let rows = row::read(&reply.bytes, self.window, self.rows)?;
        self.rows += bytes.len();
        Ok(rows)
    }

    /// All is asked; nothing more may come.
    pub(super) fn finish(self) -> Result<(), Stop> {
        self.candidate.dismiss()
    }
}
