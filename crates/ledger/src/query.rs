//! A stranger's SQL over the ledger: answered if it reads, within bounds; refused in words if it does anything else.
//!
//! Each query gets a connection of its own, which is thrown away:
//!
//! 1. It is opened read-only, and SQLite is told that what it finds in the file may be hostile.
//! 2. The caller's views are made in its temporary schema.
//! 3. From then on an authorizer allows selecting, reading, functions (but for loading extensions) and recursion, and nothing else,
//!    views included: no writing, no ATTACH, no PRAGMA, no transactions.
//! 4. Values, statements, memory, rows and bytes have limits; a handler that SQLite calls between its steps ends it in time.
//! 5. One step can be long by itself (a search in a long text), so the query runs in a thread of its own, and its caller is
//!    answered in time even then. The thread ends with that step, whose length the limit on values bounds.
//!
//! The memory limit is SQLite's own, and it has one per process: from the first query on it holds for a writer in the same
//! process too, which needs a hundredth of it.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit as SqliteLimit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row};

use crate::entry::MAX_BODY_BYTES;
use crate::error::QueryError;

/// Bytes of memory for all of SQLite in this process.
const MEMORY_BYTES: i64 = 256 << 20;
/// One value, or one row: a body and some more.
const VALUE_BYTES: i32 = 2 * MAX_BODY_BYTES as i32;
const SQL_BYTES: i32 = 100_000;
const LIKE_PATTERN_BYTES: i32 = 1000;
/// SQLite's steps between two looks at the clock: some microseconds.
const STEPS_PER_LOOK: i32 = 1000;
/// After the time is up, how long a caller waits for the words that SQLite has for it.
const GRACE: Duration = Duration::from_millis(500);

/// How much a query may take and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Rows beyond these are left out, and [`Table::truncated`] says so.
    pub rows: usize,
    /// All values together; more is an error.
    pub bytes: usize,
    /// Longer is an error.
    pub time: Duration,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 64 << 20,
            time: Duration::from_secs(10),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// As many cells in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// Whether there were more rows than the limit.
    pub truncated: bool,
}

/// One value.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Absent.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A text; what is not UTF-8 in it is replaced.
    Text(String),
    /// Bytes, such as a hash.
    Blob(Vec<u8>),
}

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_owned()),
        }
    }

    /// Bytes that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Blob(bytes) => bytes.len(),
                Self::Null | Self::Integer(_) | Self::Real(_) => 0,
            }
    }
}

/// Answers `sql` on a connection that was opened for nothing else.
pub(crate) fn answer(
    connection: Connection,
    sql: &str,
    views: &[(&str, &str)],
    limit: Limit,
) -> Result<Table, QueryError> {
    if sql.contains('\0') {
        return Err(QueryError::NotAQuery {
            why: "the text holds a NUL byte".to_owned(),
        });
    }
    let owned = |&(name, select): &(&str, &str)| (name.to_owned(), select.to_owned());
    let views: Vec<(String, String)> = views.iter().map(owned).collect();
    let sql = sql.to_owned();
    let (send, receive) = mpsc::sync_channel(1);
    let run = move || {
        // A caller that waited long enough is not there any more.
        let _unheard = send.send(run(connection, &sql, &views, limit));
    };
    let started = thread::Builder::new()
        .name("ledger query".to_owned())
        .spawn(run);
    started.map_err(|e| failed(&format!("no thread for it: {e}"), &[]))?;
    receive
        .recv_timeout(limit.time.saturating_add(GRACE))
        .unwrap_or(Err(QueryError::TooSlow { limit: limit.time }))
}

