//! A segment's filter as a statement.

use crate::model::contact::Tier;
use crate::model::id::ContactId;
use crate::model::segment::SegmentFilter;
use crate::store::engine::{Tx, Value};
use crate::store::{StoreError, counters};

const FROM: &str = "FROM contact LEFT JOIN partner ON partner.id = contact.partner WHERE";

/// How many contacts fit; reads all of them.
pub(super) async fn count(tx: &mut Tx<'_>, filter: &SegmentFilter) -> Result<u64, StoreError> {
    let (clause, params) = conditions(filter);
    counters::count(tx, &format!("SELECT COUNT(*) {FROM} {clause}"), &params).await
}

/// The ids of the next `limit` contacts that fit.
pub(super) async fn members(
    tx: &mut Tx<'_>,
    filter: &SegmentFilter,
    after: Option<&ContactId>,
    limit: u32,
) -> Result<Vec<ContactId>, StoreError> {
    let (mut clause, mut params) = conditions(filter);
    params.push(after.map_or("", ContactId::as_str).into());
    clause = format!("{clause} AND contact.id > ${}", params.len());
    params.push(limit.into());
    let sql =
        format!("SELECT contact.id {FROM} {clause} ORDER BY contact.id LIMIT ${}", params.len());
    let rows = tx.query(&sql, &params).await?;
    rows.iter().map(|row| row.text(0).map(ContactId)).collect()
}

/// The filter as conditions over `contact` and `partner`; values only ever as parameters.
fn conditions(filter: &SegmentFilter) -> (String, Vec<Value>) {
    let mut clauses = vec!["1 = 1".to_owned()];
    let mut params: Vec<Value> = Vec::new();
    let mut add = |clause: &dyn Fn(usize) -> String, value: Value| {
        params.push(value);
        clauses.push(clause(params.len()));
    };
    if !filter.tags.is_empty() {
        let clause = |n: usize| {
            format!(
                "EXISTS (SELECT 1 FROM tag WHERE tag.tag {{any ${n}}} \
                 AND ((tag.kind = 'contact' AND tag.owner = contact.id) \
                 OR (tag.kind = 'partner' AND tag.owner = contact.partner)))"
            )
        };
        add(&clause, Value::texts(&filter.tags));
    }
    if !filter.tiers.is_empty() {
        let tiers = filter.tiers.iter().map(|tier| Tier::as_str(*tier));
        add(&|n| format!("partner.tier {{any ${n}}}"), Value::texts(tiers));
    }
    if !filter.regions.is_empty() {
        let clause = |n: usize| format!("COALESCE(contact.region, partner.region) {{any ${n}}}");
        add(&clause, Value::texts(&filter.regions));
    }
    if !filter.duties.is_empty() {
        add(&|n| format!("contact.duty {{any ${n}}}"), Value::texts(&filter.duties));
    }
    let mut languages = Vec::new();
    for locale in &filter.locales {
        // Language tags know no upper and lower case; `vi` takes in `vi-VN`, but not `vit`.
        let variant = format!("{}-", locale.to_ascii_lowercase());
        let length = variant.chars().count();
        params.push(variant.into());
        languages.push(format!(
            "substr(lower(COALESCE(contact.locale, partner.locale)) || '-', 1, {length}) = ${}",
            params.len()
        ));
    }
    if !languages.is_empty() {
        clauses.push(format!("({})", languages.join(" OR ")));
    }
    (clauses.join(" AND "), params)
}
