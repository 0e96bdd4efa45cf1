//! Turns a statement for one row into one for many, with an array a parameter.

use tokio_postgres::types::ToSql;

use crate::store::engine::Value;

/// A parameter of a statement: of one row, or of all rows as an array.
pub(super) enum Param<'w> {
    One(&'w Value),
    Column(Vec<&'w Value>),
}

impl Param<'_> {
    pub(super) fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::One(value) => *value,
            Self::Column(values) => values,
        }
    }
}

/// The insert of one row turned into one of many: an array a column, of these types.
pub(super) fn insert_of_arrays(sql: &str, kinds: &[&str]) -> Option<String> {
    let one: Vec<String> = (1..=kinds.len()).map(|number| format!("${number}")).collect();
    let (before, after) = sql.split_once(&format!("VALUES ({})", one.join(", ")))?;
    Some(format!("{before}SELECT * FROM {}{after}", unnest(kinds)))
}

/// The update of one row, found by `$1`, turned into one of many.
pub(super) fn update_of_arrays(sql: &str, kinds: &[&str]) -> Option<String> {
    let (set, found) = sql.split_once(" WHERE ")?;
    let names: Vec<String> = (1..=kinds.len()).map(|number| format!("new_{number}")).collect();
    // The highest first, so that `$1` is not found in `$10`.
    let named =
        (1..=kinds.len()).rev().fold((set.to_owned(), found.to_owned()), |texts, number| {
            let (param, name) = (format!("${number}"), format!("new.new_{number}"));
            (texts.0.replace(&param, &name), texts.1.replace(&param, &name))
        });
    let (set, found) = named;
    Some(format!("{set} FROM {} AS new ({}) WHERE {found}", unnest(kinds), names.join(", ")))
}

/// Rows out of an array a parameter, of these types.
fn unnest(kinds: &[&str]) -> String {
    let numbered = kinds.iter().enumerate();
    let arrays: Vec<String> =
        numbered.map(|(index, kind)| format!("${}::{kind}[]", index + 1)).collect();
    format!("unnest({})", arrays.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_of_one_row_becomes_one_of_many() {
        let one = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING";

        assert_eq!(
            insert_of_arrays(one, &["uuid", "text"]).as_deref(),
            Some(
                "INSERT INTO t (a, b) SELECT * FROM unnest($1::uuid[], $2::text[]) \
                 ON CONFLICT DO NOTHING"
            )
        );
        assert_eq!(
            insert_of_arrays("INSERT INTO t (a, b) VALUES ($2, $1)", &["uuid", "text"]),
            None
        );
    }

    #[test]
    fn an_update_of_one_row_becomes_one_of_many() {
        let one = "UPDATE t SET a = COALESCE($2, a), b = b + 1 WHERE id = $1";

        assert_eq!(
            update_of_arrays(one, &["uuid", "text"]).as_deref(),
            Some(
                "UPDATE t SET a = COALESCE(new.new_2, a), b = b + 1 \
                 FROM unnest($1::uuid[], $2::text[]) AS new (new_1, new_2) WHERE id = new.new_1"
            )
        );
    }
}
