//! Conditions of a search; values only ever as parameters.

use crate::store::engine::Value;
use crate::store::search::Cursor;

/// What a search asks for: clauses that must all hold, and their parameters.
#[derive(Default)]
pub(super) struct Conditions {
    clauses: Vec<String>,
    pub(super) params: Vec<Value>,
}

impl Conditions {
    /// Adds a parameter, and returns how a statement writes it.
    pub(super) fn param(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    /// Adds a clause.
    pub(super) fn add(&mut self, clause: String) {
        self.clauses.push(clause);
    }

    /// The clauses with one more, over the same parameters.
    pub(super) fn with(&self, clause: &str) -> Self {
        let clauses = self.clauses.iter().cloned().chain([clause.to_owned()]).collect();
        Self { clauses, params: Vec::new() }
    }

    /// Adds `left value` (such as `state =` with its value) where a value is given.
    pub(super) fn compare(&mut self, left: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let param = self.param(value);
            self.add(format!("{left} {param}"));
        }
    }

    /// Adds that a row stands behind `after` in a list with the newest first.
    ///
    /// Columns are compared as one, so that an index on both of them leads straight there.
    pub(super) fn behind(&mut self, (at, id): (&str, &str), after: Option<Cursor>) {
        if let Some(after) = after {
            let (at_param, id_param) = (self.param(after.at), self.param(after.id));
            self.add(format!("({at}, {id}) < ({at_param}, {id_param})"));
        }
    }

    /// Adds that a row stands before `end` in such a list.
    pub(super) fn before(&mut self, (at, id): (&str, &str), end: Option<Cursor>) {
        if let Some(end) = end {
            let (at_param, id_param) = (self.param(end.at), self.param(end.id));
            self.add(format!("({at}, {id}) > ({at_param}, {id_param})"));
        }
    }

    /// The `WHERE` of the statement; nothing if all rows are wanted.
    pub(super) fn where_clause(&self) -> String {
        match self.clauses.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", self.clauses.join(" AND ")),
        }
    }
}