fn run(
    mut connection: Connection,
    sql: &str,
    views: &[(String, String)],
    limit: Limit,
) -> Result<Table, QueryError> {
    // A time too far for the clock is no limit.
    let deadline = Instant::now().checked_add(limit.time);
    let refused = Arc::new(Mutex::new(None));
    confine(&mut connection, views, deadline, &refused)?;
    let in_words = |error: rusqlite::Error| {
        let refused = refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        words(&error, refused, views, limit)
    };
    let mut statement = connection.prepare(sql).map_err(&in_words)?;
    if statement.column_count() == 0 {
        return Err(QueryError::NotAQuery {
            why: "it returns no columns".to_owned(),
        });
    }
    if !statement.readonly() {
        return Err(QueryError::Refused {
            what: "write".to_owned(),
        });
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut table = Table {
        columns,
        rows: Vec::new(),
        truncated: false,
    };
    let mut bytes = 0;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(&in_words)? {
        if table.rows.len() == limit.rows {
            table.truncated = true;
            break;
        }
        let cells = read(row, table.columns.len()).map_err(&in_words)?;
        bytes += cells.iter().map(Cell::bytes).sum::<usize>();
        if bytes > limit.bytes {
            return Err(QueryError::TooLarge {
                what: format!("returns more than {} bytes", limit.bytes),
            });
        }
        table.rows.push(cells);
    }
    Ok(table)
}

fn read(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Cell>> {
    (0..columns)
        .map(|column| Ok(Cell::of(row.get_ref(column)?)))
        .collect()
}

/// Makes the views, then takes away everything but reading.
fn confine(
    connection: &mut Connection,
    views: &[(String, String)],
    deadline: Option<Instant>,
    refused: &Arc<Mutex<Option<String>>>,
) -> Result<(), QueryError> {
    let failed = |e: rusqlite::Error| failed(&e.to_string(), views);
    let late = move || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    connection
        .progress_handler(STEPS_PER_LOOK, Some(late))
        .map_err(failed)?;
    connection
        .pragma_update(None, "temp_store", "MEMORY")
        .map_err(failed)?;
    connection
        .query_row(
            &format!("PRAGMA hard_heap_limit = {MEMORY_BYTES}"),
            [],
            |_| Ok(()),
        )
        .map_err(failed)?;
    let limits = [
        (SqliteLimit::SQLITE_LIMIT_LENGTH, VALUE_BYTES),
        (SqliteLimit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES),
        (
            SqliteLimit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH,
            LIKE_PATTERN_BYTES,
        ),
        (SqliteLimit::SQLITE_LIMIT_ATTACHED, 0),
        (SqliteLimit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in limits {
        connection.set_limit(limit, value).map_err(failed)?;
    }
    for (name, select) in views {
        let quoted = name.replace('"', "\"\"");
        let made = connection.execute(&format!("CREATE TEMP VIEW \"{quoted}\" AS {select}"), []);
        made.map_err(|e| QueryError::View {
            name: name.clone(),
            why: e.to_string(),
        })?;
    }
    connection
        .pragma_update(None, "query_only", true)
        .map_err(failed)?;
    let refused = Arc::clone(refused);
    let judge = move |context: AuthContext<'_>| match objection(&context.action) {
        None => Authorization::Allow,
        Some(what) => {
            refused
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(what);
            Authorization::Deny
        }
    };
    connection.authorizer(Some(judge)).map_err(failed)
}

/// What is wrong with an action, in words that follow "the query wants to"; nothing, for those that only read.
fn objection(action: &AuthAction<'_>) -> Option<String> {
    Some(match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => return None,
        AuthAction::Function { function_name } => {
            if !function_name.eq_ignore_ascii_case("load_extension") {
                return None;
            }
            "load an extension".to_owned()
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            "open or close another database".to_owned()
        }
        AuthAction::Pragma { pragma_name, .. } => format!("use PRAGMA {pragma_name}"),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            "begin or end a transaction".to_owned()
        }
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => format!("change `{table_name}`"),
        _ => "change the schema".to_owned(),
    })
}

fn words(
    error: &rusqlite::Error,
    refused: Option<String>,
    views: &[(String, String)],
    limit: Limit,
) -> QueryError {
    if let Some(what) = refused {
        return QueryError::Refused { what };
    }
    match error {
        rusqlite::Error::MultipleStatement => QueryError::NotAQuery {
            why: "there is more than one statement".to_owned(),
        },
        rusqlite::Error::Empty => QueryError::NotAQuery {
            why: "there is no statement".to_owned(),
        },
        error => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => QueryError::TooSlow { limit: limit.time },
            Some(ErrorCode::OutOfMemory) => QueryError::TooLarge {
                what: format!("needs more than {MEMORY_BYTES} bytes of memory"),
            },
            Some(ErrorCode::TooBig) => QueryError::TooLarge {
                what: format!("makes a value of more than {VALUE_BYTES} bytes"),
            },
            Some(ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied) => {
                QueryError::Refused {
                    what: "do more than read".to_owned(),
                }
            }
            _ => failed(&error.to_string(), views),
        },
    }
}

fn failed(why: &str, views: &[(String, String)]) -> QueryError {
    let names: Vec<String> = views.iter().map(|(name, _)| format!("`{name}`")).collect();
    let views = match names.len() {
        0 => "none".to_owned(),
        _ => names.join(", "),
    };
    QueryError::Failed {
        why: why.to_owned(),
        views,
    }
}

#[cfg(test)]
mod tests;
