//! What was done to deliveries and rejected events, and by whom.

use jiff::Timestamp;
use uuid::Uuid;

use crate::model::deed::{Deed, DeedKind};
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::{Store, StoreError};

impl Store {
    /// What was done to the delivery or the rejected event of this id, the oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn deeds_of(&self, subject: Uuid) -> Result<Vec<Deed>, StoreError> {
        self.read(move |tx| Box::pin(deeds_of(tx, subject))).await
    }
}

pub(super) async fn deeds_of(tx: &mut Tx<'_>, subject: Uuid) -> Result<Vec<Deed>, StoreError> {
    let sql = "SELECT at, deed, author, note FROM deed WHERE subject = $1 ORDER BY at, deed";
    tx.query(sql, &[subject.into()]).await?.iter().map(read_deed).collect()
}

fn read_deed(row: &Row) -> Result<Deed, StoreError> {
    let word = row.text(1)?;
    let deed = DeedKind::from_word(&word);
    Ok(Deed {
        at: row.time(0)?,
        deed: deed.ok_or_else(|| StoreError::Broken(format!("unknown deed `{word}`")))?,
        by: row.text(2)?,
        note: row.opt_text(3)?,
    })
}

/// The row of a deed.
pub(super) fn row(
    subject: Uuid,
    (deed, at): (DeedKind, Timestamp),
    by: &str,
    note: Option<&str>,
) -> Vec<Value> {
    vec![subject.into(), at.into(), deed.as_str().into(), by.into(), note.into()]
}

/// Keeps deeds, of which none writes nothing.
pub(super) fn keep(rows: Vec<Vec<Value>>) -> Write {
    let insert = "INSERT INTO deed (subject, at, deed, author, note) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    Write::insert(insert, rows)
}
