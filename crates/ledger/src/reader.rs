//! Reading: any number of processes at once, also while a writer writes, also from a disk that cannot be written.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::entry::{Entry, Header};
use crate::error::{Broken, LedgerError, QueryError};
use crate::place::Place;
use crate::query::{self, Limit, Table};
use crate::rows::{self, Selection};
use crate::schema::{self, FORMAT};
use crate::substrate::{self, Substrate};
use crate::verify::{self, Verified};

/// Sees a ledger and cannot change it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    // Dropped before the place that it leads to.
    connection: Connection,
    place: Place,
    header: Header,
}

impl Reader {
    /// Opens the ledger at `path`.
    ///
    /// # Errors
    /// When there is none, it is something else, of another format, or damaged.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        schema::recognise(path)?;
        let path = path
            .canonicalize()
            .map_err(LedgerError::file("find", path))?;
        let place = Place::find(&path)?;
        let connection = place
            .connect()
            .map_err(LedgerError::sqlite("open", &path))?;
        let found = schema::format(&connection, &path)?;
        if found < FORMAT {
            return Err(LedgerError::Older {
                path,
                found,
                known: FORMAT,
            });
        }
        let (header, ..) = rows::header(&connection, &path)?;
        Ok(Self {
            path,
            connection,
            place,
            header,
        })
    }

    /// Where the ledger is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the ledger is about.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The entries that `selection` names, in order, as they are at this moment.
    ///
    /// # Errors
    /// When the disk fails or an entry is damaged.
    pub fn entries(&self, selection: &Selection) -> Result<Vec<Entry>, LedgerError> {
        rows::select(&self.connection, &self.path, selection)
    }

    /// Every machine that took part, in the order in which they came.
    ///
    /// # Errors
    /// Those of [`Reader::entries`].
    pub fn substrates(&self) -> Result<Vec<Substrate>, LedgerError> {
        let entries = self.entries(&Selection::all().kind(substrate::KIND))?;
        Ok(substrate::list(&self.header, entries))
    }

    /// Answers one `SELECT` over `header`, `entries` and the given views (name, `SELECT`), and does nothing else.
    ///
    /// # Errors
    /// When the query does anything but read, takes longer or returns more than `limit`, or is wrong.
    pub fn query(
        &self,
        sql: &str,
        views: &[(&str, &str)],
        limit: Limit,
    ) -> Result<Table, QueryError> {
        let connection = self
            .place
            .connect()
            .map_err(LedgerError::sqlite("open", &self.path))?;
        query::answer(connection, sql, views, limit)
    }

    /// Recomputes the whole chain, asks SQLite for its own opinion, and compares with `NAME.head`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<Verified, Broken> {
        verify::verify(&self.connection, &self.path)
    }
}
