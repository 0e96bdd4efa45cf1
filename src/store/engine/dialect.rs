//! The few places where the two databases write the same thing differently.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which database a statement is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// How many statements are remembered; searches may ask in ever other ways.
const REMEMBERED: usize = 1024;

/// Remembers statements as their database reads them.
pub(super) struct Statements {
    dialect: Dialect,
    known: Mutex<HashMap<String, Arc<str>>>,
}

impl Statements {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, known: Mutex::default() }
    }

    /// `sql` as the database reads it.
    pub(super) fn written(&self, sql: &str) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = known.get(sql) {
            return Arc::clone(written);
        }
        let written: Arc<str> = write(sql, self.dialect).into();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(sql.to_owned(), Arc::clone(&written));
        written
    }

    /// Every statement that was run so far, as its database reads it.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(Arc::clone).collect()
    }
}

/// Replaces tokens in braces, and for SQLite `$n` by `?n` and what a clash does.
fn write(sql: &str, dialect: Dialect) -> String {
    let mut written = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        written.push_str(before);
        let Some((token, after)) = after.split_once('}') else { break };
        written.push_str(&token_text(token, dialect));
        rest = after;
    }
    written.push_str(rest);
    match dialect {
        Dialect::Sqlite => failing(&written.replace('$', "?")),
        Dialect::Postgres => written,
    }
}

/// A statement that is not undone by itself when it fails: for one that might be, SQLite copies
/// each page before it changes it (sqlite.org/tempfiles.html, 2.5). Whoever began the transaction
/// undoes all of it, as on PostgreSQL, where nothing can follow on an error. The steps of a trigger
/// fail in the same way, whatever they say of clashes themselves, so none may lean on `OR IGNORE`
/// or `OR REPLACE`. What stands behind a `WITH` or a `DO` keeps its copies.
fn failing(sql: &str) -> String {
    let sql = sql.replace("INSERT INTO ", "INSERT OR FAIL INTO ");
    match sql.strip_prefix("UPDATE ") {
        Some(rest) => format!("UPDATE OR FAIL {rest}"),
        None => sql,
    }
}

fn token_text(token: &str, dialect: Dialect) -> String {
    let mut words = token.split_whitespace();
    let (name, first, second) = (words.next(), words.next(), words.next());
    let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
    let (sqlite, postgres) = match name {
        Some("skip_locked") => (String::new(), "FOR UPDATE SKIP LOCKED".to_owned()),
        Some("for_update") => (String::new(), "FOR UPDATE".to_owned()),
        Some("any") => (
            format!("IN (SELECT value FROM json_each({first}))"),
            format!("= ANY ({first}::text[])"),
        ),
        Some("any_uuid") => (
            format!("IN (SELECT unhex(value) FROM json_each({first}))"),
            format!("= ANY ({first}::uuid[])"),
        ),
        // One of the rows of a statement, which is run first, whatever the planner guesses of it.
        Some("in_rows") => ("IN (".to_owned(), "= ANY (ARRAY(".to_owned()),
        Some("end_rows") => (")".to_owned(), "))".to_owned()),
        // As it stands, without the two databases' own ideas of letters and escapes.
        Some("contains") => {
            (format!("instr({first}, {second}) > 0"), format!("strpos({first}, {second}) > 0"))
        }
        // The order of Rust's texts, whatever language the database sorts by.
        Some("in_bytes") => (String::new(), "COLLATE \"C\"".to_owned()),
        // On SQLite a lease of another run is over, and one of this run counts monotonic time.
        Some("lease_over") => (
            format!("(lease_run <> {first} OR lease_until <= {second})"),
            format!("({first}::uuid IS NOT NULL AND lease_until <= {second})"),
        ),
        _ => (token.to_owned(), token.to_owned()),
    };
    match dialect {
        Dialect::Sqlite => sqlite,
        Dialect::Postgres => postgres,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_other_statements_do_not_fill_the_memory() {
        let statements = Statements::new(Dialect::Sqlite);

        for number in 0..3 * REMEMBERED {
            assert_eq!(
                &*statements.written(&format!("SELECT ${number}")),
                format!("SELECT ?{number}")
            );
        }

        assert!(statements.known.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn sqlite_gets_its_own_placeholders_and_no_locks() {
        let sql = "SELECT id FROM delivery WHERE id {any_uuid $1} {skip_locked}";

        assert_eq!(
            write(sql, Dialect::Sqlite),
            "SELECT id FROM delivery WHERE id IN (SELECT unhex(value) FROM json_each(?1)) "
        );
    }

    #[test]
    fn sqlite_keeps_nothing_to_undo_a_single_statement() {
        for (sql, written) in [
            ("UPDATE page SET query = $1", "UPDATE OR FAIL page SET query = ?1"),
            (
                "INSERT INTO page (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = 1",
                "INSERT OR FAIL INTO page (id) VALUES (?1) ON CONFLICT (id) DO UPDATE SET id = 1",
            ),
            (
                "WITH one AS (SELECT 1) INSERT INTO t SELECT 1",
                "WITH one AS (SELECT 1) INSERT OR FAIL INTO t SELECT 1",
            ),
        ] {
            assert_eq!(write(sql, Dialect::Sqlite), written);
        }
    }

    #[test]
    fn postgres_locks_what_it_reads() {
        let sql = "SELECT id FROM delivery WHERE type {any $1} {skip_locked}";

        assert_eq!(
            write(sql, Dialect::Postgres),
            "SELECT id FROM delivery WHERE type = ANY ($1::text[]) FOR UPDATE SKIP LOCKED"
        );
    }
}
