//! Finds deliveries by a part of a name, in a time that does not grow with how many there are.
//!
//! A part that many names have is soon found in the order of the list, one that few have is not;
//! and the other way about, all names are soon looked through, but not all deliveries of a common
//! one. So first a stretch of the list is looked through row by row. What is not found there is
//! rare, and is looked for name by name, a page of each.

use super::source::{Source, Stretch};
use super::{Cursor, DeliveryFilter};
use crate::model::fold::fold;
use crate::store::StoreError;
use crate::store::conditions::Conditions;
use crate::store::engine::{Row, Tx, Value};
use crate::store::rows::DELIVERY;

/// Every name in an index, one step of the index a name; so a part of a name is looked for among
/// names, not among deliveries. SQLite takes the first one from the index only where the statement
/// leaves out those without a name, as the index does; else it reads the whole table for it.
const NAMES: &str = "names (name) AS (SELECT MIN(recipient_folded) FROM delivery \
     WHERE recipient_folded IS NOT NULL \
     UNION ALL SELECT (SELECT MIN(recipient_folded) FROM delivery \
     WHERE recipient_folded > names.name) FROM names WHERE names.name IS NOT NULL)";

/// How long a stretch is for each row of the page: a part that one of so many has is found in it.
const ONE_OF: u32 = 100;
/// The longest stretch that is looked through.
const LONGEST: u32 = 200_000;

/// The first `limit` deliveries that fit, if a name is asked for, in no order.
pub(super) async fn find_by_name(
    tx: &mut Tx<'_>,
    filter: &DeliveryFilter,
    (after, limit): (Option<Cursor>, u32),
) -> Result<Vec<Row>, StoreError> {
    let length = limit.saturating_mul(ONE_OF).min(LONGEST);
    let mut found = Vec::new();
    for source in Source::of(filter) {
        let mut end = None;
        if let Some((sql, params)) = source.end(filter, after, length) {
            let row = tx.query_one(&sql, &params).await?;
            end = row.map(|row| Ok::<_, StoreError>(Cursor { at: row.time(0)?, id: row.uuid(1)? }));
        }
        let end = end.transpose()?;
        let (sql, params) = source.list(filter, Stretch { after, end }, limit);
        let rows = tx.query(&sql, &params).await?;
        if end.is_some() && rows.len() < limit as usize {
            let (sql, params) = list_by_name(filter, (after, limit), tx.is_postgres());
            return tx.query(&sql, &params).await;
        }
        found.extend(rows);
    }
    Ok(found)
}

/// The statement that finds the first `limit` that fit among the first `limit` of each name, of
/// recipients and of partners, with its parameters.
pub(in crate::store) fn list_by_name(
    filter: &DeliveryFilter,
    (after, limit): (Option<Cursor>, u32),
    is_postgres: bool,
) -> (String, Vec<Value>) {
    let (from, mut query) = Source::Every.conditions(filter);
    query.behind(("delivery.created_at", "delivery.id"), after);
    let part = query.param(fold(filter.name.as_deref().unwrap_or_default()));
    let limit = query.param(limit);
    let first_of = |names: &str, folded: &str, owned: &str| {
        let first = format!(
            "SELECT delivery.id, delivery.created_at {from} {} \
             ORDER BY delivery.created_at DESC, delivery.id DESC LIMIT {limit}",
            query.with(owned).where_clause()
        );
        // However many names the planner expects, it goes from each to its first deliveries.
        let (joined, among) = if is_postgres {
            (format!("LATERAL ({first}) AS newest"), String::new())
        } else {
            let among = format!("AND newest.id IN (SELECT id FROM ({first}))");
            ("delivery AS newest".to_owned(), among)
        };
        format!(
            "SELECT newest.created_at, newest.id FROM {names} CROSS JOIN {joined} \
             WHERE {{contains {folded} {part}}} {among}"
        )
    };
    let recipients = first_of("names", "names.name", "delivery.recipient_folded = names.name");
    let partners = first_of("partner", "partner.name_folded", "delivery.partner = partner.id");
    let sql = format!(
        "WITH RECURSIVE {NAMES}, found (at, id) AS ({recipients} UNION {partners}) \
         SELECT {DELIVERY} FROM delivery WHERE delivery.id {{in_rows}} \
         SELECT id FROM found ORDER BY at DESC, id DESC LIMIT {limit} {{end_rows}}"
    );
    (sql, query.params)
}

impl Conditions {
    /// Adds that the recipient's or the partner's name fits, for a statement that comes by each
    /// row.
    pub(super) fn named_row_by_row(&mut self, filter: &DeliveryFilter) {
        if let Some(name) = &filter.name {
            let part = self.param(fold(name));
            self.add(format!(
                "({{contains delivery.recipient_folded {part}}} OR EXISTS (SELECT 1 FROM partner \
                 WHERE partner.id = delivery.partner AND {{contains partner.name_folded {part}}}))"
            ));
        }
    }

    /// The same for a statement that is led to its rows by the names.
    pub(super) fn named_by_index(&mut self, filter: &DeliveryFilter) {
        if let Some(name) = &filter.name {
            let part = self.param(fold(name));
            self.add(format!(
                "(delivery.recipient_folded {{in_rows}} WITH RECURSIVE {NAMES} \
                 SELECT name FROM names WHERE {{contains name {part}}} {{end_rows}} \
                 OR delivery.partner {{in_rows}} \
                 SELECT id FROM partner WHERE {{contains name_folded {part}}} {{end_rows}})"
            ));
        }
    }
}
